//! The binary: the allocator and the command line.

fn main() {}
