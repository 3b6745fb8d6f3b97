//! The delivery log at the command line: every filter, pages, one delivery, retry and cancel.

use serde_json::{Value, json};

use crate::cli::{Cli, assert_documented};
use crate::harness::{Reply, eventually};

#[tokio::test]
async fn each_filter_and_the_cursor_choose_what_they_say() {
    let cli = Cli::start().await;
    cli.receiver.script(|r| Reply::status(if r.event().starts_with("bad") { 500 } else { 204 }));
    let (acme, one) = cli.acme().await;
    let two =
        acme.endpoint(json!({"url": cli.receiver.url(), "event_types": ["card.*"], "enabled": false})).await;
    for (id, kind, key) in
        [("good-1", "card.created", "k 1&ü"), ("bad-1", "a.b", "k2"), ("good-2", "a.b", "k2")]
    {
        acme.publish(json!({"id": id, "type": kind, "key": key})).await;
        // One after the other, so that times tell them apart.
        crate::harness::another_millisecond().await;
    }
    eventually("what is sent has its verdict", async || {
        (acme.log("status=pending").await.len() == 1).then_some(())
    })
    .await;
    let bad = acme.delivery_of("bad-1").await["created_at"].as_str().unwrap().to_owned();
    let found = async |more: &[&str]| {
        let page = cli.json(&[&["deliveries", "list", "--tenant", "acme"], more].concat()).await;
        assert_documented("Page_Delivery", &page);
        let rows = page["data"].as_array().unwrap().clone();
        let line = |row: &Value| {
            format!("{}@{}", row["event"].as_str().unwrap(), 1 + u8::from(row["endpoint"] == two.id))
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        lines.sort_unstable();
        (lines, page["next_cursor"].as_str().map(str::to_owned))
    };
    for (more, expected) in [
        (&[][..], &["bad-1@1", "good-1@1", "good-1@2", "good-2@1"][..]),
        (&["--status", "failed"], &["bad-1@1"]),
        (&["--status", "succeeded"], &["good-1@1", "good-2@1"]),
        (&["--status", "pending"], &["good-1@2"]),
        (&["--status", "skipped"], &[]),
        (&["--type", "a.b"], &["bad-1@1", "good-2@1"]),
        (&["--endpoint", &one.id], &["bad-1@1", "good-1@1", "good-2@1"]),
        (&["--key", "k 1&ü"], &["good-1@1", "good-1@2"]),
        (&["--event", "good-1"], &["good-1@1", "good-1@2"]),
        (&["--since", &bad], &["bad-1@1", "good-2@1"]),
        (&["--until", &bad], &["good-1@1", "good-1@2"]),
        (&["--key", "k2", "--status", "succeeded", "--since", &bad, "--endpoint", &one.id], &["good-2@1"]),
    ] {
        assert_eq!(found(more).await.0, expected, "{more:?}");
    }

    let (mut all, mut next) = found(&["--limit", "1"]).await;
    for _ in 0..10 {
        let Some(cursor) = next else { break };
        let more = found(&["--limit", "1", "--cursor", &cursor]).await;
        all.extend(more.0);
        next = more.1;
    }
    all.sort_unstable();
    assert_eq!(all, found(&[]).await.0, "page by page it is the same");
    let text = cli.text(&["deliveries", "list", "--tenant", "acme", "--limit", "2"]).await;
    assert!(text.lines().count() == 4 && text.contains("\nthere is more: --cursor "), "{text}");
    let none = cli.text(&["deliveries", "list", "--tenant", "acme", "--status", "skipped"]).await;
    assert!(none.ends_with("\n(none)\n"), "{none}");
}

#[tokio::test]
async fn a_delivery_is_tried_again_and_one_that_waits_is_cancelled() {
    let cli = Cli::start().await;
    let (acme, endpoint) = cli.acme().await;
    cli.receiver.answer(Reply::status(500));
    acme.publish(json!({"id": "again"})).await;
    let failed = acme.wait_for_status("again", "failed").await["id"].as_str().unwrap().to_owned();
    cli.receiver.answer(Reply::status(204));
    let said = cli.text(&["deliveries", "retry", "--tenant", "acme", &failed]).await;
    assert_eq!(said, format!("trying {failed} again\n"));
    acme.wait_for_status("again", "succeeded").await;
    let shown = cli.json(&["deliveries", "show", "--tenant", "acme", &failed]).await;
    assert_documented("DeliveryDetail", &shown);
    let tried: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|a| &a["trigger"]).collect();
    assert_eq!(tried, ["schedule", "retry"]);
    let retried = cli.json(&["deliveries", "retry", "--tenant", "acme", &failed]).await;
    assert_eq!(retried, json!({"id": failed, "retried": true}));

    let cancel = ["deliveries", "cancel", "--tenant", "acme"];
    eventually("the second retry has its verdict", async || {
        (acme.delivery_of("again").await["status"] == "succeeded").then_some(())
    })
    .await;
    let late = cli.run(&[&cancel[..], &[&failed]].concat()).await;
    assert!(
        late.code == 1 && late.err.contains("the delivery has succeeded: only a pending one"),
        "{late:?}"
    );
    acme.patch(&endpoint, json!({"enabled": false})).await;
    acme.publish(json!({"id": "waiting"})).await;
    let waiting = acme.delivery_of("waiting").await["id"].as_str().unwrap().to_owned();
    let cancelled = cli.json(&[&cancel[..], &[&waiting]].concat()).await;
    assert_eq!(cancelled, json!({"id": waiting, "cancelled": true}));
    assert_eq!(acme.delivery_of("waiting").await["status"], "cancelled");
}

