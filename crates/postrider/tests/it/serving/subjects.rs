//! Events by what they are about: one for each tenant that a card or an account belongs to.

use serde_json::{Value, json};

use crate::harness::api::{Answer, Tenant};
use crate::harness::{Api, Receiver, Server, another_millisecond, eventually};

/// Gives a subject to tenants.
async fn give(api: &Api, subject: &str, tenants: &[&str]) -> Answer {
    api.json("PUT", &format!("/v1/subjects/{subject}"), &json!({"tenants": tenants})).await
}

async fn publish(api: &Api, key: Option<&str>, event: &Value) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    api.send("POST", "/v1/events", &headers, event.to_string().as_bytes()).await
}

/// Tenants, each with an endpoint at a path of its own name.
async fn with_endpoints(server: &Server, receiver: &Receiver, names: &[&str]) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for name in names {
        let tenant = server.tenant(name).await;
        tenant.endpoint(json!({"url": receiver.url_of(&format!("/{name}"))})).await;
        tenants.push(tenant);
    }
    tenants
}

/// What arrived, as path and event, in order of both.
fn arrived(receiver: &Receiver) -> Vec<(String, String)> {
    let mut all: Vec<_> = receiver.all().iter().map(|r| (r.path.clone(), r.event().to_owned())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_subject_is_given_read_and_removed_and_survives_a_restart() {
    let mut server = Server::start().await;
    for name in ["acme", "shop"] {
        server.tenant(name).await;
    }
    let api = server.api();
    let made = give(&api, "card:1", &["shop", "acme"]).await.ok(201);
    assert_eq!((&made["id"], &made["tenants"]), (&json!("card:1"), &json!(["shop", "acme"])));
    another_millisecond().await;
    let changed = give(&api, "card:1", &["acme"]).await.ok(200);
    assert_eq!((&changed["tenants"], &changed["created_at"]), (&json!(["acme"]), &made["created_at"]));
    assert!(changed["updated_at"].as_str() > made["updated_at"].as_str());
    assert_eq!(api.get("/v1/subjects/card:1").await.ok(200), changed);
    server.kill();
    server.start_again().await;
    let api = server.api();
    assert_eq!(api.get("/v1/subjects/card:1").await.ok(200), changed);
    api.delete("/v1/subjects/card:1").await.ok(204);
    api.get("/v1/subjects/card:1").await.problem(404);
    api.delete("/v1/subjects/card:1").await.problem(404);
    api.get("/v1/subjects/a%2Fb").await.problem(404);
    give(&api, "card:1", &["acme"]).await.ok(201);
}

#[tokio::test]
async fn abuse_a02_a12_every_fault_of_a_subject_is_told() {
    let server = Server::start().await;
    server.tenant("acme").await;
    let api = server.api();
    for (body, pointers) in [
        (json!({}), vec!["/tenants"]),
        (json!({"tenants": []}), vec!["/tenants"]),
        (json!({"tenants": "acme"}), vec!["/tenants"]),
        (json!({"tenants": vec!["acme"; 33]}), vec!["/tenants"]),
        (
            json!({"tenants": ["acme", "acme", "nobody", "..", 5], "name": "x"}),
            vec!["/name", "/tenants/1", "/tenants/2", "/tenants/3", "/tenants/4"],
        ),
    ] {
        let answer = api.json("PUT", "/v1/subjects/card:1", &body).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), pointers, "{body}");
    }
    for id in ["%2e", "%2e%2e", "a%2Fb", "a%20b", "%00", "%E2%80%AE", &"x".repeat(129)] {
        let answer = give(&api, id, &["acme"]).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/subject"], "{id}");
    }
    assert!(api.get("/v1/subjects/card:1?x=1").await.pointers().contains("/x"));
    let publisher = api.token(&json!({"tenant": "acme", "scopes": ["events-write", "webhooks-write"]})).await;
    for (method, body) in
        [("GET", Value::Null), ("PUT", json!({"tenants": ["acme"]})), ("DELETE", Value::Null)]
    {
        publisher.json(method, "/v1/subjects/card:1", &body).await.problem(403);
    }
    let event = |owner: &str| format!(r#"{{{owner}"type":"t","data":1}}"#);
    for (owner, pointers) in [
        ("", vec!["/tenant"]),
        (r#""subject":"a/b","#, vec!["/subject"]),
        (r#""subject":5,"tenant":"..","#, vec!["/subject", "/tenant"]),
    ] {
        let answer = api.publish_text(&event(owner)).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), pointers, "{owner}");
    }
}

#[tokio::test]
async fn an_event_of_a_subject_becomes_one_for_each_tenant() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    with_endpoints(&server, &receiver, &["acme", "shop", "other"]).await;
    let api = server.api();
    give(&api, "card:1", &["shop", "acme"]).await.ok(201);
    give(&api, "card:2", &["other"]).await.ok(201);
    let event = |subject: &str, n: u32| json!({"subject": subject, "type": "t", "data": {"n": n}});
    let answer = publish(&api, None, &event("card:1", 0)).await.ok(202);
    let ids = |answer: &Value| -> Vec<(String, String)> {
        let data = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
        data.iter()
            .map(|one| {
                assert_eq!(one["deliveries"], 1, "{one}");
                (one["tenant"].as_str().unwrap().to_owned(), one["id"].as_str().unwrap().to_owned())
            })
            .collect()
    };
    let got = ids(&answer);
    assert_eq!(got.iter().map(|one| &*one.0).collect::<Vec<_>>(), ["shop", "acme"]);
    assert_ne!(got[0].1, got[1].1);
    let mut expected: Vec<_> = got.iter().map(|(tenant, id)| (format!("/{tenant}"), id.clone())).collect();

    // To one of them alone, answered as any event.
    let mut both = event("card:1", 1);
    both["tenant"] = json!("acme");
    let alone = publish(&api, None, &both).await.ok(202);
    assert_eq!(alone["deliveries"], 1);
    expected.push(("/acme".into(), alone["id"].as_str().unwrap().into()));

    // In an array and in lines: item by item, beside others and their errors.
    let plain = json!({"tenant": "acme", "type": "t", "data": 2});
    let items = [
        event("card:1", 3),
        plain,
        event("nobody-s", 4),
        event("card:2", 5),
        json!({"subject": "card:2", "data": 1}),
    ];
    for lines in [false, true] {
        let answer = if lines {
            let lines: Vec<String> = items.iter().map(Value::to_string).collect();
            api.publish_lines(&lines.join("\n"), &[]).await
        } else {
            publish(&api, None, &json!(items)).await
        };
        let answer = answer.ok(202);
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), 5);
        for (tenant, id) in ids(&data[0]).into_iter().chain(ids(&data[3])) {
            expected.push((format!("/{tenant}"), id));
        }
        expected.push(("/acme".into(), data[1]["id"].as_str().unwrap().into()));
        assert_eq!(
            (&data[2]["error"]["status"], &data[4]["error"]["status"]),
            (&json!(404), &json!(422)),
            "{answer}"
        );
        assert_eq!(data[4]["error"]["errors"][0]["pointer"], "/4/type");
    }
    receiver.wait_for(expected.len()).await;
    expected.sort();
    assert_eq!(arrived(&receiver), expected);
    // The data was the same for all, byte for byte, and is checked once for all.
    api.json("PUT", "/v1/event-types/t", &json!({"schema": {"type": "string"}})).await.ok(201);
    let refused = publish(&api, None, &event("card:1", 6)).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/data"]);
}

