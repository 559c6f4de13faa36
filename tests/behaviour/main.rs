//! What the relay does on the wire, claim by claim, over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod endings;
mod forwarding;
mod upstream;
