//! Event types and subjects at the command line, against the real server.

use serde_json::json;

use crate::cli::{Cli, assert_documented};

const SCHEMA: &str = "{ \"type\": \"object\",\n  \"required\": [\"card\"] }";

#[tokio::test]
async fn event_types_are_put_from_files_and_inline_shown_listed_and_deleted() {
    let cli = Cli::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (schema, example) =
        (file("schema.json", SCHEMA), file("example.json", "{\"card\": \"c-1\", \"n\":1.0}"));
    let put = ["event-types", "put", "card.used", "--schema-file", &schema, "--example-file", &example];
    let further = ["--description", "A card was used", "--integration", "gateway,wallet"];
    let text = cli.text(&[&put[..], &further].concat()).await;
    for line in [
        "type          card.used",
        "integrations  gateway, wallet",
        "description   A card was used",
        "schema        { \"type\": \"object\",",
        "example       {\"card\": \"c-1\", \"n\":1.0}",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = cli.json(&["event-types", "show", "card.used"]).await;
    assert_documented("EventType", &json);
    assert_eq!(json["schema"], json!({"type": "object", "required": ["card"]}));
    let inline =
        ["event-types", "put", "card.lost", "--schema", "{}", "--example", "[1]", "--kind", "decision"];
    assert_eq!(cli.json(&inline).await["kind"], "decision");
    let from_input =
        cli.command(&["event-types", "put", "card.input", "--schema-file", "-"]).input(SCHEMA).run().await;
    assert!(from_input.code == 0 && from_input.out.contains("\"required\""), "{from_input:?}");
    cli.text(&["event-types", "put", "card.bare"]).await;
    let list = cli.text(&["event-types", "list"]).await;
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TYPE", "KIND", "SCHEMA", "EXAMPLE", "INTEGRATIONS", "DESCRIPTION"]);
    assert_eq!(rows[1], ["card.bare", "notification", "-", "-", "all"]);
    assert_eq!(rows[4][..4], ["card.used", "notification", "yes", "yes"]);
    let page = cli.text(&["event-types", "list", "--limit", "1"]).await;
    assert!(page.contains("there is more: --cursor "), "{page}");

    // What is wrong is told with its pointers, and nothing is sent where it is no JSON.
    let refused =
        cli.run(&["event-types", "put", "card.used", "--schema", r#"{"$ref":"http://127.0.0.1:9/"}"#]).await;
    assert!(
        refused.code == 1 && refused.err.contains("/schema/$ref: leads out of this document"),
        "{refused:?}"
    );
    let odd = cli.run(&["event-types", "put", "card.used", "--example", "{a}"]).await;
    assert!(odd.code == 2 && odd.err.starts_with("error: the example is not JSON"), "{odd:?}");
    let both =
        cli.run(&["event-types", "put", "card.used", "--schema", "{}", "--schema-file", &schema]).await;
    assert_eq!(both.code, 2, "{both:?}");
    assert_eq!(cli.text(&["event-types", "delete", "card.used"]).await, "removed card.used\n");
    assert_eq!(cli.run(&["event-types", "get", "card.used"]).await.code, 4);
    let deleted = cli.json(&["event-types", "delete", "card.lost"]).await;
    assert_eq!(deleted, json!({"type": "card.lost", "deleted": true}));
}

#[tokio::test]
async fn subjects_are_put_and_events_published_by_them() {
    let cli = Cli::start().await;
    cli.acme().await;
    cli.server.tenant("shop").await;
    let text = cli.text(&["subjects", "put", "card:1", "--tenant", "acme", "--tenant", "shop"]).await;
    assert!(text.starts_with("id       card:1\ntenants  acme, shop\n"), "{text}");
    let json = cli.json(&["subjects", "show", "card:1"]).await;
    assert_documented("Subject", &json);
    let publish =
        ["events", "publish", "--subject", "card:1", "--type", "card.used", "--id", "e-1", "--data", "{}"];
    let text = cli.text(&publish).await;
    assert_eq!(text, "TENANT  EVENT  DELIVERIES\nacme    e-1    1\nshop    e-1    0\n");
    let json = cli.json(&publish).await;
    assert_documented("SubjectAnswer", &json);
    let one = ["--tenant", "acme", "--expires-at", "2099-01-01T00:00:00Z", "--id", "e-2"];
    let publish = ["events", "publish", "--subject", "card:1", "--type", "card.used", "--data", "{}"];
    assert_eq!(cli.text(&[&publish[..], &one].concat()).await, "EVENT  DELIVERIES\ne-2    1\n");
    let lines = "{\"subject\":\"card:1\",\"type\":\"t\",\"id\":\"e-3\",\"data\":1}\n{\"tenant\":\"acme\",\"type\":\"t\",\"id\":\"e-4\",\"data\":1}\n{\"subject\":\"none\",\"type\":\"t\",\"data\":1}\n";
    let ran = cli.command(&["events", "publish", "--ndjson", "-"]).input(lines).run().await;
    let rows: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[1..4],
        [vec!["0", "e-3", "1", "acme"], vec!["0", "e-3", "0", "shop"], vec!["1", "e-4", "1"]],
        "{ran:?}"
    );
    assert!(
        ran.code == 1 && rows[4][..3] == ["2", "-", "-"] && ran.out.contains("the subject does not exist"),
        "{ran:?}"
    );

    let nobody = cli.run(&["subjects", "put", "card:2", "--tenant", "acme,nobody"]).await;
    assert!(nobody.code == 1 && nobody.err.contains("/tenants/1: does not exist"), "{nobody:?}");
    assert_eq!(cli.run(&["subjects", "put", "card:2"]).await.code, 2);
    let neither = cli.run(&["events", "publish", "--type", "t", "--data", "1"]).await;
    assert!(neither.code == 2 && neither.err.contains("--tenant"), "{neither:?}");
    assert_eq!(cli.text(&["subjects", "delete", "card:1"]).await, "removed card:1\n");
    assert_eq!(cli.run(&["subjects", "get", "card:1"]).await.code, 4);
    assert_eq!(cli.run(&publish).await.code, 4);
    cli.receiver.wait_for(4).await;
}
