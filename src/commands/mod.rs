//! One file a command of the binary.

pub mod simulate;
