//! The ledger as anyone may read it: with plain SQL, from outside, while the relay writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::within;

/// How often a ledger is asked again that does not say yet what is waited for.
const ASK_AGAIN: Duration = Duration::from_millis(2);

pub struct Ledger(PathBuf);

impl Ledger {
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }

    pub fn connect(&self) -> Connection {
        let connection = Connection::open(&self.0).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }

    /// Rows as text, their columns joined by `|`; NULL is nothing.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let connection = self.connect();
        let mut query = connection.prepare(sql).unwrap();
        let width = query.column_count();
        let text = |value| match value {
            Value::Null => String::new(),
            Value::Integer(integer) => integer.to_string(),
            Value::Real(real) => real.to_string(),
            Value::Text(text) => text,
            Value::Blob(_) => "blob".to_owned(),
        };
        let rows =
            query.query_map([], |row| (0..width).map(|index| row.get(index).map(text)).collect::<Result<Vec<_>, _>>());
        rows.unwrap().map(|row| row.unwrap().join("|")).collect()
    }

    /// How many rows there are of this table, or of a part of it.
    pub fn count(&self, rows: &str) -> usize {
        self.ask(&format!("SELECT count(*) FROM {rows}"))[0].parse().unwrap()
    }

    /// Waits until it has so many rows, and tells at once of more.
    pub async fn until_count(&self, rows: &str, count: usize) {
        let there = async {
            while self.count(rows) < count {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within(&format!("{count} rows of {rows}"), there).await;
        assert_eq!(self.count(rows), count, "rows of {rows}");
    }
}
