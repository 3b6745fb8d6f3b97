//! The first look at a document, which nearly always is the last: whether there can be anything in it at all.
//!
//! It looks at bytes, follows no structure and allocates nothing. It may suspect what the [walk](super::walk) then finds to be
//! harmless, and never passes over what that would find: escapes that could hide something are suspicious by themselves, and
//! so are quotes within strings, which nearly always are JSON within JSON.

use memchr::{memchr, memchr_iter, memchr2_iter, memrchr};

use super::issuers::{MAX_DIGITS, MIN_DIGITS, is_card_number};
use super::layer::escape;
use super::names::{ends_like_a_secret, secret};
use super::runs::MAX_PHONE_DIGITS;
use super::units::{Unit, unit};

/// Digits of a run that are looked at; a longer run is suspicious.
const MAX_RUN: usize = 32;
/// The longest name that is looked at, in bytes: more than any that could promise a secret.
const MAX_NAME: usize = 80;

/// Whether a JSON document is to be gone through.
pub(super) fn is_suspicious(json: &str) -> bool {
    let bytes = json.as_bytes();
    has_odd_escape(json)
        || has_power_of_ten(bytes, may_begin_value)
        || has_secret_name(bytes)
        || may_hold_number(json)
}

/// The same for a text that need not be JSON.
pub(super) fn is_suspicious_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    has_odd_escape(text)
        || has_power_of_ten(bytes, |_| true)
        || has_secret_name(bytes)
        || may_hold_number(text)
}

/// Whether there is an escape that could stand for a digit, or for what parts names, strings and digits.
fn has_odd_escape(json: &str) -> bool {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &bytes[at..]) {
        at += found;
        let (meant, length) = match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'"'), _) | (Some(b'\\'), Some(b'u')) => return true,
            _ => escape(&json[at..]).unwrap_or(('\\', 1)),
        };
        at += length;
        let is_odd = match meant {
            _ if length < 2 => true,
            _ if length == 2 => false,
            // What libraries escape for the sake of HTML.
            '&' | '\'' | '<' | '>' | '=' | '/' | '+' => false,
            '\t' | '\n' | '\r' | '\u{20}'..='\u{7e}' => true,
            c => matches!(unit(c), Unit::Digit(_) | Unit::Separator),
        };
        // The digits of the escape itself must not be taken for the beginning of a number that follows it.
        let joins = length > 2 && bytes.get(at).is_some_and(|b| b.is_ascii_digit() || !b.is_ascii());
        if is_odd || joins {
            return true;
        }
    }
    false
}

/// Whether there is a number such as `4.1e15`, where it can be a value by what stands before it.
fn has_power_of_ten(bytes: &[u8], may_be_value: impl Fn(&[u8]) -> bool) -> bool {
    let is_digit = |b: u8| b.wrapping_sub(b'0') < 10;
    let is_e = |b: u8| b | 0x20 == b'e';
    // Without a branch, so that the compiler looks at many bytes at once. Only hexadecimal ids come near.
    let threes = bytes.iter().zip(bytes.get(1..).unwrap_or_default()).zip(bytes.get(2..).unwrap_or_default());
    let near = |((a, b), c): ((&u8, &u8), &u8)| {
        is_digit(*a) & is_e(*b) & (is_digit(*c) | (*c == b'+') | (*c == b'-'))
    };
    if !threes.fold(false, |found, three| found | near(three)) {
        return false;
    }
    let ends = |b: &u8| b"{}[],:\"\\ \t\r\n".contains(b);
    memchr2_iter(b'e', b'E', bytes).any(|at| {
        let exponent = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at > 0
            && is_digit(bytes[at - 1])
            && bytes.get(exponent).is_some_and(u8::is_ascii_digit)
            && bytes[exponent..].iter().find(|b| !b.is_ascii_digit()).is_none_or(ends)
            && may_be_value(&bytes[..at])
    })
}

/// Whether a number that stands at the end of a part of a document can be a value of it, or all that a string holds: else it is
/// a word of a text.
fn may_begin_value(before: &[u8]) -> bool {
    let digits = before.iter().rev().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')).count();
    match before[..before.len() - digits].trim_ascii_end() {
        [.., b'\\', b'n' | b'r' | b't'] | [] => true,
        [.., last] => b":,[\"".contains(last),
    }
}

/// Whether there is a name that promises a secret, with a value that could be one.
fn has_secret_name(bytes: &[u8]) -> bool {
    memchr_iter(b':', bytes).any(|colon| {
        let before = &bytes[..colon];
        let end = match before {
            [name @ .., b'"'] => name.len(),
            [.., b' ' | b'\t' | b'\r' | b'\n'] => match before.trim_ascii_end() {
                [name @ .., b'"'] => name.len(),
                _ => return false,
            },
            _ => return false,
        };
        if !may_be_secret(&bytes[colon + 1..]) {
            return false;
        }
        let tail = &bytes[end.saturating_sub(MAX_NAME)..end];
        let name = memrchr(b'"', tail).map(|quote| &tail[quote + 1..]);
        if memchr(b'\\', name.unwrap_or(tail)).is_some() {
            return true;
        }
        let name = name.filter(|name| ends_like_a_secret(name));
        name.and_then(|name| std::str::from_utf8(name).ok()).is_some_and(|name| secret(name).is_some())
    })
}

