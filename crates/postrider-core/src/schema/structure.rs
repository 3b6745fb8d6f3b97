//! What must hold of a schema before it is compiled: its references stay inside it, none goes round in a circle without
//! consuming something, and what it asks of one value is bounded.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fault::{Fault, MAX_FAULTS};
use crate::json::{Detail, escape_into};

/// The most schemas that may be applied one inside the other to one and the same value.
pub(super) const MAX_CHAIN: usize = 16;
/// The most schemas that may be applied to one and the same value, each as often as a way leads to it.
pub(super) const MAX_APPLIED: usize = 4_096;
/// The most patterns of a schema.
pub(super) const MAX_PATTERNS: usize = 64;
/// The one dialect that is known.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// How a keyword holds schemas.
#[derive(Clone, Copy)]
enum Holds {
    One,
    List,
    ByName,
}

/// Keywords whose schemas are applied to the value itself (JSON Schema 2020-12, core, section 10.2, and `dependencies` of
/// before).
const IN_PLACE: [(&str, Holds); 9] = [
    ("allOf", Holds::List),
    ("anyOf", Holds::List),
    ("oneOf", Holds::List),
    ("not", Holds::One),
    ("if", Holds::One),
    ("then", Holds::One),
    ("else", Holds::One),
    ("dependentSchemas", Holds::ByName),
    ("dependencies", Holds::ByName),
];
/// Keywords whose schemas are applied to parts of the value, or to none.
const ELSEWHERE: [(&str, Holds); 13] = [
    ("prefixItems", Holds::List),
    ("items", Holds::One),
    ("additionalItems", Holds::One),
    ("contains", Holds::One),
    ("properties", Holds::ByName),
    ("patternProperties", Holds::ByName),
    ("additionalProperties", Holds::One),
    ("propertyNames", Holds::One),
    ("unevaluatedItems", Holds::One),
    ("unevaluatedProperties", Holds::One),
    ("contentSchema", Holds::One),
    ("$defs", Holds::ByName),
    ("definitions", Holds::ByName),
];
const REFERENCES: [&str; 2] = ["$ref", "$dynamicRef"];
const ANCHORS: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// What was found in a schema. Pointers begin at the schema.
#[derive(Default)]
pub(super) struct Examined<'s> {
    /// What is wrong, and that its dialect's own schema has nothing against.
    pub(super) faults: Vec<Fault>,
    /// Its patterns, each once, with where the first of them stands.
    pub(super) patterns: BTreeMap<&'s str, String>,
}

/// Looks at a schema, and at every part of it that is one.
pub(super) fn examine(schema: &Value) -> Examined<'_> {
    let mut walk = Walk::default();
    walk.visit(schema, Origin::Root);
    loop {
        while walk.looked_at < walk.visited.len() {
            walk.look_at(walk.looked_at);
            walk.looked_at += 1;
        }
        let Some((id, keyword, fragment)) = walk.pointers.pop() else { break };
        match schema.pointer(&fragment) {
            Some(target) => {
                let target = walk.visit(target, Origin::Pointer(fragment));
                walk.visited[id].in_place.push((target, keyword));
            }
            None => walk.fault_at(id, keyword, NOWHERE),
        }
    }
    // Only now all anchors are known.
    for (id, keyword, name) in std::mem::take(&mut walk.names) {
        match walk.anchors.get(&*name) {
            Some(target) => walk.visited[id].in_place.push((*target, keyword)),
            None => walk.fault_at(id, keyword, NOWHERE),
        }
    }
    if walk.found.faults.is_empty() {
        walk.check_what_is_applied();
    }
    walk.found
}

const OUTSIDE: &str =
    "leads out of this document: nothing is fetched or read, so that a reference must begin with #";
const NOWHERE: &str = "leads to nothing in this document";

/// A schema that was met.
struct Visited<'s> {
    schema: &'s Value,
    origin: Origin<'s>,
    /// What is applied to the same value, and by which keyword.
    in_place: Vec<(usize, &'static str)>,
}

/// Where a schema stands.
enum Origin<'s> {
    Root,
    Pointer(String),
    Within(usize, &'static str, Part<'s>),
}

