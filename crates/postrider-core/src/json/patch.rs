//! JSON merge patches (RFC 7396).

use super::Document;
use super::document::Members;

/// Applies a merge patch (RFC 7396, section 2): members replace, objects merge, `null` removes.
///
/// ```
/// use postrider_core::json::{Document, merge_patch};
/// use serde_json::json;
/// let mut endpoint = Document::from(json!({"name": "till", "auth": {"type": "basic", "username": "a"}}));
/// merge_patch(&mut endpoint, json!({"name": null, "auth": {"username": "b"}}).into());
/// assert_eq!(json!(endpoint), json!({"auth": {"type": "basic", "username": "b"}}));
/// ```
pub fn merge_patch(target: &mut Document, patch: Document) {
    let Document::Object(patch) = patch else {
        *target = patch;
        return;
    };
    match target {
        Document::Object(members) => merge_members(members, patch),
        Document::Other(_) => {
            let mut members = Members::new();
            merge_members(&mut members, patch);
            *target = Document::Object(members);
        }
    }
}

/// Applies a merge patch to an object.
pub fn merge_members(members: &mut Members, patch: Members) {
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else if let Some(target) = members.get_mut(&name) {
            merge_patch(target, value);
        } else {
            let mut target = Document::Object(Members::new());
            merge_patch(&mut target, value);
            members.insert(name, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::json::document::{parse_object, to_text};

    fn patched(target: Value, patch: Value) -> Value {
        let mut target = Document::from(target);
        merge_patch(&mut target, patch.into());
        json!(target)
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 7396, appendix A.
        for (target, patch, result) in [
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
            assert_eq!(patched(target, patch), result, "{shown}");
        }
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
            prop_assert_eq!(patched(target.clone(), patch.clone()), naive(&target, &patch));
        }

        #[test]
        fn an_object_without_duplicates_is_read_as_it_is(value in any_value()) {
            if let Value::Object(members) = &value {
                prop_assert_eq!(&*to_text(&parse_object(&value.to_string()).unwrap()), &json!(members).to_string());
            }
        }
    }
}
