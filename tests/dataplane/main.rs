//! The data plane without sockets: any split of any legal stream gives the same result, and bytes out are bytes in.

mod pieces;
mod pump;
mod scan;
mod tap;
mod wire;
