//! Documents as texts, and patches of them: read as they were written, and merged as the RFC says.

use postrider_core::json::{self, is_too_deep, merge_members, parse_object, to_text};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::parts;

/// A document and a patch.
pub(crate) fn json(bytes: &[u8]) {
    let [target, patch] = parts(bytes);
    let Ok(text) = json::utf8(target) else { return };
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        assert_eq!(is_too_deep(text), depth(text) > json::MAX_DEPTH, "{} levels", depth(text));
    }
    let Ok(members) = parse_object(text) else { return };
    let written = to_text(&members);
    assert!(parse_object(&written).is_ok_and(|again| again == members), "{}", *written);
    let Ok(patch) = json::utf8(patch) else { return };
    let Ok(changes) = parse_object(patch) else { return };
    let mut merged = members;
    merge_members(&mut merged, changes);
    let plain = |text: &str| serde_json::from_str::<Value>(text);
    let (Ok(target), Ok(patch)) = (plain(text), plain(patch)) else { return };
    assert_eq!(plain(&to_text(&merged)).unwrap(), naive(target, &patch));
}

/// The pseudocode of RFC 7396, section 2.
fn naive(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut target = if let Value::Object(members) = target { members } else { serde_json::Map::new() };
    for (name, value) in changes {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), naive(old, value));
        }
    }
    Value::Object(target)
}

/// How deeply arrays and objects of a sound text nest.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}
