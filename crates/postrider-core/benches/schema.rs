//! What a schema costs an event: `cargo bench -p postrider-core --bench schema`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use postrider_core::schema::Schema;
use serde_json::{Value, json};

/// How long each line is measured, after a warm-up as long.
const TIME: Duration = Duration::from_millis(500);

fn main() {
    let transaction = json!({
        "type": "object", "required": ["id", "amount", "currency"], "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "format": "uuid"}, "card": {"type": "string", "maxLength": 64},
            "amount": {"type": "number", "minimum": 0, "multipleOf": 0.01}, "currency": {"pattern": "^[A-Z]{3}$"},
            "merchant": {"$ref": "#/$defs/merchant"}, "at": {"type": "string"}
        },
        "$defs": {"merchant": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "mcc": {"pattern": "^[0-9]{4}$"}, "country": {"enum": ["SE", "NO", "DK"]}
        }}}
    });
    let small = json!({
        "id": "018f3c5e-7b1a-7c3d-9e2f-012345678900", "card": "c-1", "amount": 42.5, "currency": "SEK", "at": "2026-01-31T12:00:00Z",
        "merchant": {"name": "Kaffe & Co", "mcc": "5814", "country": "SE"}
    });
    let mut kib = small.clone();
    kib["merchant"]["name"] = "x".repeat(800).into();
    let mut wrong = small.clone();
    wrong["amount"] = (-1).into();
    wrong["surplus"] = true.into();
    let items = json!({"type": "array", "items": transaction, "$defs": transaction["$defs"]});
    let many = Value::from(vec![small.clone(); 1_000]);
    println!("{:<28} {:>8} {:>12}", "", "bytes", "each");
    for (name, schema, data) in [
        ("a small event", &transaction, &small),
        ("an event of 1 KiB", &transaction, &kib),
        ("an event with two faults", &transaction, &wrong),
        ("an event of 1,000 items", &items, &many),
    ] {
        let (schema, data) = (Schema::compile(&schema.to_string()).unwrap(), data.to_string());
        report(name, data.len(), || drop(black_box(schema.check(black_box(data.as_bytes())))));
    }
    let text = transaction.to_string();
    report("compiling the schema", text.len(), || drop(black_box(Schema::compile(black_box(&text)))));
}

fn report(name: &str, bytes: usize, mut work: impl FnMut()) {
    for measured in [false, true] {
        let (begun, mut times) = (Instant::now(), 0_u32);
        while begun.elapsed() < TIME {
            (0..16).for_each(|_| work());
            times += 16;
        }
        if measured {
            println!("{name:<28} {bytes:>8} {:>12.2?}", begun.elapsed() / times);
        }
    }
}
