//! Opens a ledger, to write or only to read, and says why not. What is not a ledger, or a damaged one, is left as it is.
//! Refuses to know what is in the tables.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, CURRENT, Standing};
use super::sum;

/// How long opening waits for whoever is writing: a migration of another process at the longest.
const PATIENCE: Duration = Duration::from_secs(5);
/// Up to this size every page is looked at before a ledger is trusted: a second, cold. A larger one would hold up a
/// restart; its pages are judged as they are read.
const CHECKED_BYTES: u64 = 256 << 20;
/// What is kept of the write-ahead log's file once its content is in the ledger, in bytes.
const KEPT_LOG_BYTES: i64 = 16 << 20;
/// What is kept of the ledger in memory, in KiB. Rows come in the order of time, so what the next one needs is little; the
/// rest is in the system's cache. By default it would be 2 MiB, which is much beside all else that the relay keeps.
const CACHE_KIB: i64 = 256;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no folder for it.
    #[error("the folder {} of the ledger does not exist; create it, or name another file with metering.ledger", .0.display())]
    NoFolder(PathBuf),
    /// There is none to read.
    #[error("there is no ledger {}; it is made when the relay first runs", .0.display())]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{} is not a ledger, and was left as it is; name another file with metering.ledger", .0.display())]
    Foreign(PathBuf),
    /// The file is not whole.
    #[error("the ledger {} is damaged, and was left as it is: {what}; move it away, or rescue it with `sqlite3 {} .recover`", .path.display(), .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A later relay has written it.
    #[error("the ledger {} is of version {found}, and this relay knows none above {CURRENT}; run the relay that wrote it, or a later one", .path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file system cannot do what several processes need.
    #[error("the ledger {} cannot have a write-ahead log (its journal is `{mode}`); it needs a local disk", .path.display())]
    NoLog {
        /// Which file.
        path: PathBuf,
        /// What SQLite offers instead.
        mode: String,
    },
    /// SQLite, or the disk, says no.
    #[error("the ledger {}: {error}", .path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: rusqlite::Error,
    },
    /// There is no thread for it.
    #[error("the ledger's writer cannot start: {0}")]
    Thread(io::Error),
}

impl LedgerError {
    pub(super) fn of(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign(path.to_owned()),
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path: path.to_owned(), what: error.to_string() },
            _ => Self::Sqlite { path: path.to_owned(), error },
        }
    }
}

/// Opens a ledger to write to it. Makes one where there is none, and brings an older one up to date.
pub(super) fn to_write(path: &Path, synchronous: &str) -> Result<Connection, LedgerError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(LedgerError::NoFolder(folder.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(LedgerError::of(path))?;
    judge(path, &connection)?;
    look_through(path, &connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(LedgerError::of(path))?;
    prepare(&mut connection, synchronous).map_err(LedgerError::of(path)).and_then(|mode| match mode.as_str() {
        "wal" => Ok(connection),
        _ => Err(LedgerError::NoLog { path: path.to_owned(), mode }),
    })
}

/// Opens a ledger that is there already, to read it while others write.
pub(super) fn to_read(path: &Path) -> Result<Connection, LedgerError> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(LedgerError::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(LedgerError::of(path))?;
    if judge(path, &connection)? == Standing::Empty {
        return Err(LedgerError::Foreign(path.to_owned()));
    }
    sum::teach(&connection).map_err(LedgerError::of(path))?;
    Ok(connection)
}

/// Looks before anything is written. Not even what waits in the write-ahead log of a ledger that is refused is put in.
fn judge(path: &Path, connection: &Connection) -> Result<Standing, LedgerError> {
    let wrong = LedgerError::of(path);
    connection.busy_timeout(PATIENCE).map_err(&wrong)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&wrong)?;
    match schema::standing(connection).map_err(&wrong)? {
        Standing::Foreign => Err(LedgerError::Foreign(path.to_owned())),
        Standing::Newer(found) => Err(LedgerError::Newer { path: path.to_owned(), found }),
        standing => Ok(standing),
    }
}

/// Looks at every page, where that does not take too long.
fn look_through(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_BYTES) {
        let what: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(LedgerError::of(path))?;
        if what != "ok" {
            return Err(LedgerError::Damaged { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// The journal's mode, once everything else is as it should be.
fn prepare(connection: &mut Connection, synchronous: &str) -> rusqlite::Result<String> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", KEPT_LOG_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?; // negative: KiB instead of pages
    sum::teach(connection)?;
    schema::migrate(connection)?;
    Ok(mode)
}
