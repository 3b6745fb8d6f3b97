//! Replays of what did not arrive: which, how fast, in which order, and that each goes once whatever happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::api::Endpoint;
use crate::harness::{Receiver, Reply, Server, Setup, Tenant, eventually, within};

/// A server whose deliveries fail at their first failure, and whose breakers stay closed.
async fn server() -> Server {
    Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await
}

/// Has an endpoint give up: what is published from now on is skipped.
async fn disable(acme: &Tenant, endpoint: &Endpoint, receiver: &Receiver) {
    receiver.answer(Reply::status(410));
    acme.publish(json!({"type": "straw"})).await;
    acme.wait_for_state(endpoint, "disabled").await;
}

async fn enable(acme: &Tenant, endpoint: &Endpoint, receiver: &Receiver) {
    receiver.answer(Reply::status(204));
    acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "t"})).await.ok(200);
    acme.wait_for_state(endpoint, "active").await;
}

/// Publishes so many events at once, `r0`, `r1` ... with keys `k0` to `k9` in turn.
async fn publish_many(acme: &Tenant, count: usize) {
    for first in (0..count).step_by(500) {
        let events: Vec<Value> = (first..count.min(first + 500))
            .map(|n| {
                json!({"tenant": acme.id, "type": "card.created", "id": format!("r{n}"), "key": format!("k{}", n % 10), "data": n})
            })
            .collect();
        acme.api.post("/v1/events", &json!(events)).await.ok(202);
    }
}

async fn replay(acme: &Tenant, endpoint: &Endpoint, body: Value) -> Value {
    acme.api.post(&format!("{}/replays", endpoint.path), &body).await.ok(202)
}

async fn read(acme: &Tenant, endpoint: &Endpoint, replay: &Value) -> Value {
    let path = format!("{}/replays/{}", endpoint.path, replay["id"].as_str().unwrap());
    acme.api.get(&path).await.ok(200)
}

async fn ended(acme: &Tenant, endpoint: &Endpoint, replay: &Value) -> Value {
    within(Duration::from_secs(60), "the replay ends", async || {
        Some(read(acme, endpoint, replay).await).filter(|read| read["state"] != "running")
    })
    .await
}

async fn nothing_pending(acme: &Tenant) {
    within(Duration::from_secs(60), "nothing is pending", async || {
        let page = acme.api.get(&acme.path("deliveries?status=pending&limit=1")).await.ok(200);
        (page["data"].as_array().unwrap().is_empty() && page["next_cursor"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_what_did_not_arrive_is_replayed_once_and_told_as_a_replay() {
    let server = server().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.event().starts_with("bad") { 400 } else { 204 }));
    let acme = server.tenant("acme").await;
    // One at a time, so that the order of arrival is that of leaving.
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "max_in_flight": 1})).await;
    for n in 0..4 {
        acme.publish(json!({"id": format!("bad{n}")})).await;
        acme.publish(json!({"id": format!("good{n}")})).await;
        acme.wait_for_status(&format!("bad{n}"), "failed").await;
    }
    let (path, dry_run) =
        (format!("{}/replays", endpoint.path), json!({"sequence_from": 1, "dry_run": true}));
    assert_eq!(acme.api.post(&path, &dry_run).await.ok(200), json!({"matched": 4}));
    receiver.answer(Reply::status(204));
    let before = receiver.count();
    let begun = replay(&acme, &endpoint, json!({"sequence_from": 1, "types": ["card.*"]})).await;
    let done = ended(&acme, &endpoint, &begun).await;
    assert_eq!((&done["state"], &done["done"], &done["skipped"]), (&json!("done"), &json!(4), &json!(0)));
    let arrived = receiver.wait_for(before + 4).await.split_off(before);
    let events: Vec<&str> = arrived.iter().map(|r| r.event()).collect();
    assert_eq!(events, ["bad0", "bad1", "bad2", "bad3"], "in their order");
    for (n, request) in arrived.iter().enumerate() {
        request.verify(&endpoint.secret);
        assert_eq!((request.sequence(), request.attempt()), (2 * n as u64 + 1, 2));
    }
    let delivery = acme.wait_for_status("bad0", "succeeded").await;
    let last = delivery["attempts"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["trigger"], &last["run"]), (&json!("replay"), &json!(1)));
}

