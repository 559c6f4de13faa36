//! One file a command of the binary.
