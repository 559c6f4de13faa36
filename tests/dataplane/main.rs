//! The data plane without sockets: any split of any legal stream gives the same result, and bytes out are bytes in.

#[path = "../support/frame.rs"]
#[allow(dead_code)] // other tests use more of it
mod frame;
mod framed;
mod link;
mod pieces;
mod pump;
mod scan;
mod tap;
mod wire;
