//! The fields that several API objects share: names, descriptions, metadata, kinds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::json::{self, Detail, Object};

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 256;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 2_048;
/// The most pairs of metadata.
pub const MAX_METADATA: usize = 50;
/// The most metadata in bytes, names and values together.
pub const MAX_METADATA_BYTES: usize = 8 * 1_024;

/// The most integrations that an event type or a tenant names.
pub const MAX_INTEGRATIONS: usize = 64;

/// Notes that an owner keeps with an object.
pub type Metadata = BTreeMap<Box<str>, Box<str>>;

/// Whether a text can be shown on a line of its own without changing what stands around it: it holds no control
/// character, no line separator, and no mark that turns the direction of writing.
pub fn is_plain(text: &str) -> bool {
    let plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.is_ascii() && text.bytes().all(|b| (0x20..0x7f).contains(&b)) || text.chars().all(plain)
}

/// What a name in an address must be.
pub(crate) const NAME_FORM: &str = "must be 1 to 128 of A-Z a-z 0-9 . _ : - and not . or ..";

/// Whether a text can name something in an address: it is as [`NAME_FORM`] says.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".."
}

/// Reads a text of 1 to `max` characters that [is plain](is_plain).
pub(crate) fn plain_text(value: &RawValue, max: usize) -> Result<Cow<'_, str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.chars().nth(max).is_some() || !is_plain(&text) {
        return Err(format!(
            "must be 1 to {max} characters without control characters, line breaks or direction marks"
        )
        .into());
    }
    Ok(text)
}

pub(crate) fn name(object: &mut Object<'_>) -> Option<Box<str>> {
    object.optional("name", |v| plain_text(v, MAX_NAME_CHARS)).map(Box::from)
}

pub(crate) fn metadata(object: &mut Object<'_>) -> Metadata {
    let mut room = MAX_METADATA_BYTES;
    let pairs = object.map("metadata", MAX_METADATA, |name, value| {
        let text = json::string(value)?;
        if name.is_empty() || !is_plain(name) || !is_plain(&text) {
            return Err(
                "must have a name, and neither name nor value may hold control characters, line breaks \
                        or direction marks"
                    .into(),
            );
        }
        room = room.checked_sub(name.len() + text.len()).ok_or_else(|| {
            Detail::from(format!("is too much; all metadata together may have {MAX_METADATA_BYTES} bytes"))
        })?;
        Ok((Box::from(name), Box::from(text)))
    });
    pairs.unwrap_or_default().into_iter().collect()
}

/// Reads the names of integrations, each once.
pub(crate) fn integrations(object: &mut Object<'_>) -> Vec<Box<str>> {
    let mut integrations: Vec<Box<str>> = Vec::new();
    object.list("integrations", MAX_INTEGRATIONS, |v| {
        let name = json::string(v)?;
        if !is_name(&name) {
            return Err(NAME_FORM.into());
        }
        if integrations.iter().any(|known| **known == *name) {
            return Err("is given twice; keep one".into());
        }
        integrations.push(name.into());
        Ok(())
    });
    integrations
}

/// Reads one of a few names.
pub(crate) fn one_of<T: Copy>(value: &RawValue, choices: &[(&str, T)]) -> Result<T, Detail> {
    let text = json::string(value)?;
    choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("must be one of {}", names.join(", ")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a12_control_characters_and_direction_marks_are_not_plain() {
        for bad in ["a\0", "a\nb", "\u{7f}", "\u{85}", "a\u{202e}b", "\u{2066}", "\u{200f}", "\u{2028}"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        for good in ["", "till 4", "Kassenbüro", "支払い", "../x", "%00"] {
            assert!(is_plain(good), "{good:?}");
        }
    }
}
