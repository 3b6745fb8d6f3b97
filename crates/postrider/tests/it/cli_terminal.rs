//! The command line before a server that wants to steer the terminal: every text of its answers tries to.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use crate::cli::Cli;
use crate::harness::Reply;
use crate::program::Ran;

/// A title of the window, a cleared screen, colours in two forms, a line that overwrites the one before, text that runs
/// backwards, a mark that nobody sees, and what a shell would run.
const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\nok\u{8}\u{202e}\u{2066}\u{200b}\u{e0041}\0\u{7f}$(id)`id`'\"";

/// A value in which every text, and every name that others choose, is hostile.
fn hostile(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text + HOSTILE),
        Value::Array(items) => items.into_iter().map(hostile).collect(),
        Value::Object(members) => {
            let chosen = ["headers", "metadata", "attributes", "request_headers", "response_headers"];
            let member = |(name, value): (String, Value)| match value {
                Value::Object(of_others) if chosen.contains(&name.as_str()) => {
                    let of_others =
                        of_others.into_iter().map(|(name, value)| (name + HOSTILE, hostile(value)));
                    (name, Value::Object(of_others.collect::<Map<_, _>>()))
                }
                value => (name, hostile(value)),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        other => other,
    }
}

/// What every request is answered.
type Scripted = Arc<Mutex<(StatusCode, String)>>;

