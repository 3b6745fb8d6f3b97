//! The event types that a profile brings with it: a TOML file of its own.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::toml::{self, Document, Misdeclared};
use crate::card;
use crate::event_type::EventTypeConfig;
use crate::fault::{Fault, ParseError};
use crate::subscription::is_type_name;

/// The most event types of a profile.
pub const MAX_CATALOG_TYPES: usize = 1_000;

/// One type, schema and example as they were written.
#[derive(Serialize)]
struct Doc<'a> {
    #[serde(flatten)]
    rest: &'a serde_json::Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a RawValue>,
}

/// Reads a catalogue: under `types`, by their names, what is said of each, as in the native API; `schema` and `example` are
/// texts of JSON, so that they stay as they are written.
///
/// # Errors
/// All that is wrong with it.
///
/// ```
/// use postrider_core::profile::parse_catalog;
/// let types = parse_catalog(r#"
/// [types."card.frozen"]
/// description = "A card was frozen."
/// example = '{"amount": 42.50}'
/// "#).unwrap();
/// assert_eq!(types["card.frozen"].example.as_deref(), Some(&br#"{"amount": 42.50}"#[..]));
/// ```
pub fn parse_catalog(text: &str) -> Result<BTreeMap<Box<str>, EventTypeConfig>, Vec<Misdeclared>> {
    let document = Document::parse(text)?;
    let mut faults = Vec::new();
    let mut types = BTreeMap::new();
    let mut fault = |pointer: String, detail: String| faults.push(document.at(&Fault::new(pointer, detail)));
    let whole: serde_json::Map<String, Value> = serde_json::from_str(&document.json).unwrap_or_default();
    for (name, value) in &whole {
        match (name.as_str(), value) {
            ("types", Value::Object(given)) => {
                if given.len() > MAX_CATALOG_TYPES {
                    fault("/types".into(), format!("has more than {MAX_CATALOG_TYPES} types"));
                }
                for (name, given) in given.iter().take(MAX_CATALOG_TYPES) {
                    let pointer = format!("/types/{name}");
                    if !is_type_name(name) {
                        fault(pointer.clone(), "must be an event type such as card.frozen".into());
                    }
                    match one(given) {
                        Ok(config) => {
                            types.insert(Box::from(name.as_str()), config);
                        }
                        Err(found) => {
                            found.into_iter().for_each(|f| {
                                fault(format!("{pointer}{}", f.pointer), f.detail.into_owned())
                            });
                        }
                    }
                }
            }
            ("types", _) => fault("/types".into(), "must be a table of event types".into()),
            (other, _) => fault(format!("/{other}"), "is not a known field; known are types".into()),
        }
    }
    if faults.is_empty() { Ok(types) } else { Err(faults) }
}

fn one(given: &Value) -> Result<EventTypeConfig, Vec<Fault>> {
    let Value::Object(given) = given else {
        return Err(vec![Fault::new("", "must be a table with a description, a schema, an example")]);
    };
    let mut rest = given.clone();
    let mut faults = Vec::new();
    let mut text = |name: &str| match rest.remove(name)? {
        Value::String(text) => match toml::raw(&text) {
            Ok(raw) => Some(raw),
            Err(detail) => {
                faults.push(Fault::new(format!("/{name}"), detail));
                None
            }
        },
        _ => {
            faults.push(Fault::new(
                format!("/{name}"),
                "must be JSON in quotes, so that it stays as it is written",
            ));
            None
        }
    };
    let (schema, example) = (text("schema"), text("example"));
    let doc = Doc { rest: &rest, schema: schema.as_deref(), example: example.as_deref() };
    let doc = serde_json::to_string(&doc).map_err(|error| vec![Fault::new("", error.to_string())])?;
    match EventTypeConfig::parse(&doc) {
        Ok(config) => {
            faults.extend(card::faults_of_configuration(doc.as_bytes()));
            if faults.is_empty() { Ok(config) } else { Err(faults) }
        }
        Err(ParseError::Faults(found)) => {
            faults.extend(found);
            Err(faults)
        }
        Err(other) => {
            faults.push(Fault::new("", other.to_string()));
            Err(faults)
        }
    }
}
