//! What the document shows and bounds, tried: its examples are accepted, and its bounds are those that hold.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::contract::{DOCUMENT, resolved, validator};
use crate::fixture::{ADMIN, Server};

/// The bodies that the document shows for a call, each with its media type.
fn bodies(operation: &'static Value) -> Vec<(&'static str, Value)> {
    let mut found = Vec::new();
    for (media_type, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let one = content.get("example").into_iter();
        let some = content["examples"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values())
            .map(|shown| &shown["value"]);
        let of_schema = resolved(&content["schema"])["examples"].as_array().into_iter().flatten();
        let all = one.chain(some).chain(of_schema);
        found.extend(all.map(|example| (media_type.as_str(), example.clone())));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_request_is_accepted() {
    let server = Server::start().await;
    // The examples of events are of tenants that have no endpoint here: what the examples of endpoints name is never connected to.
    for tenant in ["acme", "loyalty-club", "city-guide"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    let endpoint = json!({"url": "http://localhost:9999/"}).to_string();
    for id in ["till-4", "tested"] {
        server
            .operator("PUT", &format!("/v1/tenants/city-guide/endpoints/{id}"), endpoint.clone(), 201)
            .await;
    }
    let mut sent = 0;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let path = path
            .replace("{tenant}", "city-guide")
            .replace("{id}", if path.ends_with("/test") { "tested" } else { "till-4" })
            .replace("{type}", "card.transaction.authorized")
            .replace("{subject}", "card-f9e8d7c6");
        for (method, operation) in item.as_object().unwrap() {
            let bodies = bodies(operation);
            assert_eq!(
                bodies.is_empty(),
                operation["requestBody"].is_null(),
                "{method} {path} shows no example"
            );
            for (media_type, body) in bodies {
                let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                let headers = [("content-type", media_type)];
                let answer = server.call_with(ADMIN, &method.to_uppercase(), &path, text, &headers).await;
                assert!((200..300).contains(&answer.status), "{method} {path} {body}: {}", answer.json());
                sent += 1;
            }
        }
    }
    assert!(sent >= 15, "{sent}");
}

/// Values at the bounds of a number or a text and beyond them, each with whether it is within.
fn at_bounds(schema: &Value) -> Vec<(Value, bool)> {
    let mut values = Vec::new();
    for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
        let bound = schema[bound].as_i64().into_iter();
        values.extend(bound.flat_map(|at| [(json!(at), true), (json!(at + beyond), false)]));
    }
    if let Some(most) = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok())
        && validator(schema).is_valid(&json!("xx"))
    {
        values.extend([(json!("x".repeat(most)), true), (json!("x".repeat(most + 1)), false)]);
    }
    values
}

/// The numbers and texts of an object, and of the objects in it: their places and schemas.
fn fields(object: &'static Value, place: &str) -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    for (name, schema) in object["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        // What may be null is a choice between null and the rest.
        let either = schema["oneOf"].as_array().into_iter().flatten();
        for schema in either.chain([schema]).map(resolved) {
            found.push((place.clone(), schema));
            found.extend(fields(schema, &place));
        }
    }
    found
}

/// A document with nothing but the required members of an example, and a value at a place.
fn with(spec: &Value, place: &str, value: &Value) -> Value {
    let required = spec["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut body: Value = required
        .map(|name| (name.to_owned(), spec["examples"][0][name].clone()))
        .collect::<Map<_, _>>()
        .into();
    let mut at = &mut body;
    for name in place.split('/').skip(1) {
        at = &mut at[name];
    }
    *at = value.clone();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_of_a_field_is_the_one_that_holds() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", "{}", 201).await;
    server
        .operator("PUT", "/v1/tenants/acme/endpoints/till-4", r#"{"url":"http://localhost:9999/"}"#, 201)
        .await;
    let mut looked_at = BTreeSet::new();
    for (method, path) in [
        ("put", "/v1/tenants/{tenant}"),
        ("put", "/v1/event-types/{type}"),
        ("post", "/v1/tenants/{tenant}/endpoints"),
        ("put", "/v1/tenants/{tenant}/endpoints/{id}"),
        ("post", "/v1/tenants/{tenant}/endpoints/{id}/secret/rotate"),
    ] {
        let spec = resolved(
            &DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"],
        );
        let path =
            path.replace("{tenant}", "acme").replace("{id}", "till-4").replace("{type}", "card.frozen");
        for (place, schema) in fields(spec, "") {
            for (value, within) in at_bounds(schema) {
                let body = with(spec, &place, &value);
                let answer = server.call(ADMIN, &method.to_uppercase(), &path, body.to_string()).await;
                let faults = if within { Vec::new() } else { vec![place.clone()] };
                assert_eq!(answer.pointers(), faults, "{method} {path} {place}: {value}");
                assert_eq!((200..300).contains(&answer.status), within, "{method} {path} {place}: {value}");
                looked_at.insert(place.clone());
            }
        }
    }
    assert!(looked_at.len() >= 10, "{looked_at:?}");
}
