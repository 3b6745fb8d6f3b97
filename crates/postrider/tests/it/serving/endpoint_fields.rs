//! Every field of an endpoint: written, read back, patched, and what it does on the wire.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, Setup, eventually};

/// Everything that can be set, with values that are no defaults.
fn everything(url: &str) -> Value {
    json!({
        "url": url, "name": "Partner", "description": "what it is for", "event_types": ["card.*", "account.topup"],
        "enabled": true, "auth": {"type": "basic", "username": "user", "password": "pass-word-1"},
        "headers": {"X-My-App-Id": "app-7"}, "secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "profile": "standard", "also_sign": [], "ordering": "key", "hold_max_s": 60, "timeout_ms": 1234,
        "rate_limit": {"per_second": 77}, "max_in_flight": 3, "retry": {"schedule_s": [1, 2, 3]},
        "metadata": {"crm": "42"},
        "filters": {"attributes": {"party": ["556", 7]}, "data": [{"pointer": "/amount", "op": "gte", "value": 100}]}
    })
}

#[tokio::test]
async fn every_field_comes_back_as_it_was_set_and_secrets_do_not() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let spec = everything(&receiver.url());
    let made = acme.api.post(&acme.path("endpoints"), &spec).await.ok(201);
    let path = acme.path(&format!("endpoints/{}", made["id"].as_str().unwrap()));
    let mut expected = spec.clone();
    expected.as_object_mut().unwrap().remove("secret");
    expected["auth"] = json!({"type": "basic", "username": "user", "password_set": true});
    for (name, value) in [
        ("secret_set", json!(true)),
        ("id", made["id"].clone()),
        ("tenant", json!("acme")),
        ("verified", json!(true)),
        ("challenge", json!(null)),
        ("sequence", json!(0)),
        ("state", json!("active")),
        ("reason", json!(null)),
        ("retry_at", json!(null)),
        ("created_at", made["created_at"].clone()),
        ("updated_at", made["updated_at"].clone()),
    ] {
        expected[name] = value;
    }
    assert!(made["id"].as_str().unwrap().starts_with("ep_"), "{made}");
    assert_eq!(made, expected);
    assert_eq!(acme.api.get(&path).await.ok(200), expected);
    let listed = acme.api.get(&acme.path("endpoints")).await.ok(200);
    assert_eq!(listed, json!({"data": [expected], "next_cursor": null}));
    let secret = acme.api.get(&format!("{path}/secret")).await;
    assert_eq!(secret.header("cache-control"), Some("no-store"));
    assert_eq!(secret.ok(200), json!({"secret": spec["secret"]}));

    // The same after a restart.
    server.kill();
    server.start_again().await;
    let api = server.api();
    assert_eq!(api.get(&path).await.ok(200), expected);
    assert_eq!(api.get(&format!("{path}/secret")).await.ok(200), json!({"secret": spec["secret"]}));

    // Each field alone can be changed, and null is the default again.
    for (name, value, default) in [
        ("name", json!("Other"), json!(null)),
        ("description", json!("other"), json!(null)),
        ("event_types", json!(["a"]), json!(["*"])),
        ("filters", json!({"attributes": {"party": [true]}, "data": []}), json!(null)),
        ("enabled", json!(false), json!(true)),
        ("auth", json!({"type": "none"}), json!({"type": "none"})),
        ("headers", json!({"X-Other": "1"}), json!({})),
        ("ordering", json!("none"), json!("none")),
        ("hold_max_s", json!(61), json!(3_600)),
        ("timeout_ms", json!(4_321), json!(15_000)),
        ("rate_limit", json!({"per_second": 5}), json!(null)),
        ("max_in_flight", json!(4), json!(16)),
        ("retry", json!({"schedule_s": []}), json!(null)),
        ("metadata", json!({"crm": "43", "x": "y"}), json!({})),
    ] {
        let before = api.get(&path).await.ok(200);
        // A merge patch merges objects: what was there and is not wanted is set to null.
        let mut patch = json!({name: value});
        if let (Some(old), true) = (before[name].as_object(), name != "auth") {
            for key in old.keys().filter(|key| value.get(key.as_str()).is_none()) {
                patch[name][key] = Value::Null;
            }
        }
        let media = [("content-type", "application/merge-patch+json")];
        let changed = api.send("PATCH", &path, &media, patch.to_string().as_bytes()).await.ok(200);
        assert_eq!(changed[name], value, "{name}");
        let mut rest = changed.clone();
        for untouched in [name, "updated_at", "state"] {
            rest[untouched] = before[untouched].clone();
        }
        assert_eq!(rest, before, "{name} alone");
        let back = api.json("PATCH", &path, &json!({name: null})).await.ok(200);
        assert_eq!(back[name], default, "{name}");
    }
    assert_eq!(
        api.get(&format!("{path}/secret")).await.ok(200),
        json!({"secret": spec["secret"]}),
        "it stayed"
    );
    api.delete(&path).await.ok(204);
    assert_eq!(api.get(&acme.path("endpoints")).await.ok(200)["data"], json!([]));
}