#[tokio::test]
async fn a_repetition_of_a_subject_s_event_completes_what_is_missing_and_doubles_nothing() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let tenants = with_endpoints(&server, &receiver, &["acme", "shop"]).await;
    let api = server.api();
    give(&api, "card:1", &["acme", "shop"]).await.ok(201);
    // One of the two is there already, as after a failure between them.
    for (key, id) in [(Some("k"), None), (None, Some("own-1")), (Some("l"), Some("own-2"))] {
        let mut event = json!({"subject": "card:1", "type": "t", "data": {"amount": 1.0}});
        if let Some(id) = id {
            event["id"] = json!(id);
        }
        let mut to_one = event.clone();
        to_one["tenant"] = json!("acme");
        let first = publish(&api, key, &to_one).await.ok(202);
        let whole = publish(&api, key, &event).await.ok(202);
        assert_eq!(whole["data"][0]["id"], first["id"]);
        assert_eq!(
            (&whole["data"][1]["tenant"], &whole["data"][1]["deliveries"]),
            (&json!("shop"), &json!(1))
        );
        assert_eq!(publish(&api, key, &event).await.ok(202), whole);
        // The same tenants in another order are the same event.
        give(&api, "card:1", &["shop", "acme"]).await.ok(200);
        let turned = publish(&api, key, &event).await.ok(202);
        assert_eq!((&turned["data"][0], &turned["data"][1]), (&whole["data"][1], &whole["data"][0]));
        give(&api, "card:1", &["acme", "shop"]).await.ok(200);
        // Another event under the key is a conflict, as a whole and in its place.
        for (field, value) in [
            ("data", json!({"amount": 2})),
            ("expires_at", json!("2099-01-01T00:00:00Z")),
            ("subject", json!("card:2")),
        ] {
            give(&api, "card:2", &["acme"]).await;
            let mut other = event.clone();
            other[field] = value;
            publish(&api, key, &other).await.problem(409);
        }
    }
    // Of one tenant only the conflict, of the other nothing: still a conflict, and nothing is told of what was stored.
    let taken = json!({"tenant": "shop", "type": "t", "id": "own-3", "data": 1});
    publish(&api, None, &taken).await.ok(202);
    let event = json!({"subject": "card:1", "type": "t", "id": "own-3", "data": 2});
    publish(&api, None, &event).await.problem(409);
    let batch =
        publish(&api, None, &json!([event, {"tenant": "acme", "type": "t", "data": 3}])).await.ok(202);
    assert_eq!(
        (&batch["data"][0]["error"]["status"], &batch["data"][1]["deliveries"]),
        (&json!(409), &json!(1))
    );
    let per_tenant = [5, 4];
    for (tenant, count) in tenants.iter().zip(per_tenant) {
        eventually("all are delivered", async || {
            (tenant.log("status=succeeded").await.len() == count).then_some(())
        })
        .await;
        assert_eq!(tenant.whole_log("").await.len(), count, "{}", tenant.id);
    }
    assert_eq!(receiver.count(), 9);
}

