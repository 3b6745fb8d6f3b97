//! The attributes of an event: a small flat object, kept as the bytes that came.

use serde_json::value::RawValue;

use crate::fields::is_plain;
use crate::json::{self, Detail, Object};

/// The most attributes of an event.
pub const MAX_ATTRIBUTES: usize = 64;
/// The most that attributes may take, in bytes of JSON.
pub const MAX_ATTRIBUTE_BYTES: usize = 8 * 1_024;
/// The longest name of an attribute, in bytes.
pub const MAX_ATTRIBUTE_NAME: usize = 128;

/// Whether they are as they should be; [`read`] says why not.
pub(super) fn are_good(raw: &RawValue) -> bool {
    let text = raw.get();
    if text.len() > MAX_ATTRIBUTE_BYTES {
        return false;
    }
    let Ok(mut members) = json::members(raw.get()) else { return false };
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    members.len() <= MAX_ATTRIBUTES
        && members.windows(2).all(|pair| pair[0].0 != pair[1].0)
        && members.iter().all(|(name, value)| check(&name.0, value).is_ok())
}

/// Reads them, and notes each fault.
pub(super) fn read<'a>(object: &mut Object<'a>) -> Option<&'a RawValue> {
    let raw = object.optional("attributes", |v| {
        if v.get().len() > MAX_ATTRIBUTE_BYTES {
            return Err(format!("must not be longer than {MAX_ATTRIBUTE_BYTES} bytes").into());
        }
        Ok(v)
    })?;
    object.map("attributes", MAX_ATTRIBUTES, check)?;
    Some(raw)
}

fn check(name: &str, value: &RawValue) -> Result<(), Detail> {
    if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME || !is_plain(name) {
        return Err(format!(
            "must have a name of 1 to {MAX_ATTRIBUTE_NAME} bytes without control characters or direction marks"
        )
        .into());
    }
    match value.get().as_bytes().first() {
        Some(b'"') => json::string(value).map(|_| ()),
        Some(b'{' | b'[' | b'n') | None => Err("must be a string, a number, true or false".into()),
        Some(_) => Ok(()),
    }
}
