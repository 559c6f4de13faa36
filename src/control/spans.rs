//! A span for each link, with the attributes that OpenTelemetry names for generative AI: with the cargo feature `otel`.
//! Without it these are empty types and functions, and nothing is compiled in.
//!
//! It refuses to know sockets, and to wait: what an exporter has no room for is dropped.

#[cfg(feature = "otel")]
mod export;
#[cfg(not(feature = "otel"))]
mod nothing;

#[cfg(feature = "otel")]
pub use export::{Exporting, Trace, install};
#[cfg(not(feature = "otel"))]
pub use nothing::{Exporting, Trace, install};
