//! Replays at the command line: counted, begun, followed, listed, cancelled.

use serde_json::{Value, json};

use crate::cli::{Cli, assert_documented};
use crate::harness::Reply;

#[tokio::test]
async fn a_replay_is_counted_begun_followed_listed_and_cancelled() {
    let cli = Cli::start().await;
    let (acme, endpoint) = cli.acme().await;
    cli.receiver.answer(Reply::status(400));
    for n in 0..3 {
        acme.publish(json!({"id": format!("e{n}"), "type": "card.created"})).await;
        acme.wait_for_status(&format!("e{n}"), "failed").await;
    }
    cli.receiver.answer(Reply::status(204));
    let of = ["--tenant", "acme", "--endpoint", &endpoint.id];
    let create = [&["replays", "create"], &of[..]].concat();
    let all = ["--since", "2020-01-01T00:00:00Z"];
    let dry = [&create, &all[..], &["--dry-run"]].concat();
    assert_eq!(cli.text(&dry).await, "3 would be replayed\n");
    assert_eq!(cli.json(&dry).await, json!({"matched": 3}));
    let some = [
        &create,
        &["--sequence-from", "2", "--type", "card.*,account.x", "--status", "failed", "--dry-run"][..],
    ];
    assert_eq!(cli.json(&some.concat()).await, json!({"matched": 2}));

    let followed = cli.text(&[&create, &all[..], &["--follow"]].concat()).await;
    assert!(followed.ends_with(" done: 3 of 3\n") && followed.starts_with("rpl_"), "{followed}");
    for n in 0..3 {
        acme.wait_for_status(&format!("e{n}"), "succeeded").await;
    }
    let follow =
        [&create, &["--sequence-from", "1", "--status", "succeeded", "--follow", "--json"][..]].concat();
    let lines = cli.text(&follow).await;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_documented("Replay", &last);
    assert_eq!((&last["state"], &last["done"]), (&json!("done"), &json!(3)));

    let slow = ["--sequence-from", "1", "--status", "succeeded", "--per-second", "1"];
    let begun = cli.json(&[&create, &slow[..]].concat()).await;
    assert_documented("Replay", &begun);
    let id = begun["id"].as_str().unwrap();
    let show = [&["replays", "show"], &of[..], &[id]].concat();
    assert_documented("Replay", &cli.json(&show).await);
    let cancelled = cli.json(&[&["replays", "cancel"], &of[..], &[id]].concat()).await;
    assert_eq!(cancelled, json!({"id": id, "cancelled": true}));
    let shown = cli.text(&show).await;
    assert!(shown.contains("state       cancelled"), "{shown}");
    let ran = cli.run(&[&show[..], &["--follow"]].concat()).await;
    assert_eq!(ran.code, 1, "one that did not come to its end: {ran:?}");

    let list = [&["replays", "list"], &of[..]].concat();
    let page = cli.json(&list).await;
    assert_documented("Page_Replay", &page);
    assert_eq!(page["data"].as_array().unwrap().len(), 3);
    let text = cli.text(&[&list[..], &["--limit", "1"]].concat()).await;
    assert!(text.contains(id) && text.contains("there is more: --cursor "), "{text}");
    // Something to begin with is wanted.
    assert_eq!(cli.run(&create).await.code, 2);
    let unknown = cli.run(&[&["replays", "show"], &of[..], &["rpl_0"]].concat()).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
}
