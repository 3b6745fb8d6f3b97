//! What it costs to open the secrets of an endpoint and to make it ready for attempts, beside reading them in clear.
//!
//! `cargo bench -p postrider-core --bench prepare`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement, run by hand"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use postrider_core::endpoint::{EndpointConfig, PublicConfig};
use postrider_core::id::EndpointNo;
use postrider_core::seal::{Binding, DataKey};
use postrider_core::signature::SigningKey;

const ROUNDS: usize = 9;
const EACH: u32 = 20_000;

/// The median of several rounds, in nanoseconds.
fn measure(name: &str, mut work: impl FnMut()) {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..EACH).for_each(|_| work());
            begun.elapsed() / EACH
        })
        .collect();
    rounds.sort();
    println!(
        "| {name} | {} | {} to {} |",
        rounds[ROUNDS / 2].as_nanos(),
        rounds[0].as_nanos(),
        rounds[ROUNDS - 1].as_nanos()
    );
}

fn main() {
    let body = br#"{
        "url": "https://partner.example/hooks", "name": "till", "event_types": ["card.*", "account.topup"],
        "auth": {"type": "basic", "username": "ada", "password": "correct horse battery staple"},
        "headers": {"X-My-App-Id": "7"}, "retry": {"schedule_s": [5, 300, 3600]}, "metadata": {"crm": "7"}
    }"#;
    let config = EndpointConfig::parse_create(body, [7; 24]).unwrap();
    let (key, row) = (DataKey::new(&[1; 32]), Binding::endpoint(EndpointNo(1), 1));
    let (doc, clear) = (config.to_doc(), config.secrets());
    let sealed = key.seal(row, clear.as_bytes(), [2; 12]);
    println!("| what | ns, median | range |\n| --- | --- | --- |");
    measure("secrets sealed", || drop(black_box(key.seal(row, clear.as_bytes(), [2; 12]))));
    measure("secrets opened", || drop(black_box(key.open(row, &sealed).unwrap())));
    measure("endpoint read, secrets in clear", || {
        let config = EndpointConfig::from_stored(&doc, clear.as_bytes()).unwrap();
        black_box(SigningKey::new(config.secret.as_ref().unwrap()));
    });
    measure("endpoint read, secrets sealed", || {
        let secrets = key.open(row, &sealed).unwrap();
        let config = EndpointConfig::from_stored(&doc, &secrets).unwrap();
        black_box(SigningKey::new(config.secret.as_ref().unwrap()));
    });
    measure("endpoint read without secrets", || drop(black_box(PublicConfig::from_stored(&doc).unwrap())));
}
