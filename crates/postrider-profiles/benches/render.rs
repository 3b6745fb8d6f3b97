//! What it costs to render a delivery of 1 KiB and its headers, signatures included, by each profile; and for comparison the
//! format of `standard` written by hand.
//!
//! `cargo bench -p postrider-profiles --bench render`
#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, run by hand")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_core::id::{Position, TenantNo};
use postrider_core::record::Event;
use postrider_core::secret::SigningSecret;
use postrider_core::signature::SigningKey;
use postrider_core::time::Timestamp;
use postrider_core::wire::Message;

const AT: Timestamp = Timestamp::from_millis(1_763_000_000_123);

fn event() -> Event {
    let data = format!(r#"{{"id": "tx_81230417", "amount": 42.50, "note": "{}"}}"#, "x".repeat(975));
    Event {
        position: Position(7),
        tenant: TenantNo(1),
        accepted_at: AT,
        occurred_at: AT,
        event_type: "card.transaction.authorized".into(),
        own_id: None,
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        data: data.into(),
    }
}

/// As it was written before formats were declared.
fn by_hand(event: &Event, key: &SigningKey) {
    let mut body = Vec::with_capacity(58 + event.event_type.len() + event.data.len());
    body.extend_from_slice(b"{\"type\":");
    serde_json::to_writer(&mut body, &*event.event_type).unwrap();
    write!(body, ",\"timestamp\":\"{}\",\"data\":", event.occurred_at).unwrap();
    body.extend_from_slice(&event.data);
    body.push(b'}');
    let body = Bytes::from(body);
    let id = event.id();
    let mut signature = String::new();
    key.sign_into(&mut signature, &id, AT.as_secs(), &body);
    black_box((body, id, signature));
    for number in [AT.as_secs(), 7, 1] {
        let mut text = String::new();
        write!(text, "{number}").unwrap();
        black_box(text);
    }
}

fn render(c: &mut Criterion) {
    let mut group = c.benchmark_group("render");
    let event = event();
    let secret = SigningSecret::generate([7; 24]);
    let key = SigningKey::new(&secret);
    group.bench_function("standard, by hand", |b| b.iter(|| by_hand(black_box(&event), &key)));
    for profile in postrider_profiles::built_in().iter() {
        let keys = profile.keys(&secret).unwrap();
        group.bench_function(profile.name().as_str(), |b| {
            b.iter(|| {
                let event = black_box(&event);
                let id = event.id();
                let message = Message {
                    event,
                    id: &id,
                    sequence: Some(7),
                    attempt: 1,
                    at: AT,
                    endpoint: "ep_1",
                    tenant: "acme",
                };
                let body = profile.wire().render_body(&message);
                profile.wire().render_headers(&message, &body, std::iter::once(&keys), |at, value, _| {
                    black_box((at, value));
                });
                black_box(body);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);
