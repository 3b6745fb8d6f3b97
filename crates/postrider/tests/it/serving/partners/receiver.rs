//! `postrider receiver` plays a partner of each profile: against a server, and against what is no server of ours.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{PASSWORD, SECRET, USERNAME, made_for, platforms, publish};
use crate::harness::{Api, Server};
use crate::program::Program;
use crate::serving::receivers::Partner;

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Starts one; it has said where it is, and what it checks.
async fn start(args: &[&str]) -> (Partner, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.arg("receiver").args(args);
    let partner = Partner::start(command, &[], &std::env::temp_dir()).await;
    let url = partner.line().await;
    let first = if args.contains(&"--json") {
        serde_json::from_str::<Value>(&url).unwrap()["url"].as_str().unwrap().to_owned()
    } else {
        assert!(partner.line().await.starts_with("A partner of "));
        url
    };
    assert_eq!(first, format!("http://127.0.0.1:{}/", partner.port));
    (partner, first)
}

/// The next line without its time.
async fn told(partner: &Partner) -> String {
    let line = partner.line().await;
    let (at, rest) = line.split_once(' ').unwrap();
    assert!(at.ends_with('Z') && at.len() == 24, "{line}");
    rest.to_owned()
}

#[tokio::test]
async fn the_receiver_checks_what_partners_of_each_profile_are_sent() {
    let server = Server::start().await;
    let api = server.api();
    let own = json!({"type": "api_key", "header": "X-Key", "value": PASSWORD});
    for (platform, event_type, auth) in platforms().into_iter().chain([("standard", "card.frozen", own)]) {
        let secret = if platform == "standard" { STANDARD_SECRET } else { SECRET };
        let (basic, header) = (format!("{USERNAME}:{PASSWORD}"), format!("X-Key: {PASSWORD}"));
        let flags: &[&str] = match auth["type"].as_str().unwrap() {
            "basic" => &["--basic", &basic],
            "bearer" => &["--bearer", PASSWORD],
            "api_key" => &["--header", &header],
            _ => &[],
        };
        let secrets: &[&str] = if platform == "penny" { &[] } else { &["--secret", secret] };
        let (partner, url) = start(&[&["--profile", platform], secrets, flags].concat()).await;

        let (tenant, path) = made_for(&api, platform, &format!("{url}hook?a=b"), secret, auth).await;
        if platform == "opencard" {
            assert_eq!(told(&partner).await, "200 - challenge ok");
        }
        let event = publish(&tenant, event_type).await;
        tenant.wait_for_status(&event, "succeeded").await;
        assert_eq!(told(&partner).await, format!("200 {event} {event_type} ok"), "{platform}");

        let wrong = if platform == "penny" {
            api.json("PATCH", &path, &json!({"auth": {"token": "another"}})).await.ok(200);
            "the authentication is missing or wrong".to_owned()
        } else {
            let another = format!("whsec_{}", "B".repeat(32));
            let rotation = json!({"secret": another, "overlap_s": 0});
            api.post(&format!("{path}/secret/rotate"), &rotation).await.ok(200);
            "no signature fits: another secret, or the body is not the bytes that came".to_owned()
        };
        let event = publish(&tenant, event_type).await;
        let line = told(&partner).await;
        assert!(line.starts_with(&format!("401 {event} {event_type} ")), "{platform}: {line}");
        assert!(line.ends_with(&wrong), "{platform}: {line}");
    }
}

#[tokio::test]
async fn the_receiver_fails_on_purpose_and_tells_programs() {
    let server = Server::start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{STANDARD_SECRET}").unwrap();
    let file = file.path().to_str().unwrap();
    let (partner, url) = start(&["--json", "--secret-file", file, "--status", "503"]).await;
    let tenant = server.tenant("acme").await;
    let endpoint = tenant.endpoint(json!({"url": url, "secret": STANDARD_SECRET})).await;
    let event = tenant.publish(json!({"type": "card.frozen", "data": 1})).await;
    let mut line: Value = serde_json::from_str(&partner.line().await).unwrap();
    assert!(line["at"].take().is_string());
    let expected = json!({
        "at": null, "what": "delivery", "status": 503, "event": event, "type": "card.frozen", "sequence": 1, "faults": [],
    });
    assert_eq!(line, expected);
    tenant.api.delete(&endpoint.path).await.ok(204);
}

