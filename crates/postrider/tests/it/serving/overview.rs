//! What an operator sees over all tenants, and the figures of one endpoint.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, Setup, Tenant, eventually};

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn deliveries_and_tests_over_all_tenants_are_filtered_like_a_tenant_s_own() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| match r.message.header("webhook-id") {
        Some(event) if event.starts_with("bad") => Reply::status(500),
        _ => Reply::status(204),
    });
    let (one, two) = (server.tenant("one").await, server.tenant("two").await);
    let api = &server.api();
    let mut endpoints = Vec::new();
    for tenant in [&one, &two] {
        let endpoint = tenant.endpoint(json!({"url": receiver.url()})).await;
        for id in ["good", "bad"] {
            tenant.publish(json!({"id": id, "key": "k", "type": format!("{id}.type")})).await;
        }
        eventually("all has its verdict", async || {
            tenant.log("status=pending").await.is_empty().then_some(())
        })
        .await;
        api.post(&format!("{}/test", endpoint.path), &json!({"type": "good.type"})).await.ok(200);
        endpoints.push(endpoint);
    }
    let lines = |rows: &[Value]| -> Vec<String> {
        let name = |row: &Value| match row["sequence"].as_u64() {
            Some(_) => row["event"].as_str().unwrap().to_owned(),
            None => "test".into(),
        };
        rows.iter().map(|row| format!("{}/{}", row["tenant"].as_str().unwrap(), name(row))).collect()
    };
    let event = api.get(&two.path("events?id=bad")).await.ok(200)["data"][0]["id"].clone();
    assert_eq!(event, "bad");
    for (query, wanted) in [
        (String::new(), &["two/test", "two/bad", "two/good", "one/test", "one/bad", "one/good"][..]),
        ("tenant=one".into(), &["one/test", "one/bad", "one/good"]),
        ("tenant=nobody".into(), &[]),
        ("status=failed".into(), &["two/bad", "one/bad"]),
        ("status=succeeded".into(), &["two/test", "two/good", "one/test", "one/good"]),
        ("status=pending".into(), &[]),
        ("status=failed&tenant=two".into(), &["two/bad"]),
        ("type=good.type".into(), &["two/test", "two/good", "one/test", "one/good"]),
        (format!("endpoint={}", endpoints[0].id), &["one/test", "one/bad", "one/good"]),
        (format!("endpoint={}&tenant=two", endpoints[0].id), &[]),
        ("endpoint=ep_unknown".into(), &[]),
        ("tenant=one&key=k".into(), &["one/bad", "one/good"]),
        ("tenant=one&event=good".into(), &["one/good"]),
    ] {
        for limit in [1, 2, 250] {
            let found = api.whole(&format!("/v1/deliveries?{query}"), limit).await;
            assert_eq!(lines(&found), wanted, "{query} by {limit}");
        }
    }
    // Of one tenant it is what that tenant sees.
    assert_eq!(api.whole("/v1/deliveries?tenant=one", 250).await, one.whole_log("").await);
    for (query, pointer) in [("key=k", "/key"), ("subject=s", "/subject"), ("event=good", "/event")] {
        let pointers: Vec<_> =
            api.get(&format!("/v1/deliveries?{query}")).await.pointers().into_iter().collect();
        assert_eq!(pointers, [pointer], "{query} is a tenant's own");
    }
    // Whose a delivery was that is removed is not known any more; that it was, is.
    api.delete("/v1/tenants/one").await.ok(204);
    let all = lines(&api.whole("/v1/deliveries", 250).await);
    assert_eq!(all[3..], ["removed/test", "removed/bad", "removed/good"]);
}

