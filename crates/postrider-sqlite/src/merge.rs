//! Merging eight runs into one, a bounded number of keys at a time.

use std::sync::Arc;

use postrider_core::id::Position;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Res;
use crate::runs::{Builder, Entry, Family, Run, entry};
use crate::settle::{write_page, write_run};

/// Keys that one step merges.
const STEP: usize = 16_384;

/// Where the merge stands in one of its inputs.
#[derive(Debug)]
struct Cursor {
    run: Arc<Run>,
    page: usize,
    data: Vec<u8>,
    index: usize,
}

impl Cursor {
    fn new(conn: &Connection, run: Arc<Run>) -> Res<Self> {
        let mut cursor = Self { run, page: 0, data: Vec::new(), index: 0 };
        cursor.data = page(conn, cursor.run.id, 0)?.unwrap_or_default();
        Ok(cursor)
    }

    fn peek(&self) -> Option<Entry> {
        entry(&self.data, self.index)
    }

    fn advance(&mut self, conn: &Connection) -> Res<()> {
        self.index += 1;
        if self.peek().is_none() && self.page + 1 < self.run.fences.len() {
            self.page += 1;
            self.index = 0;
            self.data = page(conn, self.run.id, self.page)?.unwrap_or_default();
        }
        Ok(())
    }
}

/// Reads a page of a run.
pub(crate) fn page(conn: &Connection, run: i64, page: usize) -> Res<Option<Vec<u8>>> {
    Ok(conn
        .prepare_cached("SELECT data FROM run_pages WHERE id = ?1")?
        .query_row(params![Run::page_id(run, page)], |r| r.get(0))
        .optional()?)
}

/// A merge under way. What it has written counts for nothing before its end.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) family: Family,
    pub(crate) inputs: Vec<i64>,
    cursors: Vec<Cursor>,
    builder: Option<Builder>,
    last: Option<Entry>,
}

impl Merge {
    /// Begins: the run that comes of it is marked as being written.
    pub(crate) fn begin(conn: &Connection, family: Family, inputs: Vec<Arc<Run>>, id: i64) -> Res<Self> {
        let keys = inputs.iter().map(|r| r.keys).sum();
        let level = inputs.iter().map(|r| r.level).max().unwrap_or(0) + 1;
        let newest = inputs.iter().map(|r| r.newest).max().unwrap_or_default();
        conn.prepare_cached("INSERT INTO runs VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, x'', x'')")?
            .execute(params![id, family as i64, level])?;
        Ok(Self {
            family,
            inputs: inputs.iter().map(|r| r.id).collect(),
            cursors: inputs.into_iter().map(|r| Cursor::new(conn, r)).collect::<Res<_>>()?,
            builder: Some(Builder::new(id, level, keys, newest)),
            last: None,
        })
    }

    /// The id of the run that is being written.
    pub(crate) fn output(&self) -> Option<i64> {
        self.builder.as_ref().map(|b| b.id)
    }

    /// One step; the run when it is complete.
    pub(crate) fn step(&mut self, conn: &Connection) -> Res<Option<Run>> {
        let Some(mut builder) = self.builder.take() else { return Ok(None) };
        for _ in 0..STEP {
            let next = self.cursors.iter_mut().filter(|c| c.peek().is_some()).min_by_key(|c| c.peek());
            let Some((cursor, next)) = next.and_then(|c| c.peek().map(|e| (c, e))) else {
                let (page, run) = builder.finish();
                if let Some(page) = page {
                    write_page(conn, page)?;
                }
                write_run(conn, self.family, &run)?;
                for input in &self.inputs {
                    retire(conn, *input)?;
                }
                return Ok(Some(run));
            };
            cursor.advance(conn)?;
            if self.last.replace(next) != Some(next)
                && let Some(page) = builder.push(next)
            {
                write_page(conn, page)?;
            }
        }
        self.builder = Some(builder);
        Ok(None)
    }
}

/// Marks a run as to be removed.
pub(crate) fn retire(conn: &Connection, run: i64) -> Res<()> {
    conn.prepare_cached("UPDATE runs SET state = 2 WHERE id = ?1")?.execute(params![run])?;
    Ok(())
}

/// Pages of removed runs that one step deletes.
const DELETED: i64 = 512;

/// Removes some pages of a run that is not in use, other than the one being written; `false` if there is none.
pub(crate) fn clear(conn: &Connection, writing: Option<i64>) -> Res<bool> {
    let dead: Option<i64> = conn
        .prepare_cached("SELECT id FROM runs WHERE state = 2 OR (state = 0 AND id <> ?1) LIMIT 1")?
        .query_row(params![writing.unwrap_or(0)], |r| r.get(0))
        .optional()?;
    let Some(run) = dead else { return Ok(false) };
    let gone = conn
        .prepare_cached(
            "DELETE FROM run_pages WHERE id IN (SELECT id FROM run_pages WHERE id >= ?1 AND id < ?2 LIMIT ?3)",
        )?
        .execute(params![Run::page_id(run, 0), Run::page_id(run + 1, 0), DELETED])?;
    if gone == 0 {
        conn.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute(params![run])?;
    }
    Ok(true)
}

/// The positions that runs have for a key below a bound, newest first, at most `limit`.
pub(crate) fn positions(
    conn: &Connection,
    runs: &[Arc<Run>],
    key: u64,
    before: Position,
    limit: usize,
) -> Res<Vec<Position>> {
    let mut found: Vec<Position> = Vec::new();
    for run in runs.iter().filter(|r| r.first < before) {
        for number in run.pages(key).rev() {
            let Some(data) = page(conn, run.id, number)? else { continue };
            found.extend(crate::runs::find(&data, key).into_iter().rev().filter(|p| *p < before));
            if found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }
    Ok(found)
}
