//! Reading the journal: the row that holds a position, its events, and their bytes.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::Position;
use postrider_core::record::Event;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use crate::codec::{self, HeadEvent};
use crate::error::Res;
use crate::rows::int;

/// Decoded rows that one read keeps.
const KEPT: usize = 16;

/// A journal row without its data.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) at: Timestamp,
    pub(crate) events: Vec<HeadEvent>,
}

impl Row {
    /// The event that takes a position, for itself or one of its deliveries.
    pub(crate) fn event_at(&self, position: Position) -> Option<&HeadEvent> {
        let index = self.events.partition_point(|e| e.event.position <= position).checked_sub(1)?;
        self.events.get(index).filter(|e| e.last() >= position)
    }
}

/// The journal as one read sees it.
#[derive(Debug)]
pub(crate) struct Journal<'c> {
    conn: &'c Connection,
    kept: Vec<Rc<Row>>,
    data: Option<(Position, Vec<u8>)>,
}

impl<'c> Journal<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn, kept: Vec::new(), data: None }
    }

    /// The row that holds a position, if it is (still) there.
    pub(crate) fn row(&mut self, position: Position) -> Res<Option<Rc<Row>>> {
        if let Some(row) = self.kept.iter().rev().find(|r| r.first <= position && position <= r.last) {
            return Ok(Some(Rc::clone(row)));
        }
        let mut statement = self.conn.prepare_cached(
            "SELECT first, last, at, head FROM journal WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
        )?;
        let mut rows = statement.query(params![int(position.0)])?;
        let Some(r) = rows.next()? else { return Ok(None) };
        let last = Position(r.get::<_, i64>(1)?.cast_unsigned());
        if last < position {
            return Ok(None);
        }
        let row = Rc::new(read_row(r)?);
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(Rc::clone(&row));
        Ok(Some(row))
    }

    /// An event with its bytes.
    pub(crate) fn full(&mut self, row: &Row, event: &HeadEvent) -> Res<Arc<Event>> {
        if event.attributes + event.data == 0 {
            return Ok(Arc::clone(&event.event));
        }
        let attributes = self.cut(row, event.offset, event.attributes)?;
        let data = self.cut(row, event.offset + event.attributes, event.data)?;
        Ok(Arc::new(Event { attributes, data, ..(*event.event).clone() }))
    }

    /// An event with its attributes alone.
    pub(crate) fn with_attributes(&mut self, row: &Row, event: &HeadEvent) -> Res<Arc<Event>> {
        if event.attributes == 0 {
            return Ok(Arc::clone(&event.event));
        }
        let attributes = self.cut(row, event.offset, event.attributes)?;
        Ok(Arc::new(Event { attributes, ..(*event.event).clone() }))
    }

    /// A part of a row's data.
    fn cut(&mut self, row: &Row, from: usize, length: usize) -> Res<Bytes> {
        if self.data.as_ref().is_none_or(|d| d.0 != row.first) {
            let data: Option<Vec<u8>> = self
                .conn
                .prepare_cached("SELECT data FROM journal WHERE first = ?1")?
                .query_row(params![int(row.first.0)], |r| r.get(0))
                .optional()?
                .flatten();
            self.data = Some((row.first, data.unwrap_or_default()));
        }
        let bytes = self.data.as_ref().map_or(&[][..], |d| &d.1);
        let part = bytes.get(from..from + length).map(Bytes::copy_from_slice);
        Ok(part.ok_or_else(|| StoreError::Unusable("a stored event has lost its data".into()))?)
    }

    /// The first row at or after a position.
    pub(crate) fn first_from(&self, position: Position) -> Res<Option<Position>> {
        let first: Option<i64> = self
            .conn
            .prepare_cached("SELECT first FROM journal WHERE first >= ?1 ORDER BY first LIMIT 1")?
            .query_row(params![int(position.0)], |r| r.get(0))
            .optional()?;
        Ok(first.map(|first| Position(first.cast_unsigned())))
    }
}

/// Reads `first, last, at, head`.
pub(crate) fn read_row(r: &rusqlite::Row<'_>) -> Res<Row> {
    let head = r.get_ref(3)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Row {
        first: Position(r.get::<_, i64>(0)?.cast_unsigned()),
        last: Position(r.get::<_, i64>(1)?.cast_unsigned()),
        at: Timestamp::from_micros(r.get(2)?),
        events: head.map(codec::decode).transpose()?.unwrap_or_default(),
    })
}

/// The first position whose row was written at or after a time: found by halving, as times grow with positions.
pub(crate) fn first_at(conn: &Connection, committed: Position, time: Timestamp) -> Res<Position> {
    let mut statement = conn.prepare_cached(
        "SELECT first, last, at FROM journal WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
    )?;
    let (mut low, mut high) = (1_u64, committed.0 + 1);
    while low < high {
        let middle = low.midpoint(high);
        let found = statement
            .query_row(params![int(middle)], |r| {
                Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
            })
            .optional()?;
        match found {
            Some((first, _, at)) if at >= time.as_micros() => high = first.cast_unsigned(),
            Some((_, last, _)) => low = (middle + 1).max(last.cast_unsigned() + 1),
            None => low = middle + 1,
        }
    }
    Ok(Position(low.min(high)))
}
