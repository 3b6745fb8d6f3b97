//! What is answered, held against what the document says: for every call that any test makes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fixture::Answer;

/// The document, as it is served.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(postrider_server::openapi_document()).unwrap());

/// Schemas that are compiled, by their text.
static SCHEMAS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// A schema of the document, compiled.
pub(crate) fn validator(schema: &Value) -> Arc<Validator> {
    let made = || {
        let mut whole = schema.clone();
        whole["components"] = DOCUMENT["components"].clone();
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap())
    };
    SCHEMAS.lock().unwrap().entry(schema.to_string()).or_insert_with(made).clone()
}

/// What a reference leads to; anything else is itself.
pub(crate) fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// What the document says of a call; nothing of a path or a method that is not there.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next()?;
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object()?;
    // A path as it is goes before one with variable parts.
    let item = paths
        .get(path)
        .or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))?;
    item.get(method.to_ascii_lowercase())
}

/// Fails where an answer is not one of those that the document has for the call.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else { return };
    let status = answer.status.to_string();
    let said = &operation["responses"][&status];
    assert!(!said.is_null(), "{method} {path}: {status} is not in the document");
    let said = resolved(said);
    for name in said["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(!answer.header(name).is_empty(), "{method} {path}: {status} without {name}");
    }
    let Some(contents) = said["content"].as_object() else {
        assert!(answer.bytes.is_empty(), "{method} {path}: {status} with a body");
        return;
    };
    let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
    let content =
        contents.get(media_type).unwrap_or_else(|| panic!("{method} {path}: {status} as {media_type}"));
    if media_type.ends_with("json") {
        // JSON has numbers that no float holds: they are shown as they were sent, and not looked into here.
        let Ok(body) = serde_json::from_slice::<Value>(&answer.bytes) else {
            serde_json::from_slice::<&RawValue>(&answer.bytes).unwrap();
            return;
        };
        let fault = validator(&content["schema"]).iter_errors(&body).map(|e| e.to_string()).next();
        assert_eq!(fault, None, "{method} {path}: {status} {body}");
    }
}
