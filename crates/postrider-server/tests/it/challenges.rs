//! Endpoints that have to prove whose they are before anything is delivered to them.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use postrider_core::challenge::is_challenge;
use postrider_core::profile::{Profile, Profiles};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fixture::{ADMIN, Kind, Server, answering, eventually};

const ENDPOINTS: &str = "/v1/tenants/a/endpoints";

/// A profile whose webhooks are those of `standard`, and whose endpoints have to prove whose they are if `asks`.
fn profiles(asks: bool) -> Arc<Profiles> {
    let challenge = r#"
        [challenge]
        method = "GET"
        query = "challenge"
        characters = 20
        headers = { X-Event = "challenge" }
        proof = { header = "X-Verify-Token", encoding = "hex" }
        retry_for_s = 600
    "#;
    let standard = Profile::standard().declaration();
    let declaration = format!("catalog = 'open'\n{standard}{}", if asks { challenge } else { "" });
    let mut profiles = Profiles::default();
    profiles.add(Profile::parse("wary".parse().unwrap(), &declaration).unwrap()).unwrap();
    Arc::new(profiles)
}

/// A server that asks every endpoint.
async fn asking() -> Server {
    let server = Server::start_as(Kind { profiles: profiles(true), ..Kind::default() }).await;
    server.operator("PUT", "/v1/tenants/a", r#"{"profile":"wary"}"#, 201).await;
    server
}

/// What a partner knows of its secret.
type Knows = Arc<Mutex<Option<String>>>;

/// A partner that answers challenges once it has been told its secret, and takes deliveries.
async fn partner() -> (String, Knows, UnboundedReceiver<String>) {
    let knows = Knows::default();
    let secret = Arc::clone(&knows);
    let (url, told) = answering(move |request| {
        let proof = proof(request, secret.lock().as_deref());
        format!("HTTP/1.1 200 OK\r\nX-Verify-Token: {proof}\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    (url, knows, told)
}

/// As the partner's documentation says: the last parameter, if it is one that may be answered.
fn proof(request: &str, secret: Option<&str>) -> String {
    let Some((secret, true)) = secret.zip(Some(request.starts_with("GET "))) else { return "?".into() };
    let path = request.split(' ').nth(1).unwrap();
    let challenge = path.rsplit_once("challenge=").unwrap().1;
    assert!(is_challenge(challenge, 20), "{path}");
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), challenge.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn secret_of(server: &Server, path: &str) -> String {
    let secret = server.operator("GET", &format!("{path}/secret"), "", 200).await;
    secret["secret"].as_str().unwrap().to_owned()
}

async fn wait_for(server: &Server, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(|| async {
        let read = server.operator("GET", path, "", 200).await;
        fits(&read).then_some(read)
    })
    .await
}

async fn publish(server: &Server) -> String {
    let event = json!({"tenant": "a", "type": "card.used", "data": 1}).to_string();
    let accepted = server.operator("POST", "/v1/events", event, 202).await;
    accepted["id"].as_str().unwrap().to_owned()
}

/// The next delivery at a partner, whatever it is asked before.
async fn delivered(told: &mut UnboundedReceiver<String>) -> String {
    loop {
        let request = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
        if request.starts_with("post ") {
            return request;
        }
    }
}

async fn delivery_of(server: &Server, event: &str) -> Value {
    let log = server.operator("GET", &format!("/v1/tenants/a/deliveries?event={event}"), "", 200).await;
    log["data"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a37_an_endpoint_is_asked_until_it_proves_itself_and_gets_nothing_before() {
    let server = asking().await;
    let (url, knows, mut told) = partner().await;
    let spec = json!({
        "url": format!("{url}?challenge=mine&b=%20"), "headers": {"X-App": "7"}, "auth": {"type": "bearer", "token": "hush"},
    });
    let made = server.operator("POST", ENDPOINTS, spec.to_string(), 201).await;
    assert!(told.try_recv().is_err(), "not before the answer");
    assert_eq!((&made["state"], &made["verified"]), (&json!("unverified"), &json!(false)));
    assert_eq!((&made["challenge"]["last_at"], &made["challenge"]["error"]), (&Value::Null, &Value::Null));
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let early = publish(&server).await;
    let skipped = delivery_of(&server, &early).await;
    assert_eq!((&skipped["status"], &skipped["reason"]), (&json!("skipped"), &json!("unverified")));
    let asked = told.recv().await.unwrap();
    assert!(asked.starts_with("get /hook?challenge=mine&b=%20&challenge="), "{asked}");
    for header in ["x-event: challenge", "x-app: 7", "authorization: bearer hush"] {
        assert!(asked.contains(header), "{header}: {asked}");
    }
    assert!(!asked.contains("content-type") && !asked.contains("webhook-"), "{asked}");
    let failed = wait_for(&server, &path, |read| !read["challenge"]["error"].is_null()).await;
    let error = failed["challenge"]["error"].as_str().unwrap();
    assert!(error.contains("X-Verify-Token is not the HMAC-SHA256"), "{error}");
    assert!(!failed["challenge"]["next_at"].is_null() && failed["state"] == "unverified", "{failed}");
    // The partner has its secret only now; nobody has to ask again.
    *knows.lock() = Some(secret_of(&server, &path).await);
    let active = wait_for(&server, &path, |read| read["state"] == "active").await;
    assert_eq!((&active["verified"], &active["challenge"]["error"]), (&json!(true), &Value::Null));
    assert_eq!(active["challenge"]["next_at"], Value::Null);
    // What was skipped is had by asking for it.
    let id = skipped["id"].as_str().unwrap();
    server.operator("POST", &format!("/v1/tenants/a/deliveries/{id}/retry"), "", 202).await;
    assert!(delivered(&mut told).await.contains(&early.to_lowercase()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_url_has_to_be_proven_anew_and_no_other_way_leads_there() {
    let server = asking().await;
    let (url, knows, _told) = partner().await;
    let made = server.operator("POST", ENDPOINTS, json!({"url": url}).to_string(), 201).await;
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let secret = secret_of(&server, &path).await;
    *knows.lock() = Some(secret.clone());
    wait_for(&server, &path, |read| read["state"] == "active").await;
    // A change of anything else needs no proof.
    let renamed = server.operator("PATCH", &path, json!({"name": "x"}).to_string(), 200).await;
    assert_eq!(renamed["state"], "active");
    let (other, other_knows, mut told) = partner().await;
    let moved = server.operator("PATCH", &path, json!({"url": other}).to_string(), 200).await;
    assert_eq!((&moved["state"], &moved["verified"]), (&json!("unverified"), &json!(false)));
    let event = publish(&server).await;
    let skipped = delivery_of(&server, &event).await;
    let refused = async |method: &str, path: &str, body: Value| {
        let answer = server.call(ADMIN, method, path, body.to_string()).await;
        assert_eq!(answer.status, 409, "{path}: {}", answer.json());
        assert!(answer.json()["detail"].as_str().unwrap().contains("challenge"), "{}", answer.json());
    };
    refused("POST", &format!("{path}/test"), json!({"type": "card.used"})).await;
    refused("POST", &format!("{path}/replays"), json!({"since": "2020-01-01T00:00:00Z"})).await;
    let retry = format!("/v1/tenants/a/deliveries/{}/retry", skipped["id"].as_str().unwrap());
    let answer = server.call(ADMIN, "POST", &retry, "").await;
    assert_eq!(answer.status, 409, "{}", answer.json());
    let matches =
        server.operator("POST", &format!("{ENDPOINTS}/match"), json!({"type": "a"}).to_string(), 200).await;
    assert!(matches["data"][0]["reason"].as_str().unwrap().ends_with("skipped: unverified"), "{matches}");
    // Asked for by hand it is at once; what fails says so.
    let asked = server.operator("POST", &format!("{path}/challenge"), "", 200).await;
    assert_eq!(asked["state"], "unverified");
    *other_knows.lock() = Some(secret);
    let asked = server.operator("POST", &format!("{path}/challenge"), "", 200).await;
    assert_eq!((&asked["state"], &asked["challenge"]["error"]), (&json!("active"), &Value::Null));
    // What is proven stays so, whatever becomes of a challenge that somebody asks for.
    *other_knows.lock() = None;
    let asked = server.operator("POST", &format!("{path}/challenge"), "", 200).await;
    assert_eq!((&asked["state"], asked["challenge"]["error"].is_null()), (&json!("active"), false));
    while let Ok(request) = told.try_recv() {
        assert!(request.starts_with("get "), "{request}");
    }
    let event = publish(&server).await;
    assert!(delivered(&mut told).await.contains(&event.to_lowercase()));
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a35_a_challenge_goes_on_after_a_restart_and_only_where_the_guard_allows() {
    let server = asking().await;
    let (url, knows, _told) = partner().await;
    let (silent, _, mut at_silent) = partner().await;
    let made = async |url: &str| {
        let made = server.operator("POST", ENDPOINTS, json!({"url": url}).to_string(), 201).await;
        format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap())
    };
    let (proven, open) = (made(&url).await, made(&silent).await);
    *knows.lock() = Some(secret_of(&server, &proven).await);
    wait_for(&server, &proven, |read| read["state"] == "active").await;
    let before = wait_for(&server, &open, |read| !read["challenge"]["last_at"].is_null()).await;
    let server = server.restart().await;
    assert_eq!(server.operator("GET", &proven, "", 200).await["state"], "active");
    let after =
        wait_for(&server, &open, |read| read["challenge"]["last_at"] != before["challenge"]["last_at"]).await;
    assert_eq!((&after["state"], after["challenge"]["error"].is_null()), (&json!("unverified"), false));
    // Loopback is not allowed any more: nothing is asked there.
    let kind = Kind { is_strict: true, profiles: profiles(true), ..Kind::default() };
    let server = server.restart_as(kind).await;
    while at_silent.try_recv().is_ok() {}
    let refused = server.operator("POST", &format!("{open}/challenge"), "", 200).await;
    let error = refused["challenge"]["error"].as_str().unwrap();
    assert!(error.contains("permitted") || error.contains("address"), "{error}");
    assert!(at_silent.try_recv().is_err());
    // Where the profile does not ask any more, everything is delivered.
    let server = server.restart_as(Kind { profiles: profiles(false), ..Kind::default() }).await;
    let read = server.operator("GET", &open, "", 200).await;
    assert_eq!((&read["state"], &read["verified"]), (&json!("active"), &json!(true)));
    let answer = server.call(ADMIN, "POST", &format!("{open}/challenge"), "").await;
    assert_eq!(answer.status, 409, "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a89_challenges_by_hand_are_bounded_as_tests_are() {
    let server = asking().await;
    let (url, _, _told) = partner().await;
    let made = server.operator("POST", ENDPOINTS, json!({"url": url}).to_string(), 201).await;
    let path = format!("{ENDPOINTS}/{}/challenge", made["id"].as_str().unwrap());
    let mut answers = Vec::new();
    for _ in 0..20 {
        let answer = server.call(ADMIN, "POST", &path, "").await;
        answers.push((answer.status, !answer.header("retry-after").is_empty()));
    }
    assert_eq!(answers[0], (200, false));
    assert!(answers.contains(&(429, true)), "{answers:?}");
    let read_only = server.token("a", &["webhooks-read"]).await;
    assert_eq!(server.call(&read_only, "POST", &path, "").await.status, 403);
}
