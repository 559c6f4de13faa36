//! What the relay does on the wire, claim by claim, over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod admission;
mod endings;
mod forwarding;
mod framed;
mod links;
mod metering;
mod metrics;
mod reload;
mod routes;
mod sockets;
mod upstream;