#[tokio::test]
async fn every_condition_of_a_replay_chooses_alone_and_with_others() {
    let server = server().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.event().starts_with("bad") { 400 } else { 204 }));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let mut accepted = Vec::new();
    for (id, event_type) in
        [("bad1", "card.a"), ("good2", "card.b"), ("bad3", "account.a"), ("good4", "card.a")]
    {
        acme.publish(json!({"id": id, "type": event_type})).await;
        let status = if id.starts_with("bad") { "failed" } else { "succeeded" };
        accepted.push(acme.wait_for_status(id, status).await["created_at"].clone());
    }
    let count = async |conditions: Value| {
        let mut body = json!({"sequence_from": 1, "dry_run": true});
        body.as_object_mut().unwrap().extend(conditions.as_object().unwrap().clone());
        acme.api.post(&format!("{}/replays", endpoint.path), &body).await
    };
    for (conditions, matched) in [
        (json!({}), 2),
        (json!({"statuses": ["succeeded"]}), 2),
        (json!({"statuses": ["succeeded", "failed"]}), 4),
        (json!({"statuses": ["cancelled", "skipped"]}), 0),
        (json!({"sequence_from": 2}), 1),
        (json!({"sequence_to": 1}), 1),
        (json!({"types": ["card.*"]}), 1),
        (json!({"types": ["card.*", "account.a"]}), 2),
        (json!({"types": ["*"], "statuses": ["succeeded", "failed"]}), 4),
        (json!({"since": accepted[1]}), 1),
        (json!({"since": accepted[0], "until": accepted[2]}), 1),
        (json!({"sequence_from": null, "since": accepted[0]}), 2),
        (json!({"since": accepted[1], "statuses": ["succeeded"], "types": ["card.a"], "sequence_to": 4}), 1),
    ] {
        assert_eq!(count(conditions.clone()).await.ok(200), json!({"matched": matched}), "{conditions}");
    }
    for (conditions, pointer) in [
        (json!({"statuses": ["pending"]}), "/statuses/0"),
        (json!({"statuses": []}), "/statuses"),
        (json!({"types": ["card.*.x"]}), "/types/0"),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": accepted[1], "until": accepted[0]}), "/until"),
        (json!({"sequence_from": 0}), "/sequence_from"),
        (json!({"sequence_from": 2, "sequence_to": 1}), "/sequence_to"),
        (json!({"sequence_from": null}), "/since"),
        (json!({"per_second": 0}), "/per_second"),
        (json!({"per_second": 10_001}), "/per_second"),
        (json!({"dry_run": "yes"}), "/dry_run"),
        (json!({"typs": ["card.*"]}), "/typs"),
    ] {
        assert_eq!(count(conditions.clone()).await.pointers(), [pointer.to_owned()].into(), "{conditions}");
    }
}