#[tokio::test]
async fn abuse_a13_cursors_over_all_tenants_fit_their_list_and_their_tenant_alone() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let api = &server.api();
    let tenant = server.tenant("one").await;
    for _ in 0..2 {
        tenant.endpoint(json!({"url": receiver.url()})).await;
    }
    tenant.publish(json!({})).await;
    for list in ["deliveries", "endpoints"] {
        let all = api.get(&format!("/v1/{list}?limit=1")).await.ok(200);
        let of_one = api.get(&format!("/v1/{list}?limit=1&tenant=one")).await.ok(200);
        let own = api.get(&tenant.path(&format!("{list}?limit=1"))).await.ok(200);
        let [all, of_one, own] =
            [all, of_one, own].map(|page| page["next_cursor"].as_str().unwrap().to_owned());
        let other = if list == "endpoints" { "deliveries" } else { "endpoints" };
        for (path, cursor, fits) in [
            (format!("/v1/{list}?"), &all, true),
            (format!("/v1/{list}?tenant=one&"), &of_one, true),
            (format!("/v1/{list}?tenant=one&"), &all, false),
            (format!("/v1/{list}?"), &of_one, false),
            (format!("/v1/{list}?tenant=two&"), &of_one, false),
            (format!("/v1/{list}?"), &own, false),
            (format!("/v1/{other}?"), &all, false),
            (format!("{}?", tenant.path(list)), &of_one, false),
        ] {
            let answer = api.get(&format!("{path}cursor={cursor}")).await;
            assert_eq!(answer.status, if fits { 200 } else { 422 }, "{path} with {cursor}");
        }
    }
}

#[tokio::test]
async fn endpoints_over_all_tenants_are_found_by_how_they_stand() {
    let server = Setup::default()
        .set("BREAKER__PROBE_INITIAL_S", "60")
        .set("BREAKER__PROBE_MAX_S", "60")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script(|r| {
        Reply::status(match &*r.path {
            "/down" => 503,
            "/gone" => 410,
            _ => 204,
        })
    });
    let api = &server.api();
    let mut made: Vec<(String, String, &str)> = Vec::new();
    for name in ["a", "b", "c"] {
        let tenant = server.tenant(name).await;
        if name == "b" {
            continue;
        }
        for (path, enabled, state) in [
            ("/up", true, "active"),
            ("/up", false, "paused"),
            ("/down", true, "tripped"),
            ("/gone", true, "disabled"),
        ] {
            let endpoint = tenant.endpoint(json!({"url": receiver.url_of(path), "enabled": enabled})).await;
            made.push((name.into(), endpoint.id, state));
        }
        for _ in 0..5 {
            tenant.publish(json!({})).await;
        }
        for (_, id, state) in made.iter().filter(|(of, _, _)| of == name) {
            let path = tenant.path(&format!("endpoints/{id}"));
            eventually(state, async || {
                let read = api.get(&path).await.ok(200);
                (read["state"] == *state).then_some(())
            })
            .await;
        }
    }
    made.sort();
    for (query, state, tenant) in [
        ("", None, None),
        ("state=active", Some("active"), None),
        ("state=paused", Some("paused"), None),
        ("state=tripped", Some("tripped"), None),
        ("state=disabled&tenant=c", Some("disabled"), Some("c")),
        ("tenant=a", None, Some("a")),
        ("tenant=b", None, Some("b")),
        ("tenant=nobody", None, Some("nobody")),
    ] {
        let wanted: Vec<_> = made
            .iter()
            .filter(|(t, _, s)| tenant.is_none_or(|of| of == t) && state.is_none_or(|is| is == *s))
            .map(|(_, id, _)| id.as_str())
            .collect();
        for limit in [1, 3, 250] {
            let found = api.whole(&format!("/v1/endpoints?{query}"), limit).await;
            assert_eq!(ids(&found), wanted, "{query} by {limit}");
        }
    }
    let of_a = api.whole("/v1/endpoints?tenant=a", 250).await;
    assert_eq!(of_a, api.whole("/v1/tenants/a/endpoints", 250).await, "as the tenant sees them");
    for query in ["state=broken", "state=", "limit=0", "cursor=x", "wat=1"] {
        api.get(&format!("/v1/endpoints?{query}")).await.problem(422);
    }
}

