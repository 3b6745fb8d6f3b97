//! What the card guard costs for an event of 1 KiB: the first look, which is nearly always all of it, and the whole walk.
//!
//! `cargo bench -p postrider-core --bench card`
#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, run by hand")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postrider_core::card::{AuthenticationData, CardPolicy, Numbers, is_suspicious};
use postrider_core::id::TenantNo;
use postrider_core::publication::Publication;

const LENGTH: usize = 1_024;

/// An event whose data repeats members until it has a length.
fn event(members: &str, last: &str) -> Publication {
    let mut data = String::from("{");
    for n in 0.. {
        let more = members.replace("NN", &format!("{n:02}"));
        if data.len() + more.len() + last.len() > LENGTH {
            break;
        }
        data.push_str(&more);
    }
    data.push_str(last);
    data.push_str(&" ".repeat(LENGTH.saturating_sub(data.len() + 1)));
    data.push('}');
    Publication {
        tenant: TenantNo(1),
        entitled: true,
        event_type: "card.transaction.authorized".into(),
        own_id: None,
        key: Some("f9e8d7c6-b5a4-3210-fedc-ba0987654321".into()),
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        occurred_at: None,
        data: data.into(),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    }
}

fn guard(criterion: &mut Criterion) {
    let words = r#""merchant_NN":"Corner Coffee Shop","category":"restaurants","note":"a flat white, please","online":false,"#;
    let numbers = r#""card_uuid_NN":"a1b2c3d4-e5f6-7890-abcd-ef1234567890","amount":42.50,"at":"2025-03-15T14:22:31.000Z","ms":1742048551000,
        "phone":"+4915112345678","ref":"20250315142231123","#;
    let accents =
        r#""merchant_NN":"Café Zürich – Straße","city":"København","note":"två kaffe, tack så mycket","#;
    let clean = [
        ("words", event(words, r#""end":true"#)),
        ("numbers", event(numbers, r#""end":true"#)),
        ("accents", event(accents, r#""end":true"#)),
    ];
    let mut group = criterion.benchmark_group("first_look");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    for (name, event) in &clean {
        assert!(!is_suspicious(event), "{name}");
        group.bench_function(*name, |bencher| bencher.iter(|| is_suspicious(black_box(event))));
    }
    group.finish();

    let policy = CardPolicy::new(Numbers::Mask, AuthenticationData::Strip);
    let suspicious = [
        ("nothing", event(numbers, r#""cid":"c-123-abc""#)),
        ("nested", event(numbers, r#""raw":"{\"a\":1,\"b\":\"x\"}""#)),
        ("masked", event(numbers, r#""pan":"4111 1111 1111 1111""#)),
    ];
    let mut group = criterion.benchmark_group("walk");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    for (name, event) in &suspicious {
        assert!(is_suspicious(event), "{name}");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| policy.admit(&mut black_box(event).clone()).unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
