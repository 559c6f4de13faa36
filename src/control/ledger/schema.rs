//! The two tables, and how an older ledger becomes one of today. Refuses to know files and what is written.

use std::sync::LazyLock;

use rusqlite::{Connection, Result, TransactionBehavior};

/// What was added to the ledger, in order. The version of a ledger is how many of them it has. They only ever add: an
/// older process may still be writing while it hands its links over.
const MIGRATIONS: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS link (
        link_id TEXT PRIMARY KEY, request_id TEXT, key TEXT, upstream TEXT, model TEXT, opened_ms INTEGER,
        ended_ms INTEGER, ending TEXT, unsettled INTEGER, client_close INTEGER, upstream_close INTEGER,
        frames_up INTEGER, frames_down INTEGER, bytes_up INTEGER, bytes_down INTEGER);
    CREATE TABLE IF NOT EXISTS usage (
        at_ms INTEGER, link_id TEXT, key TEXT, upstream TEXT, model TEXT, kind TEXT, response_id TEXT, status TEXT,
        input_text INTEGER, input_audio INTEGER, input_image INTEGER,
        cached_text INTEGER, cached_audio INTEGER, cached_image INTEGER,
        output_text INTEGER, output_audio INTEGER, seconds REAL, cost_nano_usd INTEGER,
        UNIQUE (link_id, kind, response_id));",
    "CREATE INDEX IF NOT EXISTS usage_by_key ON usage (key, at_ms);
    CREATE INDEX IF NOT EXISTS usage_by_time ON usage (at_ms);
    CREATE INDEX IF NOT EXISTS link_by_time ON link (opened_ms);",
];

/// The version of a ledger of today.
pub(super) const CURRENT: i64 = MIGRATIONS.len().cast_signed() as i64;

/// A row of `link`. One that is there already stays as it is.
pub(super) const INSERT_LINK: &str = "INSERT OR IGNORE INTO link (link_id, request_id, key, upstream, model, opened_ms, \
    ended_ms, ending, unsettled, client_close, upstream_close, frames_up, frames_down, bytes_up, bytes_down) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The rows of `link` that are written at once, where there are so many: most of what a row costs is to begin with it.
pub(super) const LINKS: usize = 8;

/// [`LINKS`] rows of `link`.
pub(super) static INSERT_LINKS: LazyLock<String> = LazyLock::new(|| {
    let (_, row) = INSERT_LINK.split_once("VALUES").unwrap_or_default();
    format!("{INSERT_LINK}{}", format!(",{row}").repeat(LINKS - 1))
});

/// A row of `usage`. The same response, seen twice, is one row; NULL is no response's id.
pub(super) const INSERT_USAGE: &str = "INSERT OR IGNORE INTO usage (at_ms, link_id, key, upstream, model, kind, \
    response_id, status, input_text, input_audio, input_image, cached_text, cached_audio, cached_image, output_text, \
    output_audio, seconds, cost_nano_usd) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

/// What a database is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is nothing in it yet.
    Empty,
    /// A ledger of this version, not newer than today's.
    Ledger(i64),
    /// A ledger of this version, which is unknown here.
    Newer(i64),
    /// Something else.
    Foreign,
}

/// Looks at a database, and writes nothing.
pub(super) fn standing(connection: &Connection) -> Result<Standing> {
    let version = version(connection)?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let ours = connection.prepare(INSERT_LINK).and_then(|_| connection.prepare(INSERT_USAGE));
    Ok(match (ours, version) {
        (Err(_), 0) if objects == 0 => Standing::Empty,
        (Err(_), _) | (_, ..0) => Standing::Foreign,
        (Ok(_), 0..=CURRENT) => Standing::Ledger(version),
        (Ok(_), _) => Standing::Newer(version),
    })
}

/// Adds what is missing, at once or not at all.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    if version(connection)? >= CURRENT {
        return Ok(()); // and nobody has to wait for a lock
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = version(&transaction)?; // another process may have been faster
    for missing in MIGRATIONS.iter().skip(usize::try_from(applied).unwrap_or(0)) {
        transaction.execute_batch(missing)?;
    }
    transaction.pragma_update(None, "user_version", CURRENT.max(applied))?;
    transaction.commit()
}

fn version(connection: &Connection) -> Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
