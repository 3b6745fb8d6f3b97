//! What a call answers: a typed value with the JSON it came in, and pages of a list.

use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The typed value of an answer, and the JSON text that it was read from.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    value: T,
    json: Bytes,
}

impl<T> Answer<T> {
    pub(crate) fn new(value: T, json: Bytes) -> Self {
        Self { value, json }
    }

    /// The same text with what was read made something else.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), json: self.json }
    }

    /// The JSON text as the server sent it. Valid UTF-8, since it was read as JSON.
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or("null")
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// One page of a list. A page may be shorter than its limit and still have a next one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries, in the order of the list.
    pub data: Vec<T>,
    /// Where the next page begins; `None` at the end of the list.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Which page of a list to read.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Entries at most, 1 to 250; the server's default is 50.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageRequest {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if let Some(limit) = self.limit {
            query.push(("limit", limit.to_string()));
        }
        if let Some(cursor) = &self.cursor {
            query.push(("cursor", cursor.clone()));
        }
        query
    }
}
