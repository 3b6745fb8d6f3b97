//! JSON pointers (RFC 6901): where in an event's data a condition looks.

use crate::json::Detail;

/// The longest pointer, in bytes.
pub const MAX_POINTER_BYTES: usize = 256;
/// The most levels of a pointer.
pub const MAX_POINTER_LEVELS: usize = 16;

/// A JSON pointer, and the names on its way. Pointers are in order of these, so that those through one place stand together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    text: Box<str>,
    names: Box<[Box<str>]>,
}

impl Pointer {
    /// Reads a pointer: empty for the whole document, else names behind `/`, in which `~1` stands for `/` and `~0` for `~`.
    ///
    /// # Errors
    /// A sentence for what is none, or is out of bounds.
    ///
    /// ```
    /// use postrider_core::filter::Pointer;
    /// assert!(Pointer::parse("/items/0/a~1b").is_ok() && Pointer::parse("").is_ok());
    /// assert!(Pointer::parse("amount").is_err() && Pointer::parse("/~2").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, Detail> {
        let names: Option<Vec<Box<str>>> = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').take(MAX_POINTER_LEVELS + 1).map(unescaped).collect(),
            None => text.is_empty().then(Vec::new),
        };
        match names {
            Some(names) if names.len() <= MAX_POINTER_LEVELS && text.len() <= MAX_POINTER_BYTES => {
                Ok(Self { text: text.into(), names: names.into() })
            }
            _ => Err(format!(
                "must be a JSON pointer such as /card/id: at most {MAX_POINTER_BYTES} bytes and {MAX_POINTER_LEVELS} \
                 levels, with ~0 for ~ and ~1 for / in names"
            )
            .into()),
        }
    }

    /// The member of that name, at the top; shown as the name alone.
    pub(super) fn member(name: &str) -> Self {
        Self { text: name.into(), names: [name.into()].into() }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }
}

/// A name as it stands in the document; `None` where a `~` stands for nothing.
fn unescaped(name: &str) -> Option<Box<str>> {
    let mut parts = name.split('~');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (stands_for, rest) = part
            .strip_prefix('0')
            .map(|rest| ('~', rest))
            .or_else(|| part.strip_prefix('1').map(|rest| ('/', rest)))?;
        out.push(stands_for);
        out.push_str(rest);
    }
    Some(out.into())
}
