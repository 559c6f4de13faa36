//! One connection that writes: groups of records, what other processes wrote meanwhile, what a key has used, what is too
//! old. Refuses to wait longer than a moment, and to know threads.
//!
//! `seen` is the newest row of `usage` that this process has accounted for. Whatever stands above it when a transaction of
//! ours begins was written by another process: our own rows raise it in the transaction that writes them.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, Error, Result, Row, Statement, ToSql, TransactionBehavior, ffi, params};

use super::open::{self, LedgerError};
use super::record::{LinkRow, NewUsage, Record, UsageRow, Used};
use super::schema::{INSERT_LINK, INSERT_LINKS, INSERT_USAGE, LINKS};
use crate::control::prices::NanoUsd;
use crate::relay::events::Usage;

/// How long a transaction waits for another process's before it gives up, to be tried again: between two attempts the
/// writer looks whether it is to stop.
const LOCK_WAIT: Duration = Duration::from_millis(250);
/// Rows that one step of [`Store::sweep`] deletes from each table: a few milliseconds' worth.
const SWEPT_ROWS: usize = 500;
/// All tokens of a row of `usage`, as `UsageRow::as_new` counts them.
const TOKENS: &str =
    "sum_up(input_text), sum_up(input_audio), sum_up(input_image), sum_up(output_text), sum_up(output_audio)";

/// A ledger that is open to be written.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// The file that was opened, whatever bears its name by now.
    file: Option<Identity>,
    seen: i64,
}

/// Device and inode.
type Identity = (u64, u64);

/// A group of records is on the disk.
pub(super) struct Commit {
    /// For each record whether it was new. Of links that were written at once, so many are; SQLite does not say which.
    pub(super) new: Vec<bool>,
    /// What other processes wrote before it.
    pub(super) others: Vec<NewUsage>,
}

impl Store {
    /// Opens or makes it. `synchronous` is SQLite's word for what a commit waits for.
    pub(super) fn open(path: &Path, synchronous: &str) -> std::result::Result<Self, LedgerError> {
        let connection = open::to_write(path, synchronous)?;
        let ready = connection.busy_timeout(LOCK_WAIT).and_then(|()| newest(&connection));
        let seen = ready.map_err(LedgerError::of(path))?;
        Ok(Self { path: path.to_owned(), connection, file: identity(path), seen })
    }

    /// Keeps nothing of the ledger in memory that is not needed: it is in the system's cache.
    pub(super) fn shrink(&self) -> Result<()> {
        self.connection.execute_batch("PRAGMA shrink_memory")
    }

    /// Writes these records, all or none.
    pub(super) fn commit<'r>(&mut self, records: impl Iterator<Item = &'r Record>) -> Result<Commit> {
        self.still_there()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (others, _) = above(&transaction, self.seen)?;
        let new = Insert::into(&transaction)?.all(records)?;
        let seen = newest(&transaction)?;
        transaction.commit()?;
        self.seen = seen;
        Ok(Commit { new, others })
    }

    /// Whether what is committed can be found again. SQLite would go on writing to a file that was deleted.
    fn still_there(&self) -> Result<()> {
        if identity(&self.path) == self.file {
            return Ok(());
        }
        let what = "the file was moved or deleted; put it back, or restart the relay to begin another".to_owned();
        Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED), Some(what)))
    }

    /// What other processes have written since.
    pub(super) fn others(&mut self) -> Result<Vec<NewUsage>> {
        let (others, seen) = above(&self.connection, self.seen)?;
        self.seen = seen;
        Ok(others)
    }

    /// What a key used in a time, in Unix milliseconds. Rows that are still to be told as new do not count.
    pub(super) fn used(&self, key: &str, time: &Range<i64>) -> Result<Used> {
        let query = format!(
            "SELECT sum_up(cost_nano_usd), {TOKENS} FROM usage WHERE key = ?1 AND at_ms >= ?2 AND at_ms < ?3 AND rowid <= ?4"
        );
        let bounds = params![key, time.start, time.end, self.seen];
        self.connection.query_row(&query, bounds, |row| Ok(used_in(row, 0)))
    }

    /// Deletes some of what is older than `before`, in Unix milliseconds. Whether there is more of it. The newest row of
    /// all stays: without it SQLite would number new rows from 1, below what has been seen.
    pub(super) fn sweep(&mut self, before: i64) -> Result<bool> {
        const USAGE: &str = "DELETE FROM usage WHERE rowid IN (SELECT rowid FROM usage \
            WHERE at_ms < ?1 AND rowid < (SELECT max(rowid) FROM usage) LIMIT ?2)";
        const LINK: &str = "DELETE FROM link WHERE rowid IN (SELECT rowid FROM link \
            WHERE opened_ms < ?1 AND ended_ms < ?1 LIMIT ?2)";
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let bounds = params![before, i64::try_from(SWEPT_ROWS).unwrap_or(i64::MAX)];
        let usage = transaction.prepare_cached(USAGE)?.execute(bounds)?;
        let link = transaction.prepare_cached(LINK)?.execute(bounds)?;
        transaction.commit()?;
        Ok(usage.max(link) == SWEPT_ROWS)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).map(|file| (file.dev(), file.ino())).ok()
}

