//! JSON that holds secrets, and leaves nothing of them in memory.

use std::io;

use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

/// A JSON object with secrets in it. Its strings are wiped when it is dropped.
pub(crate) struct Wiped(pub(crate) Value);

impl Wiped {
    /// The object's members.
    pub(crate) fn of(members: Map<String, Value>) -> Self {
        Self(Value::Object(members))
    }

    /// The object itself, for whoever wipes it instead.
    pub(crate) fn take(mut self) -> Value {
        self.0.take()
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Self> {
        self.0.as_object_mut()?.remove(name).map(Self)
    }

    /// It as a text, in one place in memory: a text that grows leaves copies behind.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        let mut length = Length(0);
        let mut text = Zeroizing::new(Vec::new());
        let written = serde_json::to_writer(&mut length, &self.0).and_then(|()| {
            text.reserve_exact(length.0);
            serde_json::to_writer(&mut *text, &self.0)
        });
        written.expect("a value is written into memory without fail");
        let text = String::from_utf8(std::mem::take(&mut *text));
        Zeroizing::new(text.expect("JSON is written as UTF-8"))
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Wipes the strings of a value.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Counts what would be written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_string_is_wiped_and_nothing_else_changes() {
        let mut value =
            json!({"secret": "hush", "auth": {"password": "hush", "n": 1}, "old": ["hush", null, true]});
        wipe(&mut value);
        assert_eq!(value, json!({"secret": "", "auth": {"password": "", "n": 1}, "old": ["", null, true]}));
    }

    #[test]
    fn a_text_is_written_in_one_place() {
        let value = json!({"secret": "with \"quotes\" \u{1} and ü", "auth": {"password": ""}});
        let text = Wiped(value.clone()).to_text();
        assert_eq!(text.capacity(), text.len());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
