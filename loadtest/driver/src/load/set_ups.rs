//! Links that are opened and closed again at once, some at a time, as many as go.

use std::net::SocketAddr;

use super::{Figures, Phase, Span, Watch};
use crate::account::Account;
use crate::rig::Rig;

/// Set-ups under way. No more than rustls keeps tickets of an upstream, each for one session: so that all proxies can
/// resume all sessions, and the same is compared.
const AT_ONCE: usize = 8;

/// Opens and closes links. A set-up counts when its client has parted.
pub fn run(rig: &mut Rig, proxy: SocketAddr, account: &Account, span: Span) -> anyhow::Result<Figures> {
    rig.parting = true;
    let (mut begun, mut events) = (0, Vec::new());
    let (mut closed, mut opened, mut resumed) = (0, 0, 0);
    let mut watch = Watch::start(account, span);
    loop {
        match watch.look()? {
            Phase::Goes => {}
            Phase::Begins => (closed, opened, resumed) = (rig.closed, rig.opened[1], rig.resumed),
            Phase::Over => break,
        }
        while begun - rig.closed < AT_ONCE {
            rig.connect(proxy)?;
            begun += 1;
        }
        rig.poll(&mut events)?;
        for event in &events {
            rig.progress(event)?;
        }
    }
    let mut figures = watch.stop((rig.closed - closed) as u64)?.figures("set_up")?;
    #[allow(clippy::cast_precision_loss)]
    let share = (rig.resumed - resumed) as f64 / (rig.opened[1] - opened).max(1) as f64;
    figures.insert("resumed_share".to_owned(), share);
    Ok(figures)
}