#[tokio::test]
async fn a_replay_that_cannot_be_is_refused_with_what_stands_in_its_way() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let path = format!("{}/replays", endpoint.path);
    // So many that slow ones do not end, though each passes over what another has let go.
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, 500).await;
    enable(&acme, &endpoint, &receiver).await;
    let done = replay(&acme, &endpoint, json!({"sequence_from": 1_000})).await;
    let one = |replay: &Value| format!("{path}/{}", replay["id"].as_str().unwrap());
    assert!(acme.api.delete(&one(&done)).await.problem(409)["detail"].as_str().unwrap().contains("done"));
    let slow = json!({"sequence_from": 1, "per_second": 1});
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(replay(&acme, &endpoint, slow.clone()).await);
    }
    let fifth = acme.api.post(&path, &slow).await.problem(409);
    assert!(fifth["detail"].as_str().unwrap().contains("four"), "{fifth}");
    for replay in &running {
        acme.api.delete(&one(replay)).await.ok(204);
        acme.api.delete(&one(replay)).await.ok(204);
        assert_eq!(acme.api.get(&one(replay)).await.ok(200)["state"], "cancelled");
    }
    let listed = acme.api.whole(&path, 2).await;
    let ids: Vec<_> = listed.iter().map(|replay| &replay["id"]).collect();
    assert_eq!(ids, running.iter().rev().chain([&done]).map(|replay| &replay["id"]).collect::<Vec<_>>());
    acme.api.get(&format!("{path}?limit=0")).await.problem(422);
    acme.api.get(&format!("{path}/rpl_0")).await.problem(404);
    disable(&acme, &endpoint, &receiver).await;
    let refused = acme.api.post(&path, &slow).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("disabled"), "{refused}");
}

#[tokio::test]
async fn a_replay_by_sequence_takes_what_was_skipped_in_lanes() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "ordering": "key"})).await;
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, 300).await;
    enable(&acme, &endpoint, &receiver).await;
    receiver.answer(Reply::status(204).after(Duration::from_millis(2)));
    let before = receiver.count();
    // The first is the one that disabled it.
    let begun =
        replay(&acme, &endpoint, json!({"sequence_from": 2, "sequence_to": 201, "per_second": 2_000})).await;
    assert_eq!(begun["matched"], 200);
    let done = ended(&acme, &endpoint, &begun).await;
    assert_eq!((&done["done"], &done["skipped"], &done["expired"]), (&json!(200), &json!(0), &json!(0)));
    nothing_pending(&acme).await;
    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for request in receiver.all().split_off(before) {
        let number: u64 = request.event()[1..].parse().unwrap();
        lanes.entry(format!("k{}", number % 10)).or_default().push(request.sequence());
    }
    assert_eq!(lanes.values().map(Vec::len).sum::<usize>(), 200);
    assert!(lanes.values().all(|lane| lane.is_sorted_by(|a, b| a < b)), "{lanes:?}");
    assert_eq!(acme.whole_log("status=skipped").await.len(), 100);
}

#[tokio::test]
async fn a_replay_tells_how_far_it_is_and_can_be_cancelled() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, 100).await;
    enable(&acme, &endpoint, &receiver).await;
    let begun = replay(&acme, &endpoint, json!({"sequence_from": 2, "per_second": 20})).await;
    let some = eventually("some are done", async || {
        Some(read(&acme, &endpoint, &begun).await).filter(|read| read["done"].as_u64().unwrap() >= 5)
    })
    .await;
    assert_eq!(some["state"], "running");
    let path = format!("{}/replays/{}", endpoint.path, begun["id"].as_str().unwrap());
    acme.api.delete(&path).await.ok(204);
    let cancelled = read(&acme, &endpoint, &begun).await;
    let done = cancelled["done"].as_u64().unwrap();
    assert!(cancelled["state"] == "cancelled" && done < 100, "{cancelled}");
    nothing_pending(&acme).await;
    // What it let go has gone out, and nothing more.
    let replayed = receiver.all().iter().filter(|r| r.event().starts_with('r')).count() as u64;
    assert_eq!(replayed, done);
    assert_eq!(acme.whole_log("status=skipped").await.len() as u64, 100 - done);
}

