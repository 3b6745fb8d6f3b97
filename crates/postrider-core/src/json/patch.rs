//! JSON merge patches (RFC 7396), and values that are read without losing a duplicate key.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{check_depth, escape_into, syntax, wiped};
use crate::fault::{Fault, MAX_FAULTS, ParseError};

/// Applies a merge patch (RFC 7396, section 2): members replace, objects merge, `null` removes. What is replaced or removed
/// is wiped, since it may be a secret.
///
/// ```
/// use postrider_core::json::merge_patch;
/// use serde_json::json;
/// let mut endpoint = json!({"name": "till", "auth": {"type": "basic", "username": "a"}});
/// merge_patch(&mut endpoint, json!({"name": null, "auth": {"username": "b"}}));
/// assert_eq!(endpoint, json!({"auth": {"type": "basic", "username": "b"}}));
/// ```
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        wiped::wipe(&mut std::mem::replace(target, patch));
        return;
    };
    if !target.is_object() {
        wiped::wipe(target);
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            if let Some(mut removed) = members.remove(&name) {
                wiped::wipe(&mut removed);
            }
        } else {
            merge_patch(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Reads an API object whole, at every depth without duplicate keys.
///
/// # Errors
/// [`ParseError::Syntax`] for what is not JSON; faults for duplicate keys, and for anything but an object.
pub fn parse_object(text: &str) -> Result<Map<String, Value>, ParseError> {
    check_depth(text)?;
    let mut faults = Vec::new();
    let mut pointer = String::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Unique { pointer: &mut pointer, faults: &mut faults }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|e| syntax(text, &e))?;
    match value {
        Value::Object(members) if faults.is_empty() => Ok(members),
        Value::Object(_) => Err(ParseError::Faults(faults)),
        _ => Err(ParseError::fault("", "must be a JSON object")),
    }
}

/// Builds a value and notes each key that comes twice.
struct Unique<'f> {
    pointer: &'f mut String,
    faults: &'f mut Vec<Fault>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Unique { pointer, faults } = self;
        let (mut items, end) = (Vec::new(), pointer.len());
        loop {
            escape_into(pointer, &items.len().to_string());
            let item = seq.next_element_seed(Unique { pointer, faults })?;
            pointer.truncate(end);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Unique { pointer, faults } = self;
        let (mut members, end) = (Map::new(), pointer.len());
        while let Some(name) = map.next_key_seed(std::marker::PhantomData::<String>)? {
            escape_into(pointer, &name);
            if members.contains_key(&name) && faults.len() < MAX_FAULTS {
                faults.push(Fault::new(pointer.clone(), super::DUPLICATE));
            }
            let value = map.next_value_seed(Unique { pointer, faults })?;
            pointer.truncate(end);
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// Reads a value from a text known to be JSON, such as one that we wrote ourselves.
pub(crate) fn parse_own<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ParseError> {
    serde_json::from_str(text).map_err(|e| syntax(text, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 7396, appendix A.
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let shown = format!("{target} with {patch}");
            merge_patch(&mut target, patch);
            assert_eq!(target, result, "{shown}");
        }
    }

    #[test]
    fn abuse_a07_a_duplicate_key_is_found_at_any_depth() {
        let error = parse_object(r#"{"a":1,"b":[{"c":{},"c":{}}],"a":2,"x/y~":0,"x/y~":1}"#).unwrap_err();
        let pointers: Vec<&str> = error.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["/b/0/c", "/a", "/x~1y~0"]);
    }

    /// The pseudocode of RFC 7396, section 2, word for word.
    fn naive(target: &Value, patch: &Value) -> Value {
        let Some(patch) = patch.as_object() else { return patch.clone() };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let old = target.get(name).cloned().unwrap_or(Value::Null);
                target.insert(name.clone(), naive(&old, value));
            }
        }
        Value::Object(target)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..9_u8).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_patch_does_what_the_rfc_says(target in any_value(), patch in any_value()) {
            let mut patched = target.clone();
            merge_patch(&mut patched, patch.clone());
            prop_assert_eq!(patched, naive(&target, &patch));
        }

        #[test]
        fn an_object_without_duplicates_is_read_as_it_is(value in any_value()) {
            if let Value::Object(members) = &value {
                prop_assert_eq!(&parse_object(&value.to_string()).unwrap(), members);
            }
        }
    }
}