fn proof_of(challenge: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, challenge.as_bytes()).as_ref())
}

#[tokio::test]
async fn abuse_a94_the_receiver_signs_challenges_and_nothing_else() {
    let args = ["--profile", "opencard", "--secret", SECRET, "--bearer", "token"];
    let (partner, _) = start(&args).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, partner.port));
    let ask = async |query: &str, name: &str, token: &str| {
        let api = Api::new(address, token);
        let answer = api.send("GET", &format!("/?{query}"), &[(name, "challenge")], b"").await;
        (answer.status, answer.header("x-verify-token").map(str::to_owned))
    };
    let good = "ABCDEFGHIJabcdefghi7";
    let proven = ask(&format!("a=b&challenge={good}"), "x-event", "token").await;
    assert_eq!(proven, (200, Some(proof_of(good))));
    assert_eq!(told(&partner).await, "200 - challenge ok");
    let form = "what is to be signed is not 20 letters and digits, so it is not signed";
    for (query, name, token, wrong) in [
        ("challenge=ABCDEFGHIJabcdefghi", "x-event", "token", form),
        ("challenge=ABCDEFGHIJabcdefghi78", "x-event", "token", form),
        ("challenge=%7B%22amount%22:1000000%7D%20%20", "x-event", "token", form),
        ("challenge=ABCDEFGHIJabcdefgh%C3%A9", "x-event", "token", form),
        ("challenge=", "x-event", "token", form),
        (
            "challenge=ABCDEFGHIJabcdefghi7",
            "x-other",
            "token",
            "the header X-Event does not say that it is a challenge",
        ),
        ("challenge=ABCDEFGHIJabcdefghi7", "x-event", "other", "the authentication is missing or wrong"),
    ] {
        assert_eq!(ask(query, name, token).await, (400, None), "{query}");
        assert_eq!(told(&partner).await, format!("400 - challenge {wrong}"));
    }
}

#[tokio::test]
async fn the_receiver_says_all_that_is_wrong_with_a_delivery() {
    let (partner, _) = start(&["--profile", "mcards", "--secret", SECRET, "--basic", "u:p"]).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, partner.port));
    let body = r#"{"webhook_event_type":"card\u001b[2J"}"#;
    let signature = proof_of(body);
    let headers =
        [("x-webhook-id", "e-1"), ("x-hmac-signature", &*signature), ("content-type", "text/plain")];
    let answer = Api::new(address, "token").send("PUT", "/", &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 401);
    let expected = "401 e-1 card%1B[2J the header content-type is not application/json; the method is not POST; \
                    the authentication is missing or wrong";
    assert_eq!(told(&partner).await, expected);
    let bare = Api::new(address, "token").send("POST", "/", &[], b"[]").await;
    assert_eq!(bare.status, 401);
    let line = told(&partner).await;
    for fault in [
        "the header X-Hmac-Signature is missing",
        "the header X-Webhook-Id is missing",
        "the body is not JSON of the shape that the profile declares",
    ] {
        assert!(line.contains(fault), "{line}");
    }
}

#[tokio::test]
async fn what_a_receiver_cannot_be_is_a_usage_error() {
    for (args, said) in [
        (&["--listen", "0.0.0.0:0", "--secret", STANDARD_SECRET][..], "loopback only"),
        (&["--profile", "nobody"], "`postrider profile list` shows those that there are"),
        (&["--profile", "opencard"], "deliveries of the profile opencard are signed"),
        (&["--secret", "hush"], "the secret must be whsec_ followed by"),
        (&["--profile", "penny", "--basic", "user"], "--basic must have a colon in it"),
        (&["--profile", "penny", "--header", "a b: c"], "--header must begin with the name of a header"),
    ] {
        let ran = Program::new(&[&["receiver"], args].concat()).run().await;
        assert_eq!(ran.code, 2, "{args:?} {ran:?}");
        assert!(ran.err.contains(said), "{args:?} {ran:?}");
    }
}