#[tokio::test]
async fn each_authentication_and_custom_headers_reach_the_wire_and_never_the_log_or_an_answer() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme
        .endpoint(
            json!({"url": receiver.url(), "headers": {"X-My-App-Id": "hidden-app-7", "x-lower": "b c"}}),
        )
        .await;
    for (auth, header, value, shown) in [
        (json!({"type": "none"}), "authorization", None, json!({"type": "none"})),
        (
            json!({"type": "basic", "username": "Aladdin", "password": "open sesame"}),
            "authorization",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            json!({"type": "basic", "username": "Aladdin", "password_set": true}),
        ),
        (
            json!({"type": "bearer", "token": "hidden-bearer"}),
            "authorization",
            Some("Bearer hidden-bearer"),
            json!({"type": "bearer", "token_set": true}),
        ),
        (
            json!({"type": "api_key", "header": "X-Api-Key", "value": "hidden-key"}),
            "X-Api-Key",
            Some("hidden-key"),
            json!({"type": "api_key", "header": "X-Api-Key", "value_set": true}),
        ),
    ] {
        // A merge patch would mix the fields of two kinds: the whole object is replaced by way of null.
        acme.patch(&endpoint, json!({"auth": null})).await;
        let read = acme.patch(&endpoint, json!({"auth": auth})).await;
        assert_eq!(read["auth"], shown);
        let event = acme.publish(json!({})).await;
        let arrived = &receiver.wait_for_event(&event, 1).await[0];
        assert_eq!(arrived.message.header(header), value, "{auth}");
        assert_eq!((arrived.header("x-my-app-id"), arrived.header("x-lower")), ("hidden-app-7", "b c"));
        arrived.verify(&endpoint.secret);
        let delivery = acme.wait_for_status(&event, "succeeded").await.to_string();
        let signature = arrived.header("webhook-signature").split_once(',').unwrap().1;
        for secret in ["hidden", "sesame", "b3BlbiBz", signature] {
            assert!(!delivery.contains(secret), "{secret} in {delivery}");
        }
        assert!(delivery.contains("x-my-app-id"), "the name is shown: {delivery}");
    }
    assert!(!server.log().contains("hidden"), "{}", server.log());
}

#[tokio::test]
async fn a_timeout_of_the_endpoint_ends_an_attempt_and_is_counted_as_one() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.for_each_event(vec![
        Reply::status(204).after(Duration::from_millis(700)),
        Reply::Hang,
        Reply::status(204),
    ]);
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "timeout_ms": 300})).await;
    let event = acme.publish(json!({})).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "an answer after the timeout acknowledges nothing: {delivery}");
    for attempt in &attempts[..2] {
        assert_eq!((&attempt["error"]["kind"], &attempt["status_code"]), (&json!("timeout"), &json!(null)));
        let took = attempt["duration_ms"].as_f64().unwrap();
        assert!((295.0..600.0).contains(&took), "{took} ms");
    }
}

#[tokio::test]
async fn a_change_of_url_secret_or_headers_holds_from_the_next_attempt_on() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[1.5]").start().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": old.url(), "headers": {"X-V": "1"}})).await;
    let event = acme.publish(json!({})).await;
    old.wait_for(1).await;
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    acme.patch(&endpoint, json!({"url": new.url(), "headers": {"X-V": "2"}, "secret": secret})).await;
    let arrived = &new.wait_for(1).await[0];
    assert_eq!((arrived.event(), arrived.attempt(), arrived.header("x-v")), (event.as_str(), 2, "2"));
    arrived.verify(secret);
    assert_eq!(old.count(), 1);
}