/// A server that answers whatever it was told last; its URL.
async fn parrot(answer: Scripted) -> String {
    let app = Router::new().fallback(async move || {
        let (status, body) = answer.lock().unwrap().clone();
        (status, [(CONTENT_TYPE, "application/json")], body)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Whether a character makes a terminal do anything but show it, or is shown elsewhere than it stands.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{e0041}')
}

#[track_caller]
fn assert_inert(args: &[&str], ran: &Ran) {
    let printed = [ran.out.as_str(), &ran.err].concat();
    assert_eq!(printed.chars().find(|c| steers(*c)), None, "{args:?}: {ran:?}");
}

#[tokio::test]
async fn abuse_a98_no_command_lets_a_server_or_a_partner_steer_the_terminal() {
    let cli = Cli::start().await;
    let (acme, endpoint) = cli.acme().await;
    acme.patch(&endpoint, json!({"description": "d", "headers": {"X-A": "1"}, "metadata": {"a": "b"},
        "filters": {"attributes": {"region": ["eu"]}, "data": [{"pointer": "/a", "op": "eq", "value": "b"}]}}))
        .await;
    cli.receiver.answer(Reply::status(500).with("x-odd", "1").body(b"no"));
    let event = json!({"key": "k", "attributes": {"region": "eu"}, "data": {"a": "b"}});
    let event = acme.publish(event).await;
    let delivery = acme.wait_for_status(&event, "failed").await["id"].as_str().unwrap().to_owned();
    cli.receiver.answer(Reply::status(204));
    cli.text(&["subjects", "put", "card:1", "--tenant", "acme"]).await;
    cli.text(&["event-types", "put", "a.b", "--schema", r#"{"title":"t"}"#, "--example", r#""x""#]).await;
    let (id, url) = (endpoint.id.as_str(), cli.receiver.url());
    let replay = ["replays", "create", "--tenant", "acme", "--endpoint", id, "--sequence-from", "1"];
    let replay = cli.json(&replay).await["id"].as_str().unwrap().to_owned();

    let answer = Scripted::default();
    let parrot = parrot(Arc::clone(&answer)).await;
    let publish = ["events", "publish", "--type", "t", "--data", "{}"];
    for args in [
        &["tenants", "put", "shop", "--metadata", "a=b", "--quota-pending", "9"][..],
        &["tenants", "show", "shop"],
        &["tenants", "list"],
        &["tokens", "create", "--tenant", "acme", "--scope", "events-write"],
        &["tokens", "list"],
        &["event-types", "show", "a.b"],
        &["event-types", "list"],
        &["subjects", "show", "card:1"],
        &["endpoints", "create", "--tenant", "acme", &url],
        &["endpoints", "show", "--tenant", "acme", id],
        &["endpoints", "list", "--tenant", "acme", "--limit", "1"],
        &["endpoints", "list", "--all-tenants"],
        &["endpoints", "match", "--tenant", "acme", "--type", "t"],
        &["endpoints", "secret", "--tenant", "acme", id],
        &["endpoints", "rotate", "--tenant", "acme", id],
        &["endpoints", "test", "--tenant", "acme", id, "--type", "t"],
        &["endpoints", "stats", "--tenant", "acme", id],
        &[&publish[..], &["--tenant", "acme"]].concat(),
        &[&publish[..], &["--subject", "card:1"]].concat(),
        &["events", "list", "--tenant", "acme"],
        &["events", "show", "--tenant", "acme", &event],
        &["deliveries", "list", "--tenant", "acme"],
        &["deliveries", "list", "--all-tenants"],
        &["deliveries", "show", "--tenant", "acme", &delivery],
        &["replays", "list", "--tenant", "acme", "--endpoint", id],
        &["replays", "show", "--tenant", "acme", "--endpoint", id, &replay],
        // Ends when it has shown one, whatever the server says of the rest.
        &["feed", "--tenant", "acme", id, "--limit", "1"],
    ] {
        let printed = cli.text(&[args, &["--json"]].concat()).await;
        let mut told: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{args:?}: {e}"));
        if args[0] == "feed" {
            told = json!({"data": [told], "last_sequence": 1});
        }
        let at_parrot =
            |more: &[&str]| cli.command(&[args, more].concat()).env("POSTRIDER_URL", &parrot).run();
        // Between the parts of JSON too there is room for what steers.
        let text = hostile(told).to_string().replacen(':', ":\r\t\n", 1);
        *answer.lock().unwrap() = (StatusCode::OK, text);
        for more in [&[][..], &["--json"]] {
            let ran = at_parrot(more).await;
            // A test whose attempt failed ends so.
            assert!(ran.code == 0 && ran.err.is_empty(), "{args:?}: {ran:?}");
            assert_inert(args, &Ran { out: ran.out.replace('\t', " "), ..ran.clone() });
            assert!(
                ran.out.contains(if more.is_empty() { r"\u{1b}" } else { r"\u001b" }),
                "{args:?}: {ran:?}"
            );
        }
        let problem = json!({"type": "t", "title": "t", "detail": "d", "request_id": "r", "status": 422,
            "errors": [{"pointer": "/p", "detail": "d"}]});
        let problem = hostile(problem).to_string();
        for (status, body) in [
            (StatusCode::UNPROCESSABLE_ENTITY, problem.as_str()),
            (StatusCode::BAD_GATEWAY, HOSTILE),
            (StatusCode::OK, HOSTILE),
        ] {
            *answer.lock().unwrap() = (status, body.to_owned());
            for more in [&[][..], &["--json"]] {
                let ran = at_parrot(more).await;
                assert!(ran.code == 1 && ran.out.is_empty() && !ran.err.is_empty(), "{args:?}: {ran:?}");
                assert_inert(args, &ran);
            }
        }
    }
}

#[tokio::test]
async fn abuse_a98_an_argument_that_was_copied_from_elsewhere_is_told_inert() {
    let cli = Cli::start().await;
    let odd = HOSTILE.replace('\0', "");
    for args in [
        &["deliveries", "list", "--tenant", "acme", "--limit", &odd][..],
        &["deliveries", "list", "--tenant", "acme", "--status", &odd],
        &["events", &odd],
        &[&odd],
        &["tenants", "show", &odd],
        &["tenants", "list", "--server", &odd],
        &["tenants", "put", "acme", "--metadata", &odd],
        &["verify", "--secret", &odd, "--id", &odd, "--timestamp", &odd, "--signature", &odd],
        &["config", "check", "--config", &odd],
    ] {
        let ran = cli.run(args).await;
        assert_ne!(ran.code, 0, "{args:?}: {ran:?}");
        assert_inert(args, &ran);
    }
}
