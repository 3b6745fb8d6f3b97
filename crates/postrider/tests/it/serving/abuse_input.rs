//! Requests that are wrong, too large or too many, against the whole server: refused, nothing stored, memory flat.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::server::TOKEN;
use crate::harness::{Receiver, Server};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn abuse_a03_a08_oversized_and_compressed_bodies_are_refused_unread_and_memory_stays_flat() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    acme.publish(json!({})).await;
    let before = server.resident();
    let head = |extra: &str| {
        format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{extra}\r\n\r\n")
            .into_bytes()
    };
    let json = "content-type: application/json\r\n";
    for (status, extra) in [
        ("413", format!("{json}content-length: 10737418240")),
        ("413", format!("{json}transfer-encoding: chunked")),
        ("415", format!("{json}content-encoding: gzip\r\ncontent-length: 10737418240")),
        ("415", "content-length: 10737418240".to_owned()),
        ("415", "content-type: text/plain\r\ncontent-length: 10737418240".to_owned()),
    ] {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(&head(&extra)).await.unwrap();
            let (mut reader, mut writer) = stream.into_split();
            // At most 64 MiB are offered: the server must have enough long before.
            let chunked = extra.contains("chunked");
            let offering = tokio::spawn(async move {
                let part = [b" ".repeat(0x10000 - 1), b"{".to_vec()].concat();
                let mut offered = 0_u64;
                for _ in 0..1_024 {
                    let sent = if chunked {
                        writer.write_all(&[b"10000\r\n", &*part, b"\r\n"].concat()).await
                    } else {
                        writer.write_all(&part).await
                    };
                    if sent.is_err() {
                        break;
                    }
                    offered += part.len() as u64;
                }
                offered
            });
            let mut answer = Vec::new();
            let _ = reader.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let offered = offering.await.unwrap();
            // Where the server closed before we had sent all, the answer may be lost with the connection.
            assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(offered < 32 * MIB, "{offered} bytes were taken");
        }
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 24 * MIB, "memory grew by {grown} bytes");
    acme.publish(json!({})).await;
}

#[tokio::test]
async fn abuse_a03_an_event_and_a_batch_at_their_limits_are_taken_and_delivered() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = |bytes: usize| {
        let frame = json!({"tenant": "acme", "type": "t", "data": ""}).to_string();
        frame.replace(r#""data":"""#, &format!(r#""data":"{}""#, "x".repeat(bytes - frame.len())))
    };
    acme.api.publish_text(&event(256 << 10)).await.ok(202);
    acme.api.publish_text(&event((256 << 10) + 1)).await.problem(413);
    let batch = format!("[{}]", vec![event((256 << 10) - 8); 31].join(","));
    let answer = acme.api.publish_text(&batch).await.ok(202);
    assert!(answer["data"].as_array().unwrap().iter().all(|item| item["deliveries"] == 1));
    let arrived = receiver.wait_for(32).await;
    assert!(arrived.iter().all(|r| r.message.body.len() > 250 << 10));
}

#[tokio::test]
async fn abuse_a12_ids_that_are_paths_controls_or_endless_name_nothing() {
    let server = Server::start().await;
    let api = server.api();
    for id in [
        "..",
        ".",
        "a%2Fb",
        "..%2F..%2Fetc",
        "%00",
        "a%0Ab",
        "%E2%80%AEx",
        "a%20b",
        "%FF",
        "é",
        &"x".repeat(129),
    ] {
        let id: String = id
            .bytes()
            .map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let answer = api.json("PUT", &format!("/v1/tenants/{id}"), &json!({"name": "x"})).await;
        assert!([404, 422].contains(&answer.status), "{id}: {} {}", answer.status, answer.text());
    }
    let listed = api.get("/v1/tenants?limit=250").await.ok(200);
    assert!(listed["data"].as_array().unwrap().iter().all(|tenant| tenant["id"] == "_operator"), "{listed}");
    let acme = server.tenant("acme").await;
    let long = "x".repeat(200_000);
    for (pointer, field, value) in [
        ("/id", "id", "a.b"),
        ("/id", "id", "../x"),
        ("/id", "id", ""),
        ("/id", "id", &long),
        ("/id", "id", "a\u{0}b"),
        ("/key", "key", ""),
        ("/key", "key", &long),
        ("/key", "key", "a\nb"),
        ("/key", "key", "a\u{202e}b"),
        ("/type", "type", "a/b"),
        ("/type", "type", "a..b"),
        ("/type", "type", &long),
        ("/tenant", "tenant", "../x"),
    ] {
        let mut event = json!({"tenant": "acme", "type": "t", "data": 1});
        event[field] = json!(value);
        let answer = acme.api.publish_text(&event.to_string()).await;
        let text = answer.text();
        assert!(text.len() < 4_096, "{field} is not repeated whole");
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer]);
    }
    assert!(acme.whole_log("").await.is_empty());
}

#[tokio::test]
async fn abuse_a13_a14_forged_cursors_limits_and_dates_are_refused() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    for tenant in [&acme, &other] {
        tenant.endpoint(json!({"url": receiver.url()})).await;
        tenant.endpoint(json!({"url": receiver.url()})).await;
        tenant.publish(json!({})).await;
    }
    let cursor = async |path: &str| -> String {
        let page = server.api().get(&format!("{path}?limit=1")).await.ok(200);
        page["next_cursor"].as_str().unwrap_or_else(|| panic!("{path}: {page}")).to_owned()
    };
    let log = acme.path("deliveries");
    let own = cursor(&log).await;
    server.api().get(&format!("{log}?cursor={own}")).await.ok(200);
    let foreign = [
        cursor(&other.path("deliveries")).await,
        cursor(&acme.path("endpoints")).await,
        cursor("/v1/tenants").await,
    ];
    let mut flipped = own.clone().into_bytes();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let mut bad: Vec<(String, &str)> = foreign
        .iter()
        .chain([&flipped, &own[..own.len() - 1].to_owned(), &format!("{own}AAAA")])
        .map(|c| (format!("cursor={c}"), "/cursor"))
        .collect();
    for limit in ["0", "-1", "99999", "1e1", "", "251"] {
        bad.push((format!("limit={limit}"), "/limit"));
    }
    for date in [
        "0000-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "2025-01-01T00:00:00",
        "2025-02-30T00:00:00Z",
        "yesterday",
        "",
    ] {
        bad.push((format!("since={date}"), "/since"));
    }
    bad.push(("since=2025-01-02T00:00:00Z&until=2025-01-01T00:00:00Z".into(), "/until"));
    bad.push(("statsu=failed".into(), "/statsu"));
    bad.push(("status=lost".into(), "/status"));
    for (query, pointer) in bad {
        let answer = server.api().get(&format!("{log}?{query}")).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{query}");
    }
    for date in ["0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "2025-01-01T00:00:00"] {
        let event = json!({"tenant": "acme", "type": "t", "data": 1, "occurred_at": date});
        let answer = acme.api.publish_text(&event.to_string()).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/occurred_at"], "{date}");
    }
}
