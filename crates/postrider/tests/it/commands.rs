//! The commands over the API: what they ask, print and exit with.

use crate::fake::{Fake, Faults};
use crate::program::Program;

fn on(fake: &Fake, args: &[&str]) -> Program {
    Program::new(args).env("POSTRIDER_URL", &fake.url).env("POSTRIDER_TOKEN", "tok-1")
}

#[tokio::test]
async fn an_event_is_published_from_flags() {
    let fake = Fake::start(Faults::default()).await;
    let args = ["events", "publish", "--tenant", "acme", "--type", "card.created", "--id", "e-1"];
    let ran = on(&fake, &[&args[..], &["--data", "{}"]].concat()).run().await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "EVENT  DELIVERIES\ne-1    0\n"), "{ran:?}");
    let json =
        on(&fake, &[&args[..], &["--json", "--data-file", "-"]].concat()).input("{\"a\":1}").run().await;
    assert_eq!(json.json(), serde_json::json!({"id": "e-1", "deliveries": 0}));
    let bad = on(&fake, &[&args[..], &["--data", "{a:1}"]].concat()).run().await;
    assert_eq!(bad.code, 2);
    assert!(bad.err.starts_with("error: the data is not JSON"), "{bad:?}");
    let none = on(&fake, &args).run().await;
    assert!(none.code == 2 && none.err.contains("--data <JSON>"), "an event without data is none: {none:?}");
}

#[tokio::test]
async fn abuse_a98_a_refused_line_of_many_is_shown_inert_and_fails_the_command() {
    let fake = Fake::start(Faults::default()).await;
    let args = ["events", "publish", "--ndjson", "-"];
    let ran = on(&fake, &args).input("{\"id\":\"e-1\"}\n{oops\n").run().await;
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[1].starts_with("0     e-1"), "{ran:?}");
    assert!(lines[2].ends_with("not JSON\\u{1b}[2J"), "{ran:?}");
}

#[tokio::test]
async fn an_endpoint_is_created_and_shown() {
    let fake = Fake::start(Faults::default()).await;
    let args =
        ["endpoints", "create", "--tenant", "acme", "https://example.test/hook", "--header", "X-App: 1"];
    let ran = on(&fake, &args).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("url             https://example.test/hook"), "{}", ran.out);
    let none = on(&fake, &["endpoints", "create", "--tenant", "acme"]).run().await;
    assert_eq!(none.code, 2);
}

#[tokio::test]
async fn abuse_a98_the_log_is_listed_with_its_filters_and_is_inert() {
    let fake = Fake::start(Faults::default()).await;
    fake.answer(
        200,
        r#"{"data":[{"id":"dlv_1","tenant":"acme","event":"evt_1","endpoint":"ep_1","type":"a\u001b[31m","status":"failed","reason":"x\u009by","attempts":3,"last_status_code":500,"created_at":"2026-01-01T00:00:00.000Z"}],"next_cursor":"c2"}"#,
    );
    let args = ["deliveries", "list", "--tenant", "acme", "--status", "failed", "--limit", "1"];
    let ran = on(&fake, &args).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        fake.last(),
        ("GET /v1/tenants/acme/deliveries?status=failed&limit=1".into(), "Bearer tok-1".into())
    );
    assert!(ran.out.contains("a\\u{1b}[31m") && ran.out.contains("x\\u{9b}y"), "{}", ran.out);
    assert!(ran.out.ends_with("there is more: --cursor c2\n"), "{}", ran.out);
}

#[tokio::test]
async fn abuse_a98_an_event_type_is_shown_inert() {
    let fake = Fake::start(Faults::default()).await;
    let made = r#"{"type":"card.used","profile":"standard","description":"x\u009by","schema":{"title":"ESC[2J"},"example":"\u202e","integrations":[],"kind":"notification","created_at":"t","updated_at":"t"}"#;
    fake.answer(200, &made.replace("ESC", "\u{7f}"));
    let ran = on(&fake, &["event-types", "get", "card.used"]).run().await;
    assert_eq!(fake.last().0, "GET /v1/event-types/card.used");
    assert!(ran.out.contains("x\\u{9b}y") && ran.out.contains("\\u{7f}[2J"), "{}", ran.out);
    let json = on(&fake, &["event-types", "get", "card.used", "--json"]).run().await;
    assert!(json.out.contains("\\u007f[2J"), "{}", json.out);
}