#[tokio::test]
async fn abuse_a72_a_subject_out_of_reach_and_an_unknown_one_look_the_same() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    with_endpoints(&server, &receiver, &["acme:one", "acme:two", "other"]).await;
    let api = server.api();
    for (subject, tenants) in [
        ("mine", &["acme:one"][..]),
        ("ours", &["acme:one", "acme:two"]),
        ("theirs", &["other"]),
        ("shared", &["acme:one", "other"]),
    ] {
        give(&api, subject, tenants).await.ok(201);
    }
    let one = api.token(&json!({"tenant": "acme:one", "scopes": ["events-write"]})).await;
    let all = api.token(&json!({"tenant": "acme:*", "scopes": ["events-write"]})).await;
    let event = |subject: &str, tenant: Option<&str>| {
        let mut event = json!({"subject": subject, "type": "t", "data": 1});
        if let Some(tenant) = tenant {
            event["tenant"] = json!(tenant);
        }
        event
    };
    let problem = async |api: &Api, event: &Value| {
        let mut problem = publish(api, None, event).await.problem(404);
        problem["request_id"] = Value::Null;
        let batch = publish(api, None, &json!([event])).await.ok(202);
        assert_eq!(batch["data"][0]["error"]["status"], 404, "{batch}");
        problem
    };
    for owner in [None, Some("acme:one")] {
        let unknown = problem(&one, &event("nobody-s", owner)).await;
        assert_eq!(problem(&one, &event("theirs", owner)).await, unknown);
        assert_eq!(unknown["detail"], "the subject does not exist");
    }
    let unknown = problem(&one, &event("nobody-s", None)).await;
    for subject in ["ours", "shared"] {
        assert_eq!(problem(&one, &event(subject, None)).await, unknown);
    }
    assert_eq!(problem(&all, &event("shared", None)).await, unknown);
    // Somebody else's tenant stays somebody else's, whatever the subject.
    let foreign = problem(&one, &event("mine", Some("other"))).await;
    assert_eq!(foreign, problem(&one, &event("mine", Some("nobody"))).await);

    // What both know of and disagree about is told as that.
    for (api, subject, tenant) in
        [(&all, "mine", "acme:two"), (&api, "theirs", "acme:one"), (&api, "ours", "other")]
    {
        let answer = publish(api, None, &event(subject, Some(tenant))).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/subject"], "{subject} {tenant}");
        let batch = publish(api, None, &json!([1, event(subject, Some(tenant))])).await.ok(202);
        assert_eq!(batch["data"][1]["error"]["errors"][0]["pointer"], "/1/subject", "{batch}");
    }
    // And what is one's own goes to oneself, whoever else shares it.
    assert_eq!(publish(&one, None, &event("mine", None)).await.ok(202)["data"][0]["tenant"], "acme:one");
    publish(&one, None, &event("shared", Some("acme:one"))).await.ok(202);
    publish(&all, None, &event("ours", None)).await.ok(202);
    receiver.wait_for(4).await;
    let paths: Vec<_> = arrived(&receiver).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/acme:one", "/acme:one", "/acme:one", "/acme:two"]);
}

