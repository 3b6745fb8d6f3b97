//! Which answers acknowledge a delivery.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::json::{self, Object};

/// How many status codes a profile may name.
const STATUSES: RangeInclusive<usize> = 1..=16;
/// The status codes that may acknowledge.
const STATUS: RangeInclusive<u32> = 200..=299;
/// The longest pointer, in bytes.
const MAX_POINTER: usize = 256;

/// Which answers acknowledge a delivery.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Acknowledged {
    /// The status codes; all of 200 to 299 where none is named.
    statuses: Box<[u16]>,
    /// What the answer must say beside: at a JSON pointer, this value.
    says: Option<(Box<str>, Value)>,
}

impl Acknowledged {
    /// Reads `{statuses?, pointer?, equals?}`.
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let statuses = if object.has("statuses") {
            let read = |v| json::integer(v, STATUS).map(|status| u16::try_from(status).unwrap_or(u16::MAX));
            object.required_list("statuses", STATUSES, read)
        } else {
            None
        };
        let pointer = object.optional("pointer", |v| {
            let text = json::string(v)?;
            if text.len() > MAX_POINTER || !text.starts_with('/') {
                return Err(
                    format!("must be a JSON pointer such as /ok, of at most {MAX_POINTER} bytes").into()
                );
            }
            Ok(Box::from(text))
        });
        let equals = object.optional("equals", |v| {
            serde_json::from_str::<Value>(v.get())
                .ok()
                .filter(|value| !value.is_object() && !value.is_array())
                .ok_or_else(|| "must be a text, a number, or true or false".into())
        });
        match (object.has("pointer"), object.has("equals")) {
            (true, false) => object.fault("equals", "is missing: say what must stand at the pointer"),
            (false, true) => object.fault("pointer", "is missing: say where it must stand"),
            _ => {}
        }
        Some(Self { statuses: statuses.unwrap_or_default().into(), says: pointer.zip(equals) })
    }

    /// An answer that acknowledges: its status and its body, which is empty where nothing must be said.
    ///
    /// ```
    /// use postrider_core::profile::Acknowledged;
    /// assert_eq!(Acknowledged::default().answer(), (200, String::new()));
    /// ```
    pub fn answer(&self) -> (u16, String) {
        let body = self.says.as_ref().map(|(pointer, value)| {
            let name = |escaped: &str| escaped.replace("~1", "/").replace("~0", "~");
            let within = |inner, escaped: &str| Value::from_iter([(name(escaped), inner)]);
            pointer.strip_prefix('/').unwrap_or(pointer).rsplit('/').fold(value.clone(), within).to_string()
        });
        (self.statuses.first().copied().unwrap_or(200), body.unwrap_or_default())
    }

    /// Whether an answer acknowledges. One whose body was cut off says nothing.
    ///
    /// ```
    /// use postrider_core::profile::Acknowledged;
    /// let any = Acknowledged::default();
    /// assert!(any.by(204, b"") && !any.by(302, b"") && !any.by(500, b""));
    /// ```
    pub fn by(&self, status: u16, body: &[u8]) -> bool {
        let status_fits = if self.statuses.is_empty() {
            (200..300).contains(&status)
        } else {
            self.statuses.contains(&status)
        };
        status_fits
            && self.says.as_ref().is_none_or(|(pointer, value)| {
                serde_json::from_slice::<Value>(body).is_ok_and(|said| said.pointer(pointer) == Some(value))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Acknowledged, Vec<String>> {
        let mut object = Object::parse(text).unwrap();
        let read = Acknowledged::read(&mut object);
        object.end(read).map_err(|error| error.faults().iter().map(|fault| fault.pointer.clone()).collect())
    }

    #[test]
    fn an_answer_acknowledges_by_its_status_and_by_what_it_says() {
        let only = read(r#"{"statuses": [200, 202]}"#).unwrap();
        assert!(only.by(200, b"") && only.by(202, b"x") && !only.by(204, b""));
        let says = read(r#"{"pointer": "/result/ok", "equals": true}"#).unwrap();
        assert!(says.by(201, br#"{"result": {"ok": true}}"#));
        let (status, body) = says.answer();
        assert!(says.by(status, body.as_bytes()) && only.by(only.answer().0, b""));
        for body in [&b""[..], b"{", br#"{"result":{"ok":"true"}}"#, br#"{"ok":true}"#] {
            assert!(!says.by(200, body));
        }
        assert!(!says.by(500, br#"{"result":{"ok":true}}"#));
    }

    #[test]
    fn what_cannot_be_meant_is_a_fault() {
        for (text, pointer) in [
            (r#"{"statuses": []}"#, "/statuses"),
            (r#"{"statuses": [302]}"#, "/statuses/0"),
            (r#"{"pointer": "/a"}"#, "/equals"),
            (r#"{"equals": 1}"#, "/pointer"),
            (r#"{"pointer": "a", "equals": 1}"#, "/pointer"),
            (r#"{"pointer": "/a", "equals": {}}"#, "/equals"),
        ] {
            assert_eq!(read(text).unwrap_err(), [pointer], "{text}");
        }
    }
}
