//! The guard against card data: card numbers and what authenticates a card must not come into Postrider by accident.
//!
//! Every event passes a first look at its bytes ([`is_suspicious`]), which nearly always finds nothing that could be card
//! data. What is left is gone through by its structure, and the tenant's [`CardPolicy`] says what becomes of each thing found.
//! What receivers answer passes the guard too, and so does whatever is configured, since logs and screens show it.
//! `docs/card-data.md` says what is recognised, and what cannot be told apart.

use std::borrow::Cow;

use crate::fault::{Fault, MAX_FAULTS};
use crate::json::escape_into;

mod admit;
mod answers;
mod edits;
mod issuers;
mod layer;
mod names;
mod policy;
mod quick;
mod runs;
#[cfg(test)]
mod tests;
mod units;
mod walk;

pub use admit::is_suspicious;
pub use answers::{mask_body, mask_header};
pub use policy::{
    AuthenticationData, CardPolicy, CardSettings, MAX_EXEMPT_POINTER, MAX_EXEMPT_POINTERS, MAX_EXEMPTIONS,
    Numbers,
};

use edits::Edits;
use layer::Layer;
use units::{Unit, unit};
use walk::{HIDDEN, Place, Step, Verdict, Walk, What};

/// The longest pointer that a fault tells, in bytes, roughly.
const MAX_POINTER: usize = 1_024;

const NUMBER: &str = "holds what looks like a card number; send a token or the last four digits instead (what is none may stand \
                      beside a letter, or the operator may exempt this place)";
const SECRET: &str = "holds what looks like a card's verification code, PIN or track, which must never be stored; leave it out";
const CONFIGURED: &str =
    "holds what looks like a card number, which logs and screens would show; leave it out";

/// Whether a text that is no JSON holds a card number, percent-encoded or not.
///
/// ```
/// use postrider_core::card::holds_number;
/// assert!(holds_number("order of 4111 1111 1111 1111"));
/// assert!(!holds_number("order 4111111111111112, 411111******1111"));
/// ```
pub fn holds_number(text: &str) -> bool {
    !numbers_in(text).is_empty()
}

/// Whether a text that is no JSON is worth a walk: the bytes show no digits that are percent-encoded.
fn may_hold_number(text: &str) -> bool {
    quick::may_hold_number(text) || text.contains('%')
}

/// The card numbers in a text that is no JSON.
fn numbers_in(text: &str) -> Vec<What> {
    let mut found = Vec::new();
    if may_hold_number(text) {
        let judge = |_: Place<'_>, what| {
            found.push(what);
            Verdict::Pass
        };
        Walk::new(judge).encoded().text(&Layer::of(text));
    }
    found
}

/// The places of a configuration, as JSON, that hold card numbers: at most [`MAX_FAULTS`], without the digits.
pub fn faults_of_configuration(json: &[u8]) -> Vec<Fault> {
    let mut faults = Faults::default();
    let judge = |place: Place<'_>, what| {
        if what != What::Secret {
            faults.push(place.pointer(""), CONFIGURED);
        }
        Verdict::Pass
    };
    Walk::new(judge).encoded().document(&Layer::of_bytes(json));
    faults.0
}

/// A text in which every digit of a card number is hidden: for names in pointers.
pub fn without_numbers(text: &str) -> Cow<'_, str> {
    if !quick::may_hold_number(text) {
        return Cow::Borrowed(text);
    }
    let mut edits = Edits::default();
    for hit in runs::find(text, false) {
        for part in std::iter::once(hit.number).chain(hit.track) {
            let digits =
                text[part.clone()].char_indices().filter(|(_, c)| matches!(unit(*c), Unit::Digit(_)));
            for (at, c) in digits {
                edits.replace(part.start + at..part.start + at + c.len_utf8(), HIDDEN);
            }
        }
    }
    match edits.apply(text.as_bytes()).map(String::from_utf8) {
        Some(Ok(hidden)) => Cow::Owned(hidden),
        _ => Cow::Borrowed(text),
    }
}

impl Place<'_> {
    /// The pointer to it, below a field (empty: none). The names in it show no card number.
    fn pointer(self, field: &str) -> String {
        let mut pointer = if field.is_empty() { String::new() } else { format!("/{field}") };
        for step in self.steps() {
            if pointer.len() > MAX_POINTER {
                pointer.push_str("/…");
                break;
            }
            match step {
                Step::Name(name) => escape_into(&mut pointer, name),
                Step::Item(n) => pointer.push_str(&format!("/{n}")),
            }
        }
        pointer
    }
}

/// Faults, each place once.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn push(&mut self, pointer: String, detail: &'static str) {
        if self.0.len() < MAX_FAULTS && !self.0.iter().any(|told| told.pointer == pointer) {
            self.0.push(Fault::new(pointer, detail));
        }
    }

    fn none(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