/// The newest row of `usage`.
fn newest(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT ifnull(max(rowid), 0) FROM usage")?.query_row([], |row| row.get(0))
}

/// The rows of `usage` above `seen`, and the newest of all. That is below `seen` where somebody has vacuumed the ledger,
/// which numbers its rows anew: then nobody can say which are new, and none is.
fn above(connection: &Connection, seen: i64) -> Result<(Vec<NewUsage>, i64)> {
    const ABOVE: &str = "SELECT rowid, key, at_ms, cost_nano_usd, input_text, input_audio, input_image, output_text, \
        output_audio FROM usage WHERE rowid > ?1 ORDER BY rowid";
    let mut query = connection.prepare_cached(ABOVE)?;
    let rows = query.query_map([seen], |row| {
        // What somebody else has written into a column is no reason for our own records to fail.
        let (key, at_ms) = (row.get::<_, String>(1).unwrap_or_default(), row.get(2).unwrap_or_default());
        Ok((row.get::<_, i64>(0)?, NewUsage { key: key.into(), at_ms, used: used_in(row, 3) }))
    })?;
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    let last = rows.last().map_or_else(|| newest(connection), |(number, _)| Ok(*number))?;
    Ok((rows.into_iter().map(|(_, row)| row).collect(), last))
}

/// A cost, and then the tokens of five kinds.
fn used_in(row: &Row<'_>, first: usize) -> Used {
    let count = |index| u64::try_from(row.get::<_, i64>(index).unwrap_or(0)).unwrap_or(0);
    let tokens = (first + 1..=first + 5).map(count).fold(0, u64::saturating_add);
    Used { cost: NanoUsd::new(count(first)), tokens }
}

/// What puts records into the tables, prepared once for a group of them.
struct Insert<'c> {
    usage: CachedStatement<'c>,
    link: CachedStatement<'c>,
    links: CachedStatement<'c>,
}

impl<'c> Insert<'c> {
    fn into(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            usage: connection.prepare_cached(INSERT_USAGE)?,
            link: connection.prepare_cached(INSERT_LINK)?,
            links: connection.prepare_cached(&INSERT_LINKS)?,
        })
    }

    /// For each record whether it is new, as [`Commit::new`] has it.
    fn all<'r>(mut self, records: impl Iterator<Item = &'r Record>) -> Result<Vec<bool>> {
        let records: Vec<_> = records.collect();
        let mut new = Vec::with_capacity(records.len());
        for run in records.chunk_by(|one, next| matches!((one, next), (Record::Link(_), Record::Link(_)))) {
            let (at_once, single) = run.as_chunks::<LINKS>();
            for rows in at_once.iter().map(<[_; LINKS]>::as_slice).chain(single.chunks(1)) {
                let written = self.write(rows)?;
                new.extend((0..rows.len()).map(|place| place < written));
            }
        }
        Ok(new)
    }

    /// Writes one row, or [`LINKS`] of `link`. How many of them were new.
    fn write(&mut self, rows: &[&Record]) -> Result<usize> {
        let statement = match rows {
            [Record::Usage(_)] => &mut self.usage,
            [_] => &mut self.link,
            _ => &mut self.links,
        };
        let mut first = 1;
        for row in rows {
            first += match row {
                Record::Usage(row) => bind_usage(statement, first, row)?,
                Record::Link(row) => bind_link(statement, first, row)?,
            };
        }
        debug_assert_eq!(first - 1, statement.parameter_count(), "what is not bound would be NULL");
        statement.raw_execute()
    }
}

fn bind_usage(statement: &mut Statement<'_>, first: usize, row: &UsageRow) -> Result<usize> {
    let Usage { input, cached, output } = row.usage;
    let columns = params![
        row.at_ms,
        row.link_id.to_string(),
        row.key,
        row.upstream,
        row.model,
        row.kind.name(),
        row.response_id,
        row.status,
        column(input.text),
        column(input.audio),
        column(input.image),
        column(cached.text),
        column(cached.audio),
        column(cached.image),
        column(output.text),
        column(output.audio),
        row.seconds,
        row.cost.map(|cost| column(cost.nano())),
    ];
    bind(statement, first, columns)
}

fn bind_link(statement: &mut Statement<'_>, first: usize, row: &LinkRow) -> Result<usize> {
    let columns = params![
        row.link_id.to_string(),
        row.request_id,
        row.key,
        row.upstream,
        row.model,
        row.opened_ms,
        row.ended_ms,
        row.ending,
        row.unsettled,
        row.client_close,
        row.upstream_close,
        column(row.frames_up),
        column(row.frames_down),
        column(row.bytes_up),
        column(row.bytes_down),
    ];
    bind(statement, first, columns)
}

/// Gives a statement the columns of a row, from the parameter `first` on. How many they are.
fn bind(statement: &mut Statement<'_>, first: usize, columns: &[&dyn ToSql]) -> Result<usize> {
    for (parameter, column) in (first..).zip(columns) {
        statement.raw_bind_parameter(parameter, column)?;
    }
    Ok(columns.len())
}

/// The largest number of a column, where a count is larger.
fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
