//! The document as its readers need it: whole, without loose ends, and with examples that are true.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Renew the copy with `POSTRIDER_BLESS=1 cargo test -p postrider-server openapi`.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("POSTRIDER_BLESS").is_some() {
        std::fs::write(path, text()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == text(), "the API has changed; see the comment above this test");
}

fn parsed() -> Value {
    serde_json::from_str(text()).unwrap()
}

/// Every operation: method and path, and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

fn said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// What a reference leads to; anything else is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

#[test]
fn every_operation_is_described() {
    let document = parsed();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let scopes = document["components"]["schemas"]["Scope"]["enum"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
        assert!(said(&operation["summary"]), "{name}");
        let tagged = operation["tags"].as_array().unwrap();
        assert!(tagged.len() == 1 && tags.contains(&&tagged[0]), "{name}: {tagged:?}");
        let security = operation["security"].as_array().unwrap();
        assert_eq!(security.len(), 1, "{name}");
        let needed = security[0]["token"].as_array();
        assert!(needed.is_none_or(|needed| needed.iter().all(|scope| scopes.contains(scope))), "{name}");
        for parameter in operation["parameters"].as_array().unwrap_or(&Vec::new()) {
            assert!(said(&parameter["description"]), "{name}: {parameter}");
            let schema = resolved(&document, &parameter["schema"]);
            let bound = ["maxLength", "maximum", "enum", "format", "pattern"];
            assert!(bound.iter().any(|bound| !schema[bound].is_null()), "{name}: {parameter}");
        }
    }
}

#[test]
fn every_answer_has_its_meaning_and_form() {
    let document = parsed();
    for (name, operation) in operations(&document) {
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}");
        let with_token = operation["security"][0]["token"].is_array();
        assert_eq!(with_token, answers.contains_key("401") && answers.contains_key("429"), "{name}");
        for (status, answer) in answers {
            let answer = resolved(&document, answer);
            assert!(said(&answer["description"]), "{name}: {status}");
            if status == "431" {
                // It comes from before there is a request.
                assert!(answer["headers"].is_null() && answer["content"].is_null(), "{name}");
                continue;
            }
            assert!(answer["headers"]["X-Request-Id"].is_object(), "{name}: {status}");
            let is_problem = answer["content"]["application/problem+json"].is_object();
            let is_error = !status.starts_with('2') && with_token;
            assert_eq!(is_problem, is_error, "{name}: {status}");
        }
    }
}

#[test]
fn every_part_is_described_and_used_and_every_reference_leads_somewhere() {
    fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        if let Some(reference) = value["$ref"].as_str() {
            found.insert(reference);
        }
        match value {
            Value::Object(members) => members.values().for_each(|member| collect(member, found)),
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let document = parsed();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in &references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses", "headers"] {
        for (name, part) in document["components"][kind].as_object().unwrap() {
            assert!(
                references.contains(&*format!("#/components/{kind}/{name}")),
                "{kind}: {name} is not used"
            );
            assert!(said(&part["description"]), "{kind}: {name}");
        }
    }
}

/// A schema with the components that it may refer to.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
}

#[test]
fn every_example_fits_its_schema() {
    let document = parsed();
    let mut looked_at = 0;
    let mut look = |what: &str, schema: &Value, example: &Value| {
        let fault = validator(&document, schema).iter_errors(example).map(|e| e.to_string()).next();
        assert_eq!(fault, None, "{what}: {example}");
        looked_at += 1;
    };
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().unwrap_or(&Vec::new()) {
            look(name, schema, example);
        }
    }
    for (name, operation) in operations(&document) {
        let answers = operation["responses"].as_object().unwrap().values();
        for message in answers.chain([&operation["requestBody"]]) {
            for content in
                resolved(&document, message)["content"].as_object().iter().flat_map(|all| all.values())
            {
                if !content["example"].is_null() {
                    look(&name, &content["schema"], &content["example"]);
                }
                for example in content["examples"].as_object().iter().flat_map(|all| all.values()) {
                    look(&name, &content["schema"], &example["value"]);
                }
            }
        }
    }
    assert!(looked_at > 300, "{looked_at}");
}