/// What the log has, without the tests that were sent beside the deliveries.
async fn deliveries(acme: &Tenant, query: &str) -> Vec<Value> {
    acme.whole_log(query).await.into_iter().filter(|row| !row["sequence"].is_null()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_after_stops_and_kills_and_ends_with_the_right_count() {
    const COUNT: usize = 3_000;
    let mut server = server().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "max_in_flight": 32})).await;
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, COUNT).await;
    enable(&acme, &endpoint, &receiver).await;
    let begun = replay(&acme, &endpoint, json!({"sequence_from": 2, "per_second": 1_000})).await;
    let mut acme = acme;
    for round in 1..=5_u64 {
        let enough = round * COUNT as u64 / 8;
        within(Duration::from_secs(60), "some more are done", async || {
            (read(&acme, &endpoint, &begun).await["done"].as_u64().unwrap() >= enough).then_some(())
        })
        .await;
        if round == 3 {
            assert_eq!(server.stop().await.code(), Some(0));
        } else {
            server.kill();
        }
        server.start_again().await;
        acme = acme.at(server.api());
    }
    let done = ended(&acme, &endpoint, &begun).await;
    assert_eq!(
        (&done["state"], &done["matched"], &done["done"], &done["skipped"]),
        (&json!("done"), &json!(COUNT), &json!(COUNT), &json!(0))
    );
    nothing_pending(&acme).await;
    let log = deliveries(&acme, "status=succeeded").await;
    assert_eq!(log.len(), COUNT);
    // Nothing went twice but what was under way when it died; no run but the one of the replay was begun.
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for request in receiver.all().iter().filter(|r| r.event().starts_with('r')) {
        *seen.entry(request.event().to_owned()).or_default() += 1;
    }
    assert_eq!(seen.len(), COUNT);
    let twice = seen.values().filter(|count| **count > 1).count();
    assert!(twice <= 5 * 32, "{twice} went more than once");
    for row in log.iter().step_by(97) {
        let path = acme.path(&format!("deliveries/{}", row["id"].as_str().unwrap()));
        let attempts = acme.api.get(&path).await.ok(200)["attempts"].clone();
        assert!(
            attempts.as_array().unwrap().iter().all(|a| a["run"] == 1 && a["trigger"] == "replay"),
            "{attempts}"
        );
    }
}

#[tokio::test]
async fn a_failing_replay_is_not_charged_to_its_endpoint() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[0.1]").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, 60).await;
    enable(&acme, &endpoint, &receiver).await;
    receiver.answer(Reply::status(503));
    let begun = replay(&acme, &endpoint, json!({"sequence_from": 2, "per_second": 1_000})).await;
    assert_eq!(ended(&acme, &endpoint, &begun).await["done"], 60);
    nothing_pending(&acme).await;
    assert_eq!(acme.read(&endpoint).await["state"], "active");
    assert_eq!(acme.whole_log("status=failed").await.len(), 61);
    // And again, this time in vain for nobody.
    receiver.answer(Reply::status(204));
    let begun = replay(&acme, &endpoint, json!({"since": "2020-01-01T00:00:00Z", "per_second": 1_000})).await;
    assert_eq!(ended(&acme, &endpoint, &begun).await["done"], 61);
    nothing_pending(&acme).await;
    assert_eq!(deliveries(&acme, "status=succeeded").await.len(), 61);
}

/// Publishes live events at a steady rate for a while; how long each took from its publication to its arrival, sorted.
async fn live(acme: &Tenant, receiver: &Receiver, name: &str, rate: u32, time: Duration) -> Vec<Duration> {
    const CONNECTIONS: u32 = 4;
    let begun = Instant::now();
    let connections = (0..CONNECTIONS).map(|n| {
        let (acme, name) = (acme.clone(), name.to_owned());
        tokio::spawn(async move {
            let mut connection = acme.api.connect().await.unwrap();
            let mut sent = Vec::new();
            for i in 0.. {
                let at = begun + Duration::from_secs(1) * (i * CONNECTIONS + n) / rate;
                if at > begun + time {
                    return sent;
                }
                tokio::time::sleep_until(at.into()).await;
                let id = format!("{name}-{n}-{i}");
                let event = json!({"tenant": acme.id, "type": "card.created", "id": id, "data": "live"});
                let now = Instant::now();
                connection.publish(&event).await.unwrap().ok(202);
                sent.push((id, now));
            }
            sent
        })
    });
    let mut sent = HashMap::new();
    for connection in connections.collect::<Vec<_>>() {
        sent.extend(connection.await.unwrap());
    }
    let mut took = within(Duration::from_secs(20), "what was published has arrived", async || {
        let all = receiver.all();
        let took = all.iter().filter_map(|r| Some(r.at.duration_since(*sent.get(r.event())?)));
        Some(took.collect::<Vec<_>>()).filter(|took| took.len() >= sent.len())
    })
    .await;
    took.sort_unstable();
    took
}