/// Whether a value that begins so can be a verification code, a PIN, or the data of a track.
fn may_be_secret(value: &[u8]) -> bool {
    match value.trim_ascii_start() {
        [b'"', first, ..] => {
            *first <= b' ' || !first.is_ascii() || first.is_ascii_hexdigit() || b"%;\\-.".contains(first)
        }
        [first, ..] => !matches!(first, b'{' | b'n' | b't' | b'f'),
        [] => false,
    }
}

/// Whether there is a run of digits with a card number in it, whatever stands beside it.
///
/// A run has at least [`MIN_DIGITS`] digits, and no two separators in a row. So of any two bytes in a row one is of a digit,
/// and only one pair in as many bytes needs to be looked at.
pub(super) fn may_hold_number(text: &str) -> bool {
    const STEP: usize = MIN_DIGITS - 1;
    let bytes = text.as_bytes();
    let mut at = STEP - 1;
    while let Some(pair) = bytes.get(at..at + 2) {
        if !may_be_digit(&pair[0]) && !may_be_digit(&pair[1]) {
            at += STEP;
            continue;
        }
        let touched = at + usize::from(!may_be_digit(&pair[0]));
        let mut end = match few_digits_until(bytes, touched) {
            Some(end) => end,
            None => {
                let Some((run, end)) = Run::around(text, touched) else {
                    at = touched + STEP;
                    continue;
                };
                if run.is_suspicious() {
                    return true;
                }
                end
            }
        };
        end = end.max(at + 1);
        at = end + STEP - 1;
    }
    false
}

/// Whether a byte is a digit, or a part of a character that may be one.
fn may_be_digit(byte: &u8) -> bool {
    byte.is_ascii_digit() || !byte.is_ascii()
}

/// Where the digits end that a byte stands among, if they are too few for a card number.
fn few_digits_until(bytes: &[u8], touched: usize) -> Option<usize> {
    let mut count = 0;
    let mut goes_on = |byte: &u8| {
        count += usize::from(may_be_digit(byte));
        count < MIN_DIGITS && (may_be_digit(byte) || matches!(byte, b' ' | b'-' | b'.'))
    };
    let length = bytes[touched..].iter().position(|byte| !goes_on(byte));
    bytes[..touched].iter().rev().position(|byte| !goes_on(byte));
    (count < MIN_DIGITS).then_some(length.map_or(bytes.len(), |length| touched + length))
}

/// The digits of a run.
#[derive(Default)]
struct Run {
    digits: [u8; MAX_RUN],
    count: usize,
    /// A bit for each digit before which a group begins.
    groups: u64,
    is_long: bool,
    /// A `+` stands before it: its first groups may be a telephone number.
    plus: bool,
}

impl Run {
    /// Reads the run that a character belongs to, and says where it ends; `None` if the character belongs to none.
    fn around(text: &str, touched: usize) -> Option<(Self, usize)> {
        let mut start = text.floor_char_boundary(touched);
        let c = text[start..].chars().next()?;
        if !matches!(unit(c), Unit::Digit(_) | Unit::Separator) {
            return None;
        }
        let mut parted = false;
        for (at, c) in text[..start].char_indices().rev() {
            match unit(c) {
                Unit::Digit(_) => (start, parted) = (at, false),
                Unit::Separator if !parted => parted = true,
                _ => break,
            }
        }
        let (before, text) = text.split_at(start);
        let mut run = Self { plus: before.ends_with('+'), ..Self::default() };
        let length = run.read(text);
        Some((run, start + length))
    }

    /// Reads a run from the beginning of a text, and says where it ends.
    fn read(&mut self, text: &str) -> usize {
        let (mut end, mut parted) = (0, true);
        for (at, c) in text.char_indices() {
            match unit(c) {
                Unit::Digit(_) if self.count == MAX_RUN => {
                    self.is_long = true;
                    return at;
                }
                Unit::Digit(digit) => {
                    self.groups |= u64::from(parted) << self.count;
                    self.digits[self.count] = digit;
                    self.count += 1;
                    (end, parted) = (at + c.len_utf8(), false);
                }
                Unit::Separator if !parted => parted = true,
                _ => break,
            }
        }
        end
    }

    /// Whether any groups in a row are a card number.
    fn is_suspicious(&self) -> bool {
        let begins = |n: usize| self.groups >> n & 1 == 1;
        let may_end = |from: usize, to: usize| {
            (to == self.count || begins(to)) && !(self.plus && from == 0 && to <= MAX_PHONE_DIGITS)
        };
        let is_number = |from: usize| {
            let mut ends = from + MIN_DIGITS..=self.count.min(from + MAX_DIGITS);
            ends.any(|to| may_end(from, to) && is_card_number(&self.digits[from..to]))
        };
        self.is_long || (0..self.count).any(|from| begins(from) && is_number(from))
    }
}