async fn stats(tenant: &Tenant, endpoint: &crate::harness::api::Endpoint, query: &str) -> Value {
    tenant.api.get(&format!("{}/stats?{query}", endpoint.path)).await.ok(200)
}

#[tokio::test]
async fn the_figures_of_an_endpoint_are_those_of_its_deliveries() {
    let mut server = Setup::default()
        .set("RETRY_SCHEDULE_S", "[0.05]")
        .set("BREAKER__FAILURES", "5")
        .set("BREAKER__PROBE_INITIAL_S", "60")
        .set("BREAKER__PROBE_MAX_S", "60")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script(|r| match r.event() {
        event if event.starts_with("bad") => Reply::status(500),
        event if event.starts_with("down") => Reply::status(503),
        event if event.starts_with("slow") => Reply::status(204).after(Duration::from_millis(300)),
        _ => Reply::status(204),
    });
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let nothing = stats(&acme, &endpoint, "").await;
    assert_eq!(
        (&nothing["success_rate"], &nothing["latency_ms"], &nothing["sequence"], &nothing["backlog"]),
        (&json!(null), &json!(null), &json!(0), &json!(0))
    );
    for n in 0..6 {
        acme.publish(json!({"id": format!("good-{n}")})).await;
    }
    acme.publish(json!({"id": "slow"})).await;
    acme.publish(json!({"id": "bad"})).await;
    acme.wait_for_status("bad", "failed").await;
    acme.wait_for_status("slow", "succeeded").await;
    let found = stats(&acme, &endpoint, "").await;
    assert_eq!(
        found["counts"],
        json!({"pending": 0, "succeeded": 7, "failed": 1, "cancelled": 0, "skipped": 0})
    );
    assert_eq!((&found["success_rate"], &found["state"]), (&json!(0.875), &json!("active")));
    assert_eq!((&found["backlog"], &found["oldest_pending_at"]), (&json!(0), &json!(null)));
    assert_eq!((&found["sequence"], &found["since"]), (&json!(8), &found["complete_from"]));
    let millis = |name: &str| found["latency_ms"][name].as_f64().unwrap();
    assert!(millis("p50") < 250.0 && millis("p99") >= 300.0, "{found}");
    assert!(millis("p50") <= millis("p95") && millis("p95") <= millis("p99"), "{found}");
    crate::harness::another_millisecond().await;

    // Only since a time, and while it is down.
    for n in 0..5 {
        acme.publish(json!({"id": format!("down-{n}")})).await;
    }
    acme.wait_for_state(&endpoint, "tripped").await;
    // Known in memory; durable with the last of the attempts, which the log shows then.
    eventually("every attempt is in the log", async || {
        for n in 0..5 {
            let attempts = &acme.delivery_of(&format!("down-{n}")).await["attempts"];
            attempts.as_array().filter(|attempts| !attempts.is_empty())?;
        }
        Some(())
    })
    .await;
    let since = acme.delivery_of("down-0").await["created_at"].as_str().unwrap().to_owned();
    let found = stats(&acme, &endpoint, &format!("since={since}")).await;
    assert_eq!((&found["counts"]["pending"], &found["counts"]["succeeded"]), (&json!(5), &json!(0)));
    assert_eq!((&found["state"], &found["backlog"]), (&json!("tripped"), &json!(5)));
    assert!(found["retry_at"].is_string() && found["failing_since"].is_string(), "{found}");
    assert_eq!((&found["oldest_pending_at"], &found["since"]), (&json!(since), &json!(since)));
    let all = stats(&acme, &endpoint, "since=2020-01-01T00:00:00Z").await;
    assert_eq!((&all["counts"]["pending"], &all["counts"]["succeeded"]), (&json!(5), &json!(7)));
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    assert_eq!(stats(&acme, &endpoint, &format!("since={since}")).await["counts"], found["counts"]);
    for query in ["since=yesterday", "until=2020-01-01T00:00:00Z", "limit=5"] {
        acme.api.get(&format!("{}/stats?{query}", endpoint.path)).await.problem(422);
    }
}
