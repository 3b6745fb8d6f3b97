//! What it costs to decide whom an event is owed to: 1 KiB of data, for one and for sixteen endpoints that want its type, without
//! filters, with filters that it passes, and with filters that keep it out; and for a thousand endpoints whose many conditions
//! keep it out only at the last, judged while the group is built and before it.
//!
//! `cargo bench -p postrider-core --bench accept`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement, run by hand"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider_core::filter::{Entrant, Filters, Screen};
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::{Change, Effects, Input, Node, NodeConfig};
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use postrider_core::record::Edit;
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;

/// Events of a group.
const EVENTS: usize = 256;
const TENANT: TenantNo = TenantNo(1);
const NOW: Timestamp = Timestamp::from_secs(1_763_000_000);

fn filters(party: &str) -> Option<Arc<Filters>> {
    let text = format!(
        r#"{{"attributes": {{"buyer_party": ["{party}"]}}, "data": [
            {{"pointer": "/amount", "op": "gte", "value": 10}}, {{"pointer": "/card/brand", "op": "in", "value": ["visa", "mc"]}}]}}"#
    );
    Filters::parse(&text).unwrap().map(Arc::new)
}

/// Nineteen lists of a hundred values, which have what the event has, and what it lacks.
fn many() -> Option<Arc<Filters>> {
    let values: Vec<String> = (0..99).map(|n| format!("\"value-{n}\"")).collect();
    let listed = |n: usize| {
        let (names, own) = (["visa", "EUR", "pos"], n % 3);
        let pointer = ["/card/brand", "/currency", "/channel"][own];
        format!(
            r#"{{"pointer": "{pointer}", "op": "in", "value": [{}, "{}"]}}"#,
            values.join(","),
            names[own]
        )
    };
    let lists: Vec<String> = (0..19).map(listed).collect();
    let text = format!(
        r#"{{"data": [{}, {{"pointer": "/none", "op": "exists", "value": true}}]}}"#,
        lists.join(",")
    );
    Filters::parse(&text).unwrap().map(Arc::new)
}

/// A node with so many endpoints, which are paused so that nothing but acceptance costs anything.
fn node(endpoints: u32, filters: &Option<Arc<Filters>>) -> Node<()> {
    let config = NodeConfig {
        backlog_max: u64::MAX,
        group_rows: 1 << 20,
        group_bytes: 1 << 30,
        ..NodeConfig::default()
    };
    let mut node = Node::new(config, Position::ZERO, NOW);
    let changes = (1..=endpoints).map(|n| {
        let policy = Policy {
            version: 1,
            patterns: vec![Pattern::parse("card.*").unwrap()],
            filters: filters.clone(),
            enabled: false,
            verified: true,
            pause_skips: false,
            ordered: false,
            hold_max: Duration::from_secs(60),
            per_second: None,
            max_in_flight: 16,
            schedule: Arc::from([]),
            gone_disables: true,
            disable_after: None,
            target: 1,
        };
        let (no, id) = (EndpointNo(n), format!("ep_{n}").into());
        let (doc, secrets) = (Bytes::new(), Bytes::new());
        let edit = Edit::PutEndpoint { no, tenant: TENANT, id, version: 1, doc, secrets, at: NOW };
        Change { edit, policy: Some(policy) }
    });
    let mut effects = Effects::default();
    node.handle(NOW, Input::Edit(changes.collect(), ()), &mut effects);
    commit(&mut node);
    node
}

/// Makes a group of what waits; how long building it took.
fn commit(node: &mut Node<()>) -> Duration {
    let mut effects = Effects::default();
    node.begin(NOW).unwrap();
    let begun = Instant::now();
    let group = node.build(NOW, &[], &mut effects);
    let took = begun.elapsed();
    node.committed(NOW, &mut effects);
    drop(group);
    took
}

fn publication(data: &Bytes) -> Publication {
    Publication {
        tenant: TENANT,
        entitled: true,
        event_type: "card.transaction.authorized".into(),
        own_id: None,
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::from_static(br#"{"buyer_party":"5561234567","channel":"pos"}"#),
        occurred_at: None,
        data: data.clone(),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    }
}

fn data() -> Bytes {
    let mut text =
        String::from(r#"{"id":"a1b2c3d4-e5f6-7890-abcd-ef1234567890","card":{"id":"c-1","brand":"visa"}"#);
    while text.len() < 1_000 {
        text.push_str(&format!(
            r#","field_{}":{{"name":"Corner Coffee Shop","at":[40.7128,-74.0060]}}"#,
            text.len()
        ));
    }
    text.push_str(r#","currency":"EUR","channel":"pos","amount":42.50}"#);
    text.into()
}

fn accept(criterion: &mut Criterion) {
    let data = data();
    let mut group = criterion.benchmark_group("accept");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for endpoints in [1, 16] {
        for (name, filters) in
            [("no filters", None), ("passing", filters("5561234567")), ("kept out", filters("other"))]
        {
            group.bench_function(BenchmarkId::new(name, endpoints), |bencher| {
                bencher.iter_custom(|times| {
                    let mut node = node(endpoints, &filters);
                    let one = |_| {
                        let items = (0..EVENTS).map(|_| publication(&data)).collect();
                        node.handle(NOW, Input::Publish(items, ()), &mut Effects::default());
                        commit(&mut node)
                    };
                    (0..times).map(one).sum()
                });
            });
        }
    }
    group.finish();
}

/// One event for a thousand endpoints.
fn accept_by_many(criterion: &mut Criterion) {
    const ENDPOINTS: u32 = 1_000;
    let (data, filters) = (data(), many());
    let entrant = |n| Entrant {
        no: EndpointNo(n),
        version: 1,
        patterns: [Pattern::parse("card.*").unwrap()].into(),
        filters: filters.clone().unwrap(),
    };
    let screen = Arc::new(Screen::of((1..=ENDPOINTS).map(entrant).collect()));
    let judge = |item: &Publication| screen.judge(&item.event_type, &item.attributes, &item.data);
    let mut group = criterion.benchmark_group("many filters");
    group.bench_function("before the group", |bencher| {
        let item = publication(&data);
        bencher.iter(|| judge(&item));
    });
    for (name, is_judged) in [("in the group", false), ("in the group, judged before", true)] {
        group.bench_function(name, |bencher| {
            let mut node = node(ENDPOINTS, &filters);
            bencher.iter_custom(|times| {
                let one = |_| {
                    let mut item = publication(&data);
                    item.judged = is_judged.then(|| judge(&item));
                    node.handle(NOW, Input::Publish(vec![item], ()), &mut Effects::default());
                    commit(&mut node)
                };
                (0..times).map(one).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, accept, accept_by_many);
criterion_main!(benches);