/// Which part of a keyword's value a schema is.
#[derive(Clone, Copy)]
enum Part<'s> {
    Whole,
    Item(usize),
    Member(&'s str),
}

#[derive(Default)]
struct Walk<'s> {
    visited: Vec<Visited<'s>>,
    /// By the address of the schema.
    ids: BTreeMap<usize, usize>,
    /// Schemas before this one have been looked at.
    looked_at: usize,
    /// References by pointer that were not followed yet: of which schema, by which keyword, where to.
    pointers: Vec<(usize, &'static str, String)>,
    /// References by name.
    names: Vec<(usize, &'static str, String)>,
    anchors: BTreeMap<&'s str, usize>,
    found: Examined<'s>,
}

impl<'s> Walk<'s> {
    fn visit(&mut self, schema: &'s Value, origin: Origin<'s>) -> usize {
        let next = self.visited.len();
        let id = *self.ids.entry(std::ptr::from_ref(schema) as usize).or_insert(next);
        if id == next {
            self.visited.push(Visited { schema, origin, in_place: Vec::new() });
        }
        id
    }

    fn look_at(&mut self, id: usize) {
        let Some(schema) = self.visited[id].schema.as_object() else { return };
        self.look_at_names(id, schema);
        for keyword in REFERENCES {
            let Some(reference) = schema.get(keyword).and_then(Value::as_str) else { continue };
            match fragment(reference) {
                None => self.fault_at(id, keyword, OUTSIDE),
                Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
                    self.pointers.push((id, keyword, pointer));
                }
                Some(name) => self.names.push((id, keyword, name)),
            }
        }
        for (keyword, holds) in IN_PLACE {
            for child in self.children(id, schema, keyword, holds) {
                self.visited[id].in_place.push((child, keyword));
            }
        }
        for (keyword, holds) in ELSEWHERE {
            self.children(id, schema, keyword, holds);
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            self.note_pattern(id, "pattern", None, pattern);
        }
        for pattern in
            schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys)
        {
            self.note_pattern(id, "patternProperties", Some(pattern), pattern);
        }
    }

    /// What names a schema, or says in which language it is.
    fn look_at_names(&mut self, id: usize, schema: &'s Map<String, Value>) {
        if let Some(dialect) = schema.get("$schema").and_then(Value::as_str)
            && (id > 0 || dialect.trim_end_matches('#') != DIALECT)
        {
            let detail = format!("must be {DIALECT}, and stand at the beginning alone");
            self.fault_at(id, "$schema", detail);
        }
        if id > 0 && schema.contains_key("$id") {
            self.fault_at(id, "$id", "begins another document inside of this one; use $anchor or $defs");
        }
        for keyword in ANCHORS {
            let Some(name) = schema.get(keyword).and_then(Value::as_str) else { continue };
            if self.anchors.insert(name, id).is_some_and(|other| other != id) {
                self.fault_at(id, keyword, "is given twice in this document");
            }
        }
    }

    /// The schemas that a keyword holds.
    fn children(
        &mut self,
        id: usize,
        schema: &'s Map<String, Value>,
        keyword: &'static str,
        holds: Holds,
    ) -> Vec<usize> {
        let Some(value) = schema.get(keyword) else { return Vec::new() };
        let children: Vec<(Part<'s>, &'s Value)> = match (holds, value) {
            (Holds::One, value) => vec![(Part::Whole, value)],
            (Holds::List, Value::Array(items)) => {
                items.iter().enumerate().map(|(i, item)| (Part::Item(i), item)).collect()
            }
            (Holds::ByName, Value::Object(members)) => {
                members.iter().map(|(name, member)| (Part::Member(name.as_str()), member)).collect()
            }
            _ => Vec::new(),
        };
        let visit = |(part, child)| self.visit(child, Origin::Within(id, keyword, part));
        children.into_iter().map(visit).collect()
    }

    fn note_pattern(&mut self, id: usize, keyword: &str, name: Option<&str>, pattern: &'s str) {
        if self.found.patterns.contains_key(pattern) {
            return;
        }
        let mut pointer = self.pointer(id);
        escape_into(&mut pointer, keyword);
        name.into_iter().for_each(|name| escape_into(&mut pointer, name));
        if self.found.patterns.len() < MAX_PATTERNS {
            self.found.patterns.insert(pattern, pointer);
        } else {
            let detail = format!("is one pattern too many; {MAX_PATTERNS} are allowed");
            self.fault(Fault::new(pointer, detail));
        }
    }

    /// Measures what is applied to one value, from the inside out.
    fn check_what_is_applied(&mut self) {
        let count = self.visited.len();
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (id, visited) in self.visited.iter().enumerate() {
            visited.in_place.iter().for_each(|(child, _)| parents[*child].push(id));
        }
        let mut unmeasured: Vec<usize> = self.visited.iter().map(|visited| visited.in_place.len()).collect();
        let (mut chain, mut applied) = (vec![0_usize; count], vec![1_usize; count]);
        let mut ready: Vec<usize> = (0..count).filter(|id| unmeasured[*id] == 0).collect();
        while let Some(id) = ready.pop() {
            for parent in &parents[id] {
                chain[*parent] = chain[*parent].max(chain[id] + 1);
                applied[*parent] = applied[*parent].saturating_add(applied[id]);
                unmeasured[*parent] -= 1;
                if unmeasured[*parent] == 0 {
                    ready.push(*parent);
                }
            }
        }
        if let Some(id) = (0..count).find(|id| unmeasured[*id] > 0) {
            return self.tell_circle(id, &unmeasured);
        }
        if let Some(id) = (0..count).find(|id| chain[*id] > MAX_CHAIN) {
            let detail = format!("applies more than {MAX_CHAIN} schemas inside one another to one value");
            self.fault(Fault::new(self.pointer(id), detail));
        } else if let Some(id) = (0..count).find(|id| applied[*id] > MAX_APPLIED) {
            let detail = format!("applies more than {MAX_APPLIED} schemas to one value");
            self.fault(Fault::new(self.pointer(id), detail));
        }
    }

    /// Tells of a circle that can be reached from a schema, at a reference that closes it.
    fn tell_circle(&mut self, from: usize, unmeasured: &[usize]) {
        let (mut way, mut id) = (Vec::new(), from);
        while !way.iter().any(|(on, _)| *on == id) {
            let next = self.visited[id].in_place.iter().find(|(child, _)| unmeasured[*child] > 0);
            // What stays unmeasured has a child that does.
            let Some((child, keyword)) = next else { return };
            way.push((id, *keyword));
            id = *child;
        }
        // Schemas that are written inside one another make no circle: one step of it is a reference.
        let circle = way.into_iter().skip_while(|(on, _)| *on != id);
        if let Some((id, keyword)) = circle.into_iter().find(|(_, keyword)| REFERENCES.contains(keyword)) {
            self.fault_at(
                id,
                keyword,
                "leads back to where it came from without going into the value, and would never end",
            );
        }
    }

    fn pointer(&self, id: usize) -> String {
        let mut steps = Vec::new();
        let mut origin = &self.visited[id].origin;
        let mut pointer = loop {
            match origin {
                Origin::Root => break String::new(),
                Origin::Pointer(pointer) => break pointer.clone(),
                Origin::Within(parent, keyword, part) => {
                    steps.push((*keyword, *part));
                    origin = &self.visited[*parent].origin;
                }
            }
        };
        for (keyword, part) in steps.into_iter().rev() {
            escape_into(&mut pointer, keyword);
            match part {
                Part::Whole => {}
                Part::Item(index) => escape_into(&mut pointer, &index.to_string()),
                Part::Member(name) => escape_into(&mut pointer, name),
            }
        }
        pointer
    }

    fn fault_at(&mut self, id: usize, keyword: &str, detail: impl Into<Detail>) {
        let mut pointer = self.pointer(id);
        escape_into(&mut pointer, keyword);
        self.fault(Fault::new(pointer, detail));
    }

    fn fault(&mut self, fault: Fault) {
        if self.found.faults.len() < MAX_FAULTS {
            self.found.faults.push(fault);
        }
    }
}

/// The fragment of a reference that stays inside of the document, percent-decoded (RFC 3986, section 2.1).
pub(super) fn fragment(reference: &str) -> Option<String> {
    let encoded = reference.strip_prefix('#')?;
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}
