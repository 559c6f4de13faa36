//! The control plane: what is decided once per process or once per link.

pub mod client_address;
pub mod config;
pub mod drain;
pub mod keys;
pub mod ledger;
pub mod link_info;
pub mod meter;
pub mod metering;
pub mod metrics;
pub mod notify;
pub mod prices;
pub mod quota;
pub mod record;
pub mod spans;
pub mod takeover;
