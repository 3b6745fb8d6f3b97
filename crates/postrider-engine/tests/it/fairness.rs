//! What one tenant does leaves others their turn.

use std::time::Duration;

use postrider_core::endpoint::EndpointConfig;
use postrider_core::id::TenantNo;
use postrider_core::node::NodeConfig;
use postrider_core::publication::{Publication, Refusal};
use postrider_core::record::Status;
use postrider_core::replay::{ReplayFilter, Statuses};
use postrider_core::subscription::Pattern;
use postrider_core::tenant::{Quotas, TenantConfig};
use postrider_engine::error::ServiceError;
use postrider_sqlite::SqliteConfig;
use serde_json::json;

use crate::stand::{Stand, eventually, publication};

/// A tenant with so many paused endpoints, each with so many conditions that all hold of `{"n": 1}`.
async fn with_filters(stand: &Stand, endpoints: usize, conditions: usize) -> TenantNo {
    let quotas = Quotas { filter_values: Some(1_000_000), ..Quotas::default() };
    let config = TenantConfig { quotas, ..TenantConfig::named("picky") };
    let (tenant, _) = stand.engine.put_tenant("picky".parse().unwrap(), &config).await.unwrap();
    let absent = |n| json!({"pointer": format!("/x{n}"), "op": "exists", "value": false});
    let mut data: Vec<_> = (0..conditions).map(absent).collect();
    data.push(json!({"pointer": "/n", "op": "eq", "value": 1}));
    let endpoint = json!({"url": "http://127.0.0.1:9999/", "enabled": false, "filters": {"data": data}});
    for _ in 0..endpoints {
        let config = EndpointConfig::parse_create(endpoint.to_string().as_bytes(), [7; 24]).unwrap();
        stand.engine.create_endpoint(tenant.no, config).await.unwrap();
    }
    tenant.no
}

/// What takes long to count: everything of a type.
fn everything() -> ReplayFilter {
    ReplayFilter {
        since: None,
        until: None,
        sequence_from: None,
        sequence_to: None,
        statuses: Statuses::of(Status::ALL),
        types: vec![Pattern::parse("no.such").unwrap()],
    }
}

fn with_data(tenant: TenantNo, id: usize, data: String) -> Publication {
    Publication { data: data.into(), ..publication(tenant, &format!("e-{id}")) }
}

#[tokio::test]
async fn abuse_a82_whoever_has_many_filters_keeps_nobody_else_waiting_and_gets_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    // Few conditions are asked on the spot, many on another thread: 250 times 20 are more than 4,096.
    for (endpoints, conditions) in [(3, 2), (247, 19)] {
        let picky = with_filters(&stand, endpoints, conditions).await;
        let answers = stand
            .engine
            .publish(vec![
                with_data(picky, endpoints, r#"{"n": 1.0}"#.into()),
                with_data(picky, endpoints + 1, r#"{"n": 2}"#.into()),
                with_data(stand.tenant, endpoints, r#"{"n": 2}"#.into()),
            ])
            .await;
        let owed: Vec<usize> = answers.iter().map(|answer| answer.as_ref().unwrap().deliveries).collect();
        assert_eq!(owed, [if endpoints == 3 { 3 } else { 250 }, 0, 1]);
    }
    // A change holds for what is published after it.
    let picky = stand.engine.tenant_no("picky").unwrap();
    let first = stand.engine.endpoints_after(picky, None, 1).unwrap().remove(0).endpoint;
    stand.engine.delete_endpoint(picky, first.id.as_str()).await.unwrap();
    let answers = stand.engine.publish(vec![with_data(picky, 999, r#"{"n": 1}"#.into())]).await;
    assert_eq!(answers[0].as_ref().unwrap().deliveries, 249);
    stand.engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn abuse_a82_a_batch_that_takes_long_to_guard_leaves_others_their_turns() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    // Card numbers everywhere: each event is gone through and refused, so that nothing is waited for.
    let data = json!({ "numbers": vec!["4111 1111 1111 1111"; 2_000] }).to_string();
    let items: Vec<_> = (0..200).map(|n| with_data(stand.tenant, n, data.clone())).collect();
    let publishing = stand.engine.publish(items);
    tokio::pin!(publishing);
    let mut turns = 0;
    let answers = loop {
        tokio::select! {
            biased;
            answers = &mut publishing => break answers,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(turns > 3, "{turns}");
    assert!(answers.iter().all(|answer| matches!(answer, Err(Refusal::CardData(_)))));
    stand.engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a82_whoever_asks_for_very_much_is_turned_away_and_others_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    let other = stand.tenant("other").await;
    stand.publish("a").await.unwrap();
    eventually("it arrives", || stand.arrivals("a") == 1).await;
    let endpoint = stand.engine.endpoints_after(stand.tenant, None, 1).unwrap().remove(0).endpoint;
    let asking: Vec<_> = (0..1_000)
        .map(|_| {
            let (engine, tenant, id) = (stand.engine.clone(), stand.tenant, endpoint.id.clone());
            let filter = everything();
            tokio::spawn(async move { engine.count_replay(tenant, id.as_str(), filter).await })
        })
        .collect();
    // Whoever else asks has a turn, and what is published goes out.
    let theirs = stand.engine.endpoints_after(other, None, 1).unwrap().remove(0).endpoint;
    stand.engine.endpoint_stats(other, theirs.id.as_str(), None).await.unwrap();
    stand.engine.feed(other, theirs.id.as_str(), 0, 10).await.unwrap();
    stand.publish("b").await.unwrap();
    eventually("it arrives", || stand.arrivals("b") == 1).await;
    let mut answered = 0;
    for asked in asking {
        match asked.await.unwrap() {
            Ok(matched) => {
                assert_eq!(matched, 0);
                answered += 1;
            }
            Err(ServiceError::Overloaded { reason, .. }) => assert!(reason.contains("try again"), "{reason}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(answered > 0, "some are answered");
    stand.engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_too_wide_to_count_is_the_caller_s_to_narrow() {
    let directory = tempfile::tempdir().unwrap();
    let hasty = SqliteConfig { read_limit: Duration::ZERO, ..SqliteConfig::default() };
    let stand = Stand::start_on(directory.path(), NodeConfig::default(), hasty).await;
    stand.publish("a").await.unwrap();
    eventually("it arrives", || stand.arrivals("a") == 1).await;
    let endpoint = stand.engine.endpoints_after(stand.tenant, None, 1).unwrap().remove(0).endpoint;
    // Asked until the delivery has ended, so that there is something to count.
    let faults = loop {
        match stand.engine.count_replay(stand.tenant, endpoint.id.as_str(), everything()).await {
            Err(ServiceError::Invalid(faults)) => break faults,
            Ok(0) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(faults[0].pointer, "/since");
    assert!(faults[0].detail.contains("narrow"), "{faults:?}");
    stand.engine.stop(Duration::from_secs(5)).await;
}