#[tokio::test]
async fn abuse_a70_one_key_and_one_id_are_another_event_for_each_tenant_of_a_subject() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    with_endpoints(&server, &receiver, &["acme", "shop"]).await;
    let api = server.api();
    give(&api, "card:1", &["acme", "shop"]).await.ok(201);
    let by_key = json!({"subject": "card:1", "type": "t", "data": "key"});
    let by_id = json!({"subject": "card:1", "type": "t", "id": "own", "data": "id"});
    let first = publish(&api, Some("k"), &by_key).await.ok(202);
    assert_ne!(first["data"][0]["id"], first["data"][1]["id"]);
    let second = publish(&api, None, &by_id).await.ok(202);
    assert!(
        second["data"].as_array().unwrap().iter().all(|one| one["id"] == "own" && one["deliveries"] == 1)
    );
    let arrived = receiver.wait_for(4).await;
    for path in ["/acme", "/shop"] {
        assert_eq!(arrived.iter().filter(|request| request.path == path).count(), 2);
    }
}

#[tokio::test]
async fn abuse_a75_a_tenant_made_again_inherits_neither_subjects_nor_keys() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    with_endpoints(&server, &receiver, &["acme", "shop"]).await;
    let api = server.api();
    give(&api, "shared", &["acme", "shop"]).await.ok(201);
    give(&api, "alone", &["acme"]).await.ok(201);
    let by_key = json!({"tenant": "acme", "type": "t", "data": 1});
    let by_id = json!({"tenant": "acme", "type": "t", "id": "own", "data": 1});
    let first = publish(&api, Some("k"), &by_key).await.ok(202);
    publish(&api, None, &by_id).await.ok(202);
    // Looked up before, so that memory knows them too.
    publish(&api, None, &json!({"subject": "alone", "type": "t", "data": 1})).await.ok(202);
    receiver.wait_for(3).await;

    api.delete("/v1/tenants/acme").await.ok(204);
    for again in [false, true] {
        if again {
            with_endpoints(&server, &receiver, &["acme"]).await;
        }
        assert_eq!(api.get("/v1/subjects/shared").await.ok(200)["tenants"], json!(["shop"]));
        api.get("/v1/subjects/alone").await.problem(404);
        api.delete("/v1/subjects/alone").await.problem(404);
        publish(&api, None, &json!({"subject": "alone", "type": "t", "data": 1})).await.problem(404);
        let shared = publish(&api, None, &json!({"subject": "shared", "type": "t", "data": 2})).await.ok(202);
        assert_eq!(
            (shared["data"].as_array().unwrap().len(), &shared["data"][0]["tenant"]),
            (1, &json!("shop"))
        );
    }
    let disagree =
        publish(&api, None, &json!({"tenant": "acme", "subject": "shared", "type": "t", "data": 1})).await;
    assert!(disagree.pointers().contains("/subject"));
    // Keys and ids are free again: also for another body.
    let second = publish(&api, Some("k"), &by_key).await.ok(202);
    assert_ne!(second["id"], first["id"]);
    let mut other = by_id.clone();
    other["data"] = json!(2);
    assert_eq!(publish(&api, None, &other).await.ok(202), json!({"id": "own", "deliveries": 1}));
    receiver.wait_for(7).await;
    server.kill();
    server.start_again().await;
    let api = server.api();
    api.get("/v1/subjects/alone").await.problem(404);
    assert_eq!(publish(&api, Some("k"), &by_key).await.ok(202), second);
    let made = give(&api, "alone", &["acme"]).await.ok(201);
    assert_eq!(made["created_at"], made["updated_at"], "made anew");
}

