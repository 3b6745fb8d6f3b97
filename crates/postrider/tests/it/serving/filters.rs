//! Filters: what an endpoint does not want of the types that it takes never reaches it, and is not owed to it.

use serde_json::{Value, json};

use crate::harness::{Receiver, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_the_endpoints_whose_filters_it_passes_and_leaves_no_trace_at_others() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = async |path: &str, filters: Value| {
        acme.endpoint(json!({"url": receiver.url_of(path), "filters": filters})).await
    };
    let all = endpoint("/all", Value::Null).await;
    let party = endpoint("/party", json!({"attributes": {"buyer_party": ["5561234567", 7]}})).await;
    let large =
        endpoint("/large", json!({"data": [{"pointer": "/amount", "op": "gte", "value": 100}]})).await;
    let both = endpoint(
        "/both",
        json!({"attributes": {"buyer_party": ["5561234567"]},
               "data": [{"pointer": "/items/0/name", "op": "prefix", "value": "Fl"}, {"pointer": "/test", "op": "exists", "value": false}]}),
    )
    .await;
    let events = [
        (
            r#""attributes":{"buyer_party":"5561234567"},"data":{"amount":99.99999999999999999999,"items":[{"name":"Flat white"}]}"#,
            vec!["/all", "/both", "/party"],
        ),
        (r#""attributes":{"buyer_party":7.0},"data":{"amount":1e999999}"#, vec!["/all", "/large", "/party"]),
        (r#""attributes":{"buyer_party":"7"},"data":{"amount":"100"}"#, vec!["/all"]),
        (r#""data":{"amount":5,"amount":100.0}"#, vec!["/all", "/large"]),
        (
            r#""attributes":{"buyer_party":"5561234567"},"data":{"items":[{"name":"Flat white"}],"test":null}"#,
            vec!["/all", "/party"],
        ),
    ];
    for (n, (event, _)) in events.iter().enumerate() {
        let body = format!(r#"{{"tenant":"acme","type":"card.used","id":"e-{n}",{event}}}"#);
        let accepted = acme.api.publish_text(&body).await.ok(202);
        assert_eq!(accepted["deliveries"], json!(events[n].1.len()), "{event}");
        // Who asks in advance is told the same.
        let asked = format!(r#"{{"type":"card.used",{event}}}"#);
        let headers = [("content-type", "application/json")];
        let told =
            acme.api.send("POST", &acme.path("endpoints/match"), &headers, asked.as_bytes()).await.ok(200);
        let matches = told["data"].as_array().unwrap().iter().filter(|one| one["matches"] == true).count();
        assert_eq!(matches, events[n].1.len(), "{told}");
    }
    receiver.wait_for(events.iter().map(|(_, paths)| paths.len()).sum()).await;
    for (n, (event, paths)) in events.iter().enumerate() {
        let mut reached: Vec<String> = receiver.of(&format!("e-{n}")).into_iter().map(|r| r.path).collect();
        reached.sort();
        assert_eq!(reached, *paths, "{event}");
        assert_eq!(acme.log(&format!("event=e-{n}")).await.len(), paths.len());
    }
    // No gap where something was kept out.
    for (endpoint, sequence) in [(&all, 5), (&party, 3), (&large, 2), (&both, 1)] {
        assert_eq!(acme.read(endpoint).await["sequence"], json!(sequence));
    }

    // A change holds for what comes after it, also after a restart.
    acme.patch(&large, json!({"filters": {"data": [{"pointer": "/amount", "op": "lt", "value": 100}]}}))
        .await;
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    acme.publish(json!({"id": "small", "data": {"amount": 1}})).await;
    acme.publish(json!({"id": "great", "data": {"amount": 100}})).await;
    receiver.wait_for_event("small", 2).await;
    receiver.wait_for_event("great", 1).await;
    assert_eq!(receiver.of("great")[0].path, "/all");
}
