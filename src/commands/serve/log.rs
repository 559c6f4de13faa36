//! The log of the process: where it goes, in which shape, and what is let through, which can be changed while it runs.
//!
//! It refuses to know what is logged.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry, reload};

use crate::control::config::{Log, LogFormat};

/// The log goes to stderr from now on: stdout belongs to what a command answers. Returns what sets the level later.
pub(super) fn to_stderr(log: &Log) -> Box<dyn Fn(&Log) + Send> {
    let (filter, handle) = reload::Layer::new(let_through(log));
    let lines = fmt::layer().with_writer(stderr).with_target(false).with_ansi(stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(filter).with(lines).init();
    Box::new(move |log| drop(handle.reload(let_through(log)))) // it fails only where there is no log any more
}

/// The configuration was checked: its directives parse.
fn let_through(log: &Log) -> EnvFilter {
    EnvFilter::new(&log.level)
}
