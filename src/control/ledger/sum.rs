//! A sum that stops at the largest number instead of failing: one row of nonsense from an upstream must not take every
//! report and every quota with it. Refuses to know what is summed.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::{Connection, Result};

/// Makes it known to a connection, as `sum_up`. NULL counts nothing, and of no rows it is 0.
pub(super) fn teach(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("sum_up", 1, flags, SumUp)
}

struct SumUp;

impl Aggregate<i64, i64> for SumUp {
    fn init(&self, _: &mut Context<'_>) -> Result<i64> {
        Ok(0)
    }

    fn step(&self, row: &mut Context<'_>, sum: &mut i64) -> Result<()> {
        *sum = sum.saturating_add(row.get::<Option<i64>>(0)?.unwrap_or(0));
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<i64>) -> Result<i64> {
        Ok(sum.unwrap_or(0))
    }
}
