//! Rows to record, and a ledger to record them in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use realtime_relay::control::config::{Durability, OnFailure};
use realtime_relay::control::ledger::{LinkRow, Settings, UsageKind, UsageRow};
use realtime_relay::control::prices::NanoUsd;
use realtime_relay::relay::events::{Tokens, Usage};
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

/// No wait of a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder, and the ledger that is to be in it.
pub struct Place {
    pub folder: TempDir,
    pub settings: Settings,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder.path().join("usage.db"));
        Self { folder, settings }
    }

    pub fn path(&self) -> PathBuf {
        self.settings.path.clone()
    }

    /// Plain SQL, as anyone may ask.
    pub fn sql(&self) -> Connection {
        Connection::open(&self.settings.path).unwrap()
    }

    pub fn count(&self, rows: &str) -> i64 {
        self.sql().query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get(0)).unwrap()
    }
}

pub fn settings(path: &Path) -> Settings {
    let (durability, on_failure) = (Durability::Async, OnFailure::Stall);
    Settings { path: path.to_owned(), durability, on_failure, retention: None }
}

/// A response of `gpt-realtime`, different in every column.
pub fn response(link_id: Uuid, id: Option<&str>) -> UsageRow {
    let tokens = |text, audio, image| Tokens { text, audio, image };
    UsageRow {
        at_ms: 1_795_300_000_123,
        link_id,
        key: "acme".into(),
        upstream: "openai".into(),
        model: "gpt-realtime".into(),
        kind: UsageKind::Response,
        response_id: id.map(Into::into),
        status: "completed".into(),
        usage: Usage { input: tokens(40, 30, 20), cached: tokens(4, 3, 2), output: tokens(7, 8, 0) },
        seconds: None,
        cost: Some(NanoUsd::new(1_500_000_000)),
        billed: true,
    }
}

pub fn link(link_id: Uuid) -> LinkRow {
    LinkRow {
        link_id,
        request_id: "req_1".into(),
        key: "acme".into(),
        upstream: "openai".into(),
        model: "gpt-realtime".into(),
        opened_ms: 1_795_299_999_000,
        ended_ms: 1_795_300_001_000,
        ending: "client_close",
        unsettled: true,
        client_close: Some(1000),
        upstream_close: None,
        frames_up: 1,
        frames_down: 2,
        bytes_up: 3,
        bytes_down: 4,
    }
}

pub async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("waited in vain")
}

/// Waits for what another thread brings about, and tells nobody.
pub async fn eventually(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(wait).await;
}