#[tokio::test]
async fn abuse_a92_moving_to_another_host_needs_the_credentials_again() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let auth = json!({"type": "bearer", "token": "hidden-bearer"});
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "auth": auth})).await;
    let elsewhere = Receiver::start().await.url();
    let refused = acme.api.json("PATCH", &endpoint.path, &json!({"url": elsewhere})).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/auth"]);
    assert_eq!(acme.read(&endpoint).await["url"], receiver.url());
    acme.patch(&endpoint, json!({"url": receiver.url_of("/other/path")})).await;
    // Replaced as a whole it is no other.
    let put = async |spec: Value| acme.api.json("PUT", &endpoint.path, &spec).await;
    let refused = put(json!({"url": elsewhere, "auth": {"type": "bearer"}})).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/auth"]);
    assert_eq!(acme.read(&endpoint).await["url"], receiver.url_of("/other/path"));
    put(json!({"url": receiver.url(), "auth": {"type": "bearer"}})).await.ok(200);
    let event = acme.publish(json!({})).await;
    let arrived = &receiver.wait_for_event(&event, 1).await[0];
    assert_eq!(arrived.message.header("authorization"), Some("Bearer hidden-bearer"), "it stayed");
    let without = put(json!({"url": elsewhere})).await.ok(200);
    assert_eq!(without["auth"], json!({"type": "none"}));
    // What was given up does not come back.
    let again = put(json!({"url": elsewhere, "auth": {"type": "bearer"}})).await;
    assert_eq!(again.pointers().into_iter().collect::<Vec<_>>(), ["/auth/token"]);
    put(json!({"url": receiver.url(), "auth": auth})).await.ok(200);
    acme.patch(&endpoint, json!({"url": elsewhere, "auth": auth})).await;
}

#[tokio::test]
async fn abuse_a84_every_limit_has_a_range() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let url = "https://partner.example/hook";
    let too_many: Vec<u32> = vec![1; 51];
    let many_headers: Value =
        (0..10_000).map(|n| (format!("x-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let many_attributes: Value =
        (0..10_000).map(|n| (format!("a-{n}"), json!(["v"]))).collect::<serde_json::Map<_, _>>().into();
    let condition = json!({"pointer": "/a", "op": "eq", "value": 1});
    for (pointer, spec) in [
        ("/timeout_ms", json!({"timeout_ms": 0})),
        ("/timeout_ms", json!({"timeout_ms": 3_600_000})),
        ("/rate_limit/per_second", json!({"rate_limit": {"per_second": 0}})),
        ("/rate_limit/per_second", json!({"rate_limit": {"per_second": 1_000_000_000}})),
        ("/max_in_flight", json!({"max_in_flight": 0})),
        ("/max_in_flight", json!({"max_in_flight": 1_000_000_000})),
        ("/retry/schedule_s", json!({"retry": {"schedule_s": too_many}})),
        ("/retry/schedule_s/1", json!({"retry": {"schedule_s": [1, 0]}})),
        ("/hold_max_s", json!({"hold_max_s": 0})),
        ("/hold_max_s", json!({"hold_max_s": 1e9})),
        ("/headers", json!({"headers": many_headers})),
        ("/filters/attributes", json!({"filters": {"attributes": many_attributes}})),
        ("/filters/attributes/a", json!({"filters": {"attributes": {"a": vec![1; 51]}}})),
        ("/filters/data", json!({"filters": {"data": vec![condition; 6_000]}})),
        (
            "/filters/data/0/value",
            json!({"filters": {"data": [{"pointer": "", "op": "in", "value": vec![1; 101]}]}}),
        ),
        (
            "/filters/data/0/pointer",
            json!({"filters": {"data": [{"pointer": "/a".repeat(17), "op": "eq", "value": 1}]}}),
        ),
        ("/retry/schedule_s", json!({"retry": {"schedule_s": vec![0; 100_000]}})),
        ("/ordering", json!({"ordering": "strict"})),
        ("/profile", json!({"profile": "unknown"})),
        ("/secret", json!({"secret": "whsec_short"})),
        ("/secret", json!({"secret": "not one"})),
        ("/event_types/0", json!({"event_types": ["card*"]})),
        ("/auth/type", json!({"auth": {"type": "magic"}})),
    ] {
        let mut whole = spec.clone();
        whole["url"] = json!(url);
        let answer = acme.api.post(&acme.path("endpoints"), &whole).await;
        let shown: String = spec.to_string().chars().take(80).collect();
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{shown}");
    }
    eventually("nothing was stored", async || {
        (acme.api.get(&acme.path("endpoints")).await.ok(200)["data"] == json!([])).then_some(())
    })
    .await;
}