#[tokio::test]
async fn a_delivery_is_shown_retried_and_cancelled() {
    let fake = Fake::start(Faults::default()).await;
    fake.answer(
        200,
        r#"{"id":"dlv_1","tenant":"acme","event":"evt_1","endpoint":"ep_1","status":"failed","type":"a.b","created_at":"2026-01-01T00:00:00.000Z","attempts":[{"id":"att_1","run":1,"number":2,"started_at":"2026-01-01T00:00:00.000Z","duration_ms":1.5,"status_code":500,"trigger":"schedule","request_headers":{},"response_headers":{},"response_body":"oops"}],"payload":{"n":1.0}}"#,
    );
    let shown = on(&fake, &["deliveries", "show", "--tenant", "acme", "dlv_1"]).run().await;
    assert!(shown.out.contains("payload   {\"n\":1.0}") && shown.out.contains("1.2"), "{}", shown.out);
    let retried = on(&fake, &["deliveries", "retry", "--tenant", "acme", "dlv_1"]).run().await;
    assert_eq!(retried.out, "trying dlv_1 again\n");
    assert_eq!(fake.last().0, "POST /v1/tenants/acme/deliveries/dlv_1/retry");
    let cancelled = on(&fake, &["deliveries", "cancel", "--tenant", "acme", "dlv_1", "--json"]).run().await;
    assert_eq!(cancelled.json()["cancelled"], true);
}

#[tokio::test]
async fn each_kind_of_failure_has_its_exit_code_and_a_remedy() {
    let fake = Fake::start(Faults::default()).await;
    for (status, code, remedy) in [
        (401, 5, "POSTRIDER_TOKEN"),
        (403, 5, "postrider tokens create"),
        (404, 4, "No such thing"),
        (429, 6, "No such thing"),
        (422, 1, "/name: is odd"),
    ] {
        fake.answer(
            status,
            r#"{"type":"t","title":"No such thing","status":0,"errors":[{"pointer":"/name","detail":"is odd"}]}"#,
        );
        let ran = on(&fake, &["endpoints", "show", "--tenant", "acme", "ep_1"]).run().await;
        assert_eq!(ran.code, code, "{status}: {ran:?}");
        assert!(ran.err.contains(remedy) && ran.out.is_empty(), "{status}: {ran:?}");
        let json = on(&fake, &["--json", "endpoints", "show", "--tenant", "acme", "ep_1"]).run().await;
        let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
        assert_eq!(error["exit_code"], code);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ran = Program::new(&["tenants", "list"]).env("POSTRIDER_LISTEN", &address).run().await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(&address) && ran.err.contains("is the server running?"), "{ran:?}");
}

#[tokio::test]
async fn the_token_comes_from_a_file_and_is_shown_nowhere() {
    let fake = Fake::start(Faults::default()).await;
    fake.answer(200, r#"{"data":[],"next_cursor":null}"#);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "tok-2\n").unwrap();
    let args = ["tenants", "list", "--token-file", file.path().to_str().unwrap()];
    let ran = on(&fake, &args).run().await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "ID  NAME  PROFILE  CREATED\n(none)\n"), "{ran:?}");
    assert_eq!(fake.last().1, "Bearer tok-2");
    fake.answer(200, r#"{"id":"tok_9","kind":"bearer","token":"secret-once","scopes":["events-write"],"created_at":"2026-01-01T00:00:00.000Z"}"#);
    let made = on(&fake, &["tokens", "create", "--scope", "events-write,events-read"]).run().await;
    assert!(made.out.contains("secret-once"), "{made:?}");
}