/// By default a small one, with room for a busy machine; `POSTRIDER_REPLAYED=100000` measures a large one in five pairs, which
/// is worth something with `--release` on a machine that does nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_replay_leaves_live_traffic_alone_and_survives_a_kill_in_the_middle() {
    let large = std::env::var("POSTRIDER_REPLAYED").ok().and_then(|count| count.parse().ok());
    let count = large.unwrap_or(6_000);
    let (pairs, room) = if large.is_some() { (5, 1) } else { (1, 40) };
    let (rate, time, room) =
        (300, Duration::from_secs(if large.is_some() { 5 } else { 2 }), Duration::from_millis(room));
    let mut server = server().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    disable(&acme, &endpoint, &receiver).await;
    publish_many(&acme, count).await;
    enable(&acme, &endpoint, &receiver).await;
    live(&acme, &receiver, "warm", rate, Duration::from_secs(1)).await;
    let all = json!({"sequence_from": 2, "sequence_to": count + 1, "per_second": 2_000});
    let (mut done, mut p99s) = (0, Vec::new());
    for pair in 0..pairs {
        let alone = live(&acme, &receiver, &format!("alone{pair}"), rate, time).await;
        let begun = replay(&acme, &endpoint, all.clone()).await;
        let beside = live(&acme, &receiver, &format!("beside{pair}"), rate, time).await;
        let path = format!("{}/replays/{}", endpoint.path, begun["id"].as_str().unwrap());
        acme.api.delete(&path).await.ok(204);
        let went = read(&acme, &endpoint, &begun).await["done"].as_u64().unwrap();
        let at = |took: &[Duration], percent| took[took.len() * percent / 100];
        let (p50, p99) = ((at(&alone, 50), at(&beside, 50)), (at(&alone, 99), at(&beside, 99)));
        eprintln!("{went} replayed in {time:?}; live, alone and beside: p50 {p50:?}, p99 {p99:?}");
        done += went;
        p99s.push((p99.1.saturating_sub((p99.0 * 6 / 5).max(p99.0 + room)), p99));
    }
    p99s.sort_unstable();
    assert_eq!(p99s[p99s.len() / 2].0, Duration::ZERO, "more than a fifth, and more than {room:?}: {p99s:?}");

    let begun = replay(&acme, &endpoint, all).await;
    assert_eq!(begun["matched"], count as u64 - done);
    within(Duration::from_secs(60), "some are done", async || {
        (read(&acme, &endpoint, &begun).await["done"].as_u64().unwrap() >= 500).then_some(())
    })
    .await;
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    let ended = within(Duration::from_secs(300), "the replay ends", async || {
        Some(read(&acme, &endpoint, &begun).await).filter(|read| read["state"] != "running")
    })
    .await;
    assert_eq!(
        (&ended["state"], &ended["done"], &ended["skipped"]),
        (&json!("done"), &begun["matched"], &json!(0))
    );
    nothing_pending(&acme).await;
    let replayed: BTreeSet<String> =
        receiver.all().iter().filter(|r| r.event().starts_with('r')).map(|r| r.event().to_owned()).collect();
    assert_eq!(replayed.len(), count);
}
