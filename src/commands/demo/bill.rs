//! The bill of the demo's session, as it stands in the ledger. It refuses to know how it came there.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::session::Heard;
use crate::control::ledger::{By, Group, report};

/// A record is committed some milliseconds after its response has passed; this is for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const REST: Duration = Duration::from_millis(10);

/// What the ledger says of the session.
pub(super) struct Bill(Group);

impl Bill {
    /// Reads it as soon as it is there, and holds it against what the client saw.
    pub(super) async fn read(ledger: &Path, heard: &Heard) -> anyhow::Result<Self> {
        let bill = timeout(PATIENCE, recorded(ledger)).await.context("the ledger has no record in time")??;
        let told = heard.usage.pointer("/output_token_details/audio_tokens").and_then(Value::as_u64);
        let Group { output_audio, cost_usd, .. } = bill;
        ensure!(Some(output_audio) == told, "the ledger has {output_audio} tokens of audio, the client saw {told:?}");
        ensure!(cost_usd > 0.0, "the ledger has no cost of the session");
        Ok(Self(bill))
    }
}

async fn recorded(ledger: &Path) -> anyhow::Result<Group> {
    loop {
        let groups = report(ledger, By::Key, None)?;
        if let Some(group) = groups.into_iter().find(|group| group.responses > 0 && group.links > 0) {
            return Ok(group);
        }
        sleep(REST).await;
    }
}

impl Display for Bill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Group { group, links, responses, cost_usd, .. } = &self.0;
        writeln!(f, "  ledger     key {group}: {links} link, {responses} response, {cost_usd:.6} USD")
    }
}
