//! What a validator has against a document, in our words: by pointer and rule, never by the value that was found.

use std::borrow::Cow;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::Location;
use serde_json::Value;

use crate::fault::Fault;
use crate::json::{Detail, escape_into};

/// The faults that an error stands for: one, or one for each member that should not be there.
pub(super) fn of(error: &ValidationError<'_>) -> Vec<Fault> {
    let place = pointer(error.instance_path());
    let member = |name: &str, detail: &'static str| {
        let mut pointer = place.clone();
        escape_into(&mut pointer, name);
        Fault::new(pointer, detail)
    };
    match error.kind() {
        Kind::Required { property: Value::String(name) } => vec![member(name, "is missing")],
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| member(name, "is not a field that the schema allows")).collect()
        }
        kind => vec![Fault::new(place, detail(kind))],
    }
}

/// The place of an error. A very long name in it is cut.
pub(super) fn pointer(location: &Location) -> String {
    let mut pointer = String::new();
    for name in location.as_str().split('/').skip(1) {
        escape_into(&mut pointer, &name.replace("~1", "/").replace("~0", "~"));
    }
    pointer
}

fn detail(kind: &Kind) -> Detail {
    match kind {
        Kind::Type { kind: TypeKind::Single(expected) } => format!("must be of type {expected}").into(),
        Kind::Type { kind: TypeKind::Multiple(expected) } => {
            let names: Vec<String> = expected.iter().map(|expected| expected.to_string()).collect();
            format!("must be of type {}", names.join(" or ")).into()
        }
        Kind::Enum { .. } => "must be one of the values that the schema lists".into(),
        Kind::Constant { .. } => "must be the one value that the schema allows".into(),
        Kind::Minimum { limit } => format!("must be {limit} or more").into(),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}").into(),
        Kind::Maximum { limit } => format!("must be {limit} or less").into(),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}").into(),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}").into(),
        Kind::MinLength { limit } => format!("must have {limit} characters or more").into(),
        Kind::MaxLength { limit } => format!("must have {limit} characters or fewer").into(),
        Kind::Pattern { pattern } => format!("must match the pattern {}", cut(pattern)).into(),
        Kind::MinItems { limit } => format!("must have {limit} items or more").into(),
        Kind::MaxItems { limit } => format!("must have {limit} items or fewer").into(),
        Kind::AdditionalItems { limit } => format!("must have {limit} items or fewer").into(),
        Kind::UniqueItems => "must not have the same item twice".into(),
        Kind::Contains => "must have such items as contains asks for, and as many".into(),
        Kind::UnevaluatedItems { .. } => "has items that the schema does not allow".into(),
        Kind::MinProperties { limit } => format!("must have {limit} fields or more").into(),
        Kind::MaxProperties { limit } => format!("must have {limit} fields or fewer").into(),
        Kind::PropertyNames { .. } => "has a field whose name the schema does not allow".into(),
        Kind::AnyOf { .. } => "must fit one of the schemas of anyOf at least".into(),
        Kind::OneOfNotValid { .. } => "must fit one of the schemas of oneOf".into(),
        Kind::OneOfMultipleValid { .. } => "must fit one of the schemas of oneOf alone".into(),
        Kind::Not { .. } => "must not fit the schema of not".into(),
        Kind::Referencing(_) => "refers to what is not in this document".into(),
        Kind::FalseSchema => "is not allowed by the schema".into(),
        _ => "does not fit the schema".into(),
    }
}

/// A text of the schema, but not all of a very long one.
fn cut(text: &str) -> Cow<'_, str> {
    const MAX: usize = 128;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