#[tokio::test]
async fn card_data_that_one_tenant_of_a_subject_refuses_is_stored_for_none() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let tenants = with_endpoints(&server, &receiver, &["hides", "refuses"]).await;
    let api = server.api();
    for (tenant, numbers) in [("hides", "mask"), ("refuses", "reject")] {
        let policy = json!({"card_policy": {"numbers": numbers}});
        api.json("PUT", &format!("/v1/tenants/{tenant}"), &policy).await.ok(200);
    }
    give(&api, "card:1", &["hides", "refuses"]).await.ok(201);
    let event = json!({"subject": "card:1", "type": "t", "data": {"pan": "4111111111111111"}});
    let answer = publish(&api, None, &event).await;
    assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/data/pan"]);
    let batch = publish(&api, None, &json!([event])).await.ok(202);
    assert_eq!(batch["data"][0]["error"]["errors"][0]["pointer"], "/0/data/pan");
    for tenant in &tenants {
        assert_eq!(api.get(&tenant.path("events")).await.ok(200)["data"], json!([]), "{}", tenant.id);
    }
}

#[tokio::test]
async fn what_was_stored_of_a_subject_s_event_is_said_with_how_to_complete_it() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    with_endpoints(&server, &receiver, &["open", "full"]).await;
    let api = server.api();
    let quotas = json!({"quotas": {"events_per_second": 1}});
    api.json("PUT", "/v1/tenants/full", &quotas).await.ok(200);
    give(&api, "card:1", &["open", "full"]).await.ok(201);
    let event = |n| json!({"subject": "card:1", "type": "t", "data": n});
    let mut refused = None;
    for n in 0..20 {
        let answer = publish(&api, Some(&format!("k{n}")), &event(n)).await;
        if answer.status == 429 {
            refused = Some((n, answer.problem(429)));
            break;
        }
    }
    let (n, problem) = refused.expect("twenty events at once are more than one a second");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("refused for full, stored for open; the same event with the same"), "{detail}");
    let receipt = eventually("there is room again", async || {
        let answer = publish(&api, Some(&format!("k{n}")), &event(n)).await;
        (answer.status == 202).then(|| answer.ok(202))
    })
    .await;
    assert_eq!(receipt["data"].as_array().unwrap().len(), 2);
    eventually("each tenant has got it once", async || {
        let of_open = api.get("/v1/tenants/open/events").await.ok(200)["data"].as_array().unwrap().len();
        let of_full = api.get("/v1/tenants/full/events").await.ok(200)["data"].as_array().unwrap().len();
        (of_open == of_full).then_some(())
    })
    .await;
}
