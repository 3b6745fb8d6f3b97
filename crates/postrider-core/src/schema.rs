//! JSON Schema (2020-12) for the data of events: compiled once, and checked within bounds of time, memory and stack whatever
//! schema and data are.
//!
//! A schema stands alone: what it refers to lies inside of it, and nothing is ever fetched or read. Its patterns take linear
//! time. `format` says what is meant and checks nothing, as the standard has it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::fault::{Fault, MAX_FAULTS, ParseError};
use crate::json::parse_object;

mod data;
mod example;
mod faults;
mod number;
mod structure;
mod view;

use data::{Data, Unread};
use view::{Place, Tree, Work};

/// The longest schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1_024;
/// The deepest nesting of data that is checked: each level takes room on the stack, as often as its schemas lie inside one
/// another.
pub const MAX_DATA_DEPTH: usize = 64;
/// The largest pattern when compiled, and what it may keep while it matches, in bytes.
const MAX_PATTERN_BYTES: usize = 256 * 1_024;
/// Steps that any data may take, and for each byte of it.
const STEPS: usize = 1 << 16;
const STEPS_A_BYTE: usize = 16;
/// Steps that telling all faults may take, however long the data.
const STEPS_TO_TELL: usize = 1 << 20;

/// A schema, compiled. Cheap to clone.
///
/// ```
/// use postrider_core::schema::Schema;
/// let schema = Schema::compile(r#"{"properties": {"amount": {"multipleOf": 0.01, "minimum": 0}}}"#).unwrap();
/// assert!(schema.check(br#"{"amount": 42.50}"#).is_ok());
/// let faults = schema.check(br#"{"amount": -1}"#).unwrap_err();
/// assert_eq!((faults[0].pointer.as_str(), &*faults[0].detail), ("/amount", "must be 0 or more"));
/// assert!(Schema::compile(r#"{"$ref": "https://example.com/card.json"}"#).is_err());
/// ```
#[derive(Clone)]
pub struct Schema {
    text: Bytes,
    validator: Arc<Validator<Tree>>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schema {}

impl Schema {
    /// Compiles a schema: a JSON object of at most [`MAX_SCHEMA_BYTES`] bytes.
    ///
    /// # Errors
    /// All that is wrong with it, with pointers that begin at the schema; at most [`MAX_FAULTS`].
    pub fn compile(text: &str) -> Result<Self, Vec<Fault>> {
        let whole = |detail: String| vec![Fault::new("", detail)];
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(whole(format!("must not be longer than {MAX_SCHEMA_BYTES} bytes")));
        }
        let unread = || whole("holds a number or a text that cannot be read".into());
        parse_object(text).map_err(|error| match error {
            ParseError::Faults(faults) => faults,
            ParseError::Syntax(_) | ParseError::TooLarge { .. } => unread(),
        })?;
        let schema: Value = serde_json::from_str(text).map_err(|_| unread())?;
        let faults = faults_of(&schema);
        if !faults.is_empty() {
            return Err(faults);
        }
        let validator = build(schema).map_err(|error| told(&error))?;
        Ok(Self { text: Bytes::copy_from_slice(text.as_bytes()), validator: Arc::new(validator) })
    }

    /// The schema as it was given.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Checks data, which must be JSON. No fault tells a value.
    ///
    /// # Errors
    /// What does not fit, with pointers that begin at the data; at least one fault, at most [`MAX_FAULTS`].
    pub fn check(&self, data: &[u8]) -> Result<(), Vec<Fault>> {
        let read = std::str::from_utf8(data).map_err(|_| Unread::NotJson).and_then(Data::parse);
        let tree = read.map_err(|unread| {
            vec![match unread {
                Unread::NotJson => Fault::new("", "is not JSON"),
                Unread::TooDeep => Fault::new(
                    "",
                    format!("nests deeper than {MAX_DATA_DEPTH} levels, which no schema is checked for"),
                ),
            }]
        })?;
        let steps = STEPS.saturating_add(STEPS_A_BYTE.saturating_mul(data.len()));
        let work = Work::new(steps);
        let fits = self.validator.is_valid(Place::new(&tree, &work));
        if work.is_spent() {
            return Err(vec![Fault::new(
                "",
                "takes too long to be checked against the schema; send less data, or simplify the schema",
            )]);
        }
        if fits { Ok(()) } else { Err(self.faults(&tree, steps.min(STEPS_TO_TELL))) }
    }

    /// What is wrong with data that does not fit, found in so many steps.
    fn faults(&self, tree: &Data<'_>, steps: usize) -> Vec<Fault> {
        let work = Work::new(steps);
        let all: Vec<Fault> = {
            let errors = self.validator.iter_errors(Place::new(tree, &work));
            errors.flat_map(|error| told(&error)).take(MAX_FAULTS).collect()
        };
        if !all.is_empty() && !work.is_spent() {
            return all;
        }
        // Too much is wrong to tell all of it: the first will do.
        let work = Work::new(steps);
        let first = self.validator.validate(Place::new(tree, &work)).err().map(|error| told(&error));
        first
            .filter(|faults| !faults.is_empty() && !work.is_spent())
            .unwrap_or_else(|| vec![Fault::new("", "does not fit the schema")])
    }

    /// Data that fits, made up: `None` where a small attempt at it does not succeed.
    pub fn example(&self) -> Option<Bytes> {
        let schema: Value = serde_json::from_slice(&self.text).ok()?;
        let example = Bytes::from(example::of(&schema)?.to_string());
        self.check(&example).is_ok().then_some(example)
    }
}

fn told(error: &ValidationError<'_>) -> Vec<Fault> {
    let mut faults = faults::of(error);
    faults.truncate(MAX_FAULTS);
    faults
}

/// Everything that is wrong with a schema, as far as it can be told before it is compiled.
fn faults_of(schema: &Value) -> Vec<Fault> {
    let dialect = jsonschema::draft202012::meta::validator();
    let against_dialect = dialect.iter_errors(schema).flat_map(|error| told(&error));
    let mut all: Vec<Fault> = against_dialect.take(MAX_FAULTS).collect();
    let examined = structure::examine(schema);
    all.extend(examined.faults);
    if all.is_empty() {
        let cannot = |pattern: &&str| {
            build(Value::Object(Map::from_iter([("pattern".to_owned(), (*pattern).into())]))).is_err()
        };
        all.extend(examined.patterns.iter().filter(|(pattern, _)| cannot(pattern)).map(|(_, pointer)| {
            Fault::new(
                pointer.clone(),
                format!(
                    "is a pattern that cannot be used: patterns take linear time, without look-around and references back, \
                     and at most {MAX_PATTERN_BYTES} bytes when compiled"
                ),
            )
        }));
    }
    all.truncate(MAX_FAULTS);
    all
}

fn build(mut schema: Value) -> Result<Validator<Tree>, ValidationError<'static>> {
    if let Value::Object(members) = &mut schema {
        // All references begin here: whatever the document calls itself, it is not looked for elsewhere.
        members.remove("$id");
        members.remove("$schema");
    }
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
    jsonschema::options_for::<Tree>()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(patterns)
        .build(&schema)
}

#[cfg(test)]
mod tests;
