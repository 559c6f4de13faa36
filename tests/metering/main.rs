//! What usage costs, and where it is kept.

mod prices;
