//! What the relay claims of any bytes, each claim with an oracle that is not the code itself: a module for each target of
//! `cargo fuzz`, whose function `holds` panics where the claim does not. The suite of the relay runs the same functions on
//! the seeds, and on some changes of them (`tests/fuzz.rs`).

pub mod admission;
pub mod config;
pub mod proxy_header;
pub mod pump;
pub mod scan;
pub mod tap;
pub mod tls;
pub mod upstream_101;

mod frames;
mod head;
mod input;
mod json;
mod net;
mod stage;
mod wants;