#[tokio::test]
async fn abuse_a98_nothing_that_others_wrote_steers_the_terminal() {
    let cli = Cli::start().await;
    let (acme, endpoint) = cli.acme().await;
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}fdp\u{200b}\u{e0041}";
    cli.receiver.answer(Reply::status(500).with("x-odd", "\u{9b}31m").body(hostile.as_bytes()));
    let data = "{\"note\": \"\u{7f}\u{9b}31m\u{202e}\"}";
    let publish = ["events", "publish", "--tenant", "acme", "--type", "a.b", "--id", "e", "--data", data];
    cli.text(&publish).await;
    let delivery = acme.wait_for_status("e", "failed").await["id"].as_str().unwrap().to_owned();
    for (args, code) in [
        (&["deliveries", "show", "--tenant", "acme", &delivery][..], 0),
        (&["endpoints", "test", "--tenant", "acme", &endpoint.id, "--type", "a.b"], 1),
        (&["tenants", "put", "other", "--name", hostile], 1),
        (&["deliveries", "list", "--tenant", "acme", "--key", hostile], 0),
        (&["deliveries", "list", "--tenant", "acme", "--since", hostile], 1),
        (&["deliveries", "list", "--tenant", hostile], 4),
        (&["events", "show", "--tenant", "acme", "e"], 0),
        (&["events", "show", "--tenant", "acme", hostile], 4),
        (&["events", "list", "--tenant", "acme", "--subject", hostile], 0),
        (&["feed", "--tenant", "acme", &endpoint.id], 0),
        (&["feed", "--tenant", "acme", hostile], 4),
        (&["endpoints", "stats", "--tenant", "acme", hostile], 4),
        (&["endpoints", "show", "--tenant", "acme", hostile], 4),
        (&["events", "publish", "--ndjson", hostile], 2),
    ] {
        for more in [&[][..], &["--json"]] {
            let args = [args, more].concat();
            let ran = cli.run(&args).await;
            assert_eq!(ran.code, code, "{args:?}: {ran:?}");
            let printed = format!("{}{}", ran.out, ran.err);
            let steering = printed.chars().find(|c| {
                (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{200b}' | '\u{e0041}')
            });
            assert_eq!(steering, None, "{args:?}: {ran:?}");
        }
    }
    let shown = cli.text(&["deliveries", "show", "--tenant", "acme", &delivery]).await;
    assert!(shown.contains(r"\u{1b}]0;owned\u{7}") && shown.contains(r"\u{202e}"), "{shown}");
    let json = cli.json(&["deliveries", "show", "--tenant", "acme", &delivery]).await;
    assert_eq!(json["attempts"][0]["response_body"], hostile, "in JSON it is whole");
}
