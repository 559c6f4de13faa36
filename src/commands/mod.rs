//! One file a command of the binary.

pub mod check;
pub mod demo;
pub mod hash_key;
pub mod serve;
pub mod simulate;
pub mod usage;
