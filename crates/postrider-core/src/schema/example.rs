//! An example made from a schema: a small attempt within bounds, to be checked by whoever uses it.
//!
//! What the schema itself offers comes first (`const`, `enum`, `examples`, `default`). Else all that is applied to one value is
//! gathered into one set of wishes, of alternatives the first that can be met, and a value is made that meets them.

use serde_json::{Map, Number, Value};

use super::structure;

mod number;
mod pattern;
mod text;

/// The deepest that an example goes into objects and arrays.
const MAX_DEPTH: usize = 16;
/// From this depth on it has only what is required.
const BARE_DEPTH: usize = 4;
/// The most schemas that are looked at for one example.
const MAX_LOOKS: usize = 2_000;
/// The most items of an array.
const MAX_ITEMS: u64 = 16;
/// The longest text, in characters.
const MAX_CHARS: u64 = 256;
/// The most bytes of text in one example.
const MAX_BYTES: usize = 16 * 1_024;

/// A value that may fit the schema.
pub(super) fn of(schema: &Value) -> Option<Value> {
    Maker { root: schema, looks: MAX_LOOKS, bytes: MAX_BYTES }.make(&[schema], 0, 0)
}

struct Maker<'s> {
    root: &'s Value,
    looks: usize,
    bytes: usize,
}

/// The schemas that are applied to one value, all of which it must fit.
type Wishes<'s> = Vec<&'s Map<String, Value>>;

impl<'s> Maker<'s> {
    /// A value for all of these schemas. `nth` tells it apart from its neighbours in an array.
    fn make(&mut self, schemas: &[&'s Value], depth: usize, nth: u64) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut wishes = Vec::new();
        for schema in schemas {
            self.gather(schema, &mut wishes)?;
        }
        if let Some(offered) = offered(&wishes, nth) {
            self.bytes = self.bytes.checked_sub(offered.to_string().len())?;
            return Some(offered.clone());
        }
        match type_of(&wishes) {
            "object" => self.object(&wishes, depth),
            "array" => self.array(&wishes, depth),
            "string" => {
                let text = text::of(&wishes, nth)?;
                self.bytes = self.bytes.checked_sub(text.len())?;
                Some(text.into())
            }
            "integer" => number::of(&wishes, true, nth).map(Value::Number),
            "number" => number::of(&wishes, false, nth).map(Value::Number),
            "boolean" => Some(true.into()),
            _ => Some(Value::Null),
        }
    }

    /// Adds what a schema asks of one value; `None` where nothing can fit, or too much was looked at.
    fn gather(&mut self, schema: &'s Value, wishes: &mut Wishes<'s>) -> Option<()> {
        self.looks = self.looks.checked_sub(1)?;
        let members = match schema {
            Value::Bool(anything) => return anything.then_some(()),
            Value::Object(members) => members,
            _ => return None,
        };
        wishes.push(members);
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(reference) = members.get(keyword).and_then(Value::as_str) {
                let target = self.root.pointer(&structure::fragment(reference)?)?;
                self.gather(target, wishes)?;
            }
        }
        for schema in list(members, "allOf") {
            self.gather(schema, wishes)?;
        }
        for keyword in ["oneOf", "anyOf"] {
            if members.contains_key(keyword) {
                self.gather_first(list(members, keyword), wishes)?;
            }
        }
        Some(())
    }

    /// Adds the first of several schemas that something fits.
    fn gather_first(&mut self, schemas: &'s [Value], wishes: &mut Wishes<'s>) -> Option<()> {
        let before = wishes.len();
        schemas.iter().find_map(|schema| {
            wishes.truncate(before);
            self.gather(schema, wishes)
        })
    }

