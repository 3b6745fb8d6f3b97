//! What receivers send back: card data in it is hidden before anything keeps it, whatever a tenant's policy.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::edits::{Edits, NeverDone, until_nothing_changes};
use super::issuers::{ISSUER_DIGITS, MAX_DIGITS, may_begin_one};
use super::layer::Layer;
use super::quick;
use super::units::{Unit, unit};
use super::walk::{HIDDEN, HIDDEN_SECRET, Place, Verdict, Walk, What};

/// Hides the card data in the beginning of an answer's body; `None` where there is none. `is_cut`: the body goes on beyond
/// it, so that a number that reaches the end may be a part of a longer one.
///
/// JSON stays JSON: a number that is hidden becomes a string. Anything else is taken for a text, in whatever encoding.
pub fn mask_body(body: &[u8], is_cut: bool) -> Option<Bytes> {
    let masked = until_nothing_changes(body, |body| {
        let layer = Layer::of_bytes(body);
        let mut walk = Walk::new(hide).encoded();
        if !quick::is_suspicious_text(&layer.text) && !layer.text.contains('%') {
            return walk.into_edits();
        }
        if serde_json::from_str::<IgnoredAny>(&layer.text).is_err() {
            // It may still have parts that are JSON, or be the beginning of it.
            walk = walk.loose();
            walk.text(&layer);
        }
        walk.document(&layer);
        walk.into_edits()
    });
    let masked = given_up(masked);
    let ended = is_cut.then(|| without_begun_number(masked.as_deref().unwrap_or(body))).flatten();
    ended.or(masked).map(Bytes::from)
}

/// Hides the card numbers in a header's name or value; `None` where there is none.
pub fn mask_header(text: &[u8]) -> Option<Bytes> {
    let masked = until_nothing_changes(text, |text| {
        let layer = Layer::of_bytes(text);
        let mut walk = Walk::new(hide).encoded();
        if quick::may_hold_number(&layer.text) || layer.text.contains('%') {
            walk.text(&layer);
        }
        walk.into_edits()
    });
    given_up(masked).map(Bytes::from)
}

/// What cannot be masked in reasonable time is not kept at all.
fn given_up(masked: Result<Option<Vec<u8>>, NeverDone>) -> Option<Vec<u8>> {
    masked.unwrap_or_else(|NeverDone| Some(HIDDEN_SECRET.into()))
}

fn hide(_: Place<'_>, _: What) -> Verdict {
    Verdict::Mask
}

/// The same without the digits at the end that may be the beginning of a card number, save for those that tell the issuer.
fn without_begun_number(body: &[u8]) -> Option<Vec<u8>> {
    let layer = Layer::of_bytes(body);
    let mut digits = Vec::new();
    let mut parted = false;
    for (at, c) in layer.text.char_indices().rev() {
        match unit(c) {
            Unit::Digit(digit) => {
                digits.push((digit, at..at + c.len_utf8()));
                parted = false;
            }
            Unit::Separator if !parted => parted = true,
            _ => break,
        }
    }
    digits.reverse();
    let values: Vec<u8> = digits.iter().map(|(digit, _)| *digit).collect();
    let mut edits = Edits::default();
    if digits.len() < MAX_DIGITS && may_begin_one(&values) {
        for (_, part) in digits.into_iter().skip(ISSUER_DIGITS) {
            edits.replace(layer.origins(part), HIDDEN);
        }
    }
    edits.apply(body)
}
