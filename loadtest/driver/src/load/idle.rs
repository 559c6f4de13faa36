//! Links over which nothing is said: what they hold of memory, and what is still held when they are gone.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Figures, Span};
use crate::account::Account;
use crate::rig::Rig;

/// Opened before it is counted, so that what is allocated once is not taken for the cost of a link.
const BEFORE: usize = 200;
/// After the proxy has begun to listen, or links were opened, before memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// Opens so many links, closes them, and looks at the memory.
#[allow(clippy::cast_precision_loss)] // Of memory, not of addresses.
pub fn run(rig: &mut Rig, proxy: SocketAddr, account: &Account, links: usize, span: Span) -> anyhow::Result<Figures> {
    // It listens before all of it has begun.
    rig.rest(SETTLE)?;
    let start = account.memory()? as f64;
    rig.open(proxy, BEFORE)?;
    rig.rest(SETTLE)?;
    let before = account.memory()? as f64;
    rig.open(proxy, links)?;
    rig.rest(SETTLE)?;
    let open = account.memory()? as f64;
    rig.close()?;
    rig.rest(span.after_closing)?;
    let after = account.memory()? as f64;
    Ok(Figures::from([
        ("kib_per_link".to_owned(), (open - before) / links as f64 / 1024.0),
        ("start_mib".to_owned(), start / f64::from(1 << 20)),
        ("open_mib".to_owned(), open / f64::from(1 << 20)),
        ("after_mib".to_owned(), after / f64::from(1 << 20)),
        ("after_by_start".to_owned(), after / start),
    ]))
}
