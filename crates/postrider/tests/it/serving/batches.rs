//! Many events in one body: an array or lines, each answered in its place.

use serde_json::{Value, json};

use crate::harness::{Receiver, Server};

#[tokio::test]
async fn abuse_a10_one_bad_item_among_a_hundred_is_reported_at_its_place_and_spoils_no_other() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    for form in ["array", "lines"] {
        let mut items: Vec<Value> = (0..100)
            .map(|n| json!({"tenant": "acme", "type": "t", "id": format!("{form}-{n}"), "data": {"n": n}}))
            .collect();
        items[42] = json!({"tenant": "acme", "type": "not a type", "dta": 1});
        let answer = if form == "array" {
            acme.api.publish_text(&Value::from(items).to_string()).await
        } else {
            let lines: Vec<String> = items.iter().map(Value::to_string).collect();
            acme.api.publish_lines(&lines.join("\n"), &[]).await
        };
        let answer = answer.ok(202);
        let answers = answer["data"].as_array().unwrap();
        assert_eq!(answers.len(), 100);
        for (n, answer) in answers.iter().enumerate() {
            if n == 42 {
                assert_eq!(answer["error"]["status"], 422, "{answer}");
                let pointers: Vec<_> = answer["error"]["errors"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|e| e["pointer"].clone())
                    .collect();
                assert_eq!(pointers, ["/42/type", "/42/data", "/42/dta"]);
            } else {
                assert_eq!(*answer, json!({"id": format!("{form}-{n}"), "deliveries": 1}));
            }
        }
    }
    receiver.wait_for(198).await;
    assert_eq!(acme.whole_log("").await.len(), 198);
}

#[tokio::test]
async fn items_for_a_tenant_out_of_reach_are_refused_in_their_place() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    server.tenant("other").await;
    let publisher = acme.api.token(&json!({"tenant": "acme", "scopes": ["events-write"]})).await;
    let items = json!([
        {"tenant": "acme", "type": "t", "data": 1}, {"tenant": "other", "type": "t", "data": 1},
        {"tenant": "nobody", "type": "t", "data": 1}
    ]);
    let answer = publisher.publish_text(&items.to_string()).await.ok(202);
    assert!(answer["data"][0]["id"].is_string(), "{answer}");
    let (other, nobody) = (&answer["data"][1]["error"], &answer["data"][2]["error"]);
    assert_eq!(other["status"], 404);
    // Somebody else's and nobody's look the same.
    assert_eq!(other, nobody);
}

#[tokio::test]
async fn an_empty_array_and_too_many_items_are_answered_as_such() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    assert_eq!(acme.api.publish_text("[]").await.ok(202), json!({"data": []}));
    let items = vec![json!({"tenant": "acme", "type": "t", "data": 1}); 1_001];
    acme.api.publish_text(&Value::from(items).to_string()).await.problem(422);
}

#[tokio::test]
async fn abuse_a11_lines_that_stop_in_the_middle_store_nothing_and_a_retry_stores_each_once() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let lines: Vec<String> =
        (0..10).map(|n| json!({"tenant": "acme", "type": "t", "data": {"n": n}}).to_string()).collect();
    let whole = lines.join("\n");
    let cut = &whole[..whole.len() - 9];
    let key = [("idempotency-key", "k")];
    acme.api.publish_lines(cut, &key).await.problem(400);
    // The connection breaks in the middle of the body, or of a chunk of it.
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\nidempotency-key: k\r\n",
        crate::harness::server::TOKEN
    );
    for rest in [
        format!("content-length: {}\r\n\r\n{cut}", whole.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{cut}\r\n", cut.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{cut}", whole.len()),
    ] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(acme.whole_log("").await.is_empty());
    let first = acme.api.publish_lines(&whole, &key).await.ok(202);
    assert_eq!(acme.api.publish_lines(&whole, &key).await.ok(202), first);
    receiver.wait_for(10).await;
    assert_eq!(acme.whole_log("").await.len(), 10);
}
