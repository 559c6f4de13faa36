//! What usage costs, and where it is kept.

mod ledger;
mod prices;
mod process;
mod quota;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod usage;
