//! What is wrong with a request, told so that its sender can mend all of it at once.

use std::borrow::Cow;
use std::fmt;

/// One thing wrong with a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// The fault and its remedy. Never holds a value that was sent, which may be a secret.
    pub detail: Cow<'static, str>,
    /// The document is well, but its sender may not have what it asks for.
    pub is_refusal: bool,
}

impl Fault {
    /// A fault at a pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), is_refusal: false }
    }

    /// What the sender of a document may not have, at a pointer.
    pub fn refusal(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { is_refusal: true, ..Self::new(pointer, detail) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place} {}", self.detail)
    }
}

/// The most faults that are told of one document; those after them wait for the next try.
pub const MAX_FAULTS: usize = 100;

/// Why a request's body is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not JSON (RFC 8259) in UTF-8, or nests deeper than [`MAX_DEPTH`](crate::json::MAX_DEPTH): status 400.
    #[error("{0}")]
    Syntax(String),
    /// It is JSON, but not what was asked for: status 422. At least one fault, at most [`MAX_FAULTS`].
    #[error("{}", summary(.0))]
    Faults(Vec<Fault>),
    /// One event is longer than the operator allows: status 413.
    #[error("the event is longer than {limit} bytes; send less data, or a reference to it")]
    TooLarge {
        /// The longest that is allowed, in bytes.
        limit: usize,
    },
}

impl ParseError {
    /// A single fault.
    pub fn fault(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Faults(vec![Fault::new(pointer, detail)])
    }

    /// The same, seen from a document in which this one stands at `prefix` (a JSON pointer).
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        match self {
            Self::Faults(mut faults) => {
                for fault in &mut faults {
                    fault.pointer.insert_str(0, prefix);
                }
                Self::Faults(faults)
            }
            other => other,
        }
    }

    /// The faults with their pointers; empty where the body could not be read as JSON or is too large.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Faults(faults) => faults,
            Self::Syntax(_) | Self::TooLarge { .. } => &[],
        }
    }
}

fn summary(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}