    fn object(&mut self, wishes: &Wishes<'s>, depth: usize) -> Option<Value> {
        let mut names: Vec<&'s str> = Vec::new();
        let mut want = |name: &'s str| {
            if !names.contains(&name) {
                names.push(name)
            }
        };
        for wish in wishes {
            list(wish, "required").iter().filter_map(Value::as_str).for_each(&mut want);
            if depth < BARE_DEPTH {
                members(wish, "properties").for_each(|(name, _)| want(name));
            }
        }
        let mut object = Map::new();
        for name in names {
            let required = wishes.iter().any(|wish| list(wish, "required").iter().any(|other| other == name));
            let schemas = of_property(wishes, name);
            match self.make(&schemas, depth + 1, 0) {
                Some(value) => {
                    self.bytes = self.bytes.checked_sub(name.len())?;
                    object.insert(name.to_owned(), value);
                }
                None if required => return None,
                None => {}
            }
        }
        Some(Value::Object(object))
    }

    fn array(&mut self, wishes: &Wishes<'s>, depth: usize) -> Option<Value> {
        let at_least = largest(wishes, "minItems").unwrap_or(0);
        let at_most = smallest(wishes, "maxItems").unwrap_or(u64::MAX);
        let first: Vec<&[Value]> = wishes.iter().map(|wish| list(wish, "prefixItems")).collect();
        let given = first.iter().map(|items| items.len() as u64).max().unwrap_or(0);
        let count = at_least.max(given).max(u64::from(depth < BARE_DEPTH)).min(at_most);
        if count > MAX_ITEMS {
            return None;
        }
        let mut items = Vec::new();
        for nth in 0..count {
            let place = usize::try_from(nth).ok()?;
            let mut schemas = Vec::new();
            for (wish, first) in wishes.iter().zip(&first) {
                schemas.extend(first.get(place).or_else(|| wish.get("items")));
                schemas.extend(wish.get("contains").filter(|_| nth == 0));
            }
            match self.make(&schemas, depth + 1, nth) {
                Some(item) => items.push(item),
                None if nth < at_least => return None,
                None => break,
            }
        }
        Some(Value::Array(items))
    }
}

/// What the schemas themselves say that a value could be.
fn offered<'s>(wishes: &Wishes<'s>, nth: u64) -> Option<&'s Value> {
    let of = |keyword: &str| wishes.iter().find_map(|wish| wish.get(keyword));
    let one_of = |values: &'s Value| {
        let values = values.as_array().filter(|values| !values.is_empty())?;
        values.get(usize::try_from(nth).ok()? % values.len())
    };
    of("const")
        .or_else(|| of("enum").and_then(one_of))
        .or_else(|| of("examples").and_then(one_of))
        .or_else(|| of("default"))
}

/// The type to make: the first that all allow, or the one that the other keywords are about.
fn type_of<'s>(wishes: &Wishes<'s>) -> &'s str {
    let mut allowed: Option<Vec<&'s str>> = None;
    for wish in wishes {
        let types: Vec<&'s str> = match wish.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        let fits = |a: &str, b: &str| a == b || (a, b) == ("integer", "number");
        allowed = Some(match allowed {
            None => types,
            Some(before) => {
                let narrower = |one: &&str| before.iter().any(|other| fits(one, other));
                let kept = types.iter().copied().filter(narrower);
                kept.chain(before.iter().copied().filter(|one| types.iter().any(|other| fits(one, other))))
                    .collect()
            }
        });
    }
    if let Some(allowed) = allowed {
        return allowed.iter().find(|one| **one != "null").or(allowed.first()).copied().unwrap_or("null");
    }
    let about = |keywords: &[&str]| {
        wishes.iter().any(|wish| keywords.iter().any(|keyword| wish.contains_key(*keyword)))
    };
    if about(&["properties", "required", "patternProperties", "additionalProperties", "minProperties"]) {
        "object"
    } else if about(&["items", "prefixItems", "minItems", "contains"]) {
        "array"
    } else if about(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}

/// What the schemas say of a member.
fn of_property<'s>(wishes: &Wishes<'s>, name: &str) -> Vec<&'s Value> {
    let mut schemas = Vec::new();
    for wish in wishes {
        match wish.get("properties").and_then(|properties| properties.get(name)) {
            Some(schema) => schemas.push(schema),
            None => schemas.extend(wish.get("additionalProperties")),
        }
    }
    schemas
}

fn list<'s>(wish: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    wish.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn members<'s>(wish: &'s Map<String, Value>, keyword: &str) -> impl Iterator<Item = (&'s str, &'s Value)> {
    let members = wish.get(keyword).and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn largest(wishes: &Wishes<'_>, keyword: &str) -> Option<u64> {
    wishes.iter().filter_map(|wish| wish.get(keyword).and_then(whole)).max()
}

fn smallest(wishes: &Wishes<'_>, keyword: &str) -> Option<u64> {
    wishes.iter().filter_map(|wish| wish.get(keyword).and_then(whole)).min()
}

/// A count, which may be written as `1e9` or `3.0`.
fn whole(value: &Value) -> Option<u64> {
    let number: &Number = value.as_number()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is as good")]
    number.as_u64().or_else(|| number.as_f64().map(|number| number as u64))
}
