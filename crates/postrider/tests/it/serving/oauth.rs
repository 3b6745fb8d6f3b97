//! Deliveries that authenticate with tokens of an authorization server.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::api::Endpoint;
use crate::harness::{Received, Receiver, Reply, Server, Setup, Tenant, eventually, within};

const SECRET: &str = "hush/planted client+secret";

/// An answer with a token.
fn grant(token: &str, expires_in: u32) -> Reply {
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in});
    Reply::status(200).with("content-type", "application/json").body(body.to_string().as_bytes())
}

/// A token endpoint that gives out `token-1`, `token-2` and so on.
async fn authorization_server(expires_in: u32) -> Receiver {
    let server = Receiver::start().await;
    let mut given = 0;
    server.script(move |_| {
        given += 1;
        grant(&format!("token-{given}"), expires_in)
    });
    server
}

fn client(tokens: &Receiver) -> Value {
    let token_url = tokens.url_of("/token");
    json!({"type": "oauth2", "token_url": token_url, "client_id": "ada", "client_secret": SECRET})
}

async fn endpoint(acme: &Tenant, receiver: &Receiver, tokens: &Receiver, more: Value) -> Endpoint {
    let mut spec = json!({"url": receiver.url(), "auth": client(tokens)});
    more.as_object().unwrap().iter().for_each(|(name, value)| spec[name] = value.clone());
    acme.endpoint(spec).await
}

/// The parameters of a request for a token.
fn parameters(request: &Received) -> Vec<(String, String)> {
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    url::form_urlencoded::parse(&request.message.body).into_owned().collect()
}

/// The last attempt for an event, once there are so many.
async fn attempt(acme: &Tenant, event: &str, number: usize) -> Value {
    eventually(&format!("{event} was attempted {number} times"), async || {
        let delivery = acme.delivery_of(event).await;
        delivery["attempts"].as_array().unwrap().get(number - 1).cloned()
    })
    .await
}

#[tokio::test]
async fn a_hundred_deliveries_at_once_carry_a_token_that_was_fetched_once() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    tokens.script(|_| grant("secret-token", 3_600).after(Duration::from_millis(200)));
    let acme = server.tenant("acme").await;
    let made = endpoint(&acme, &receiver, &tokens, json!({"max_in_flight": 100})).await;
    let events: Vec<Value> = (0..100).map(|n| json!({"tenant": "acme", "type": "a", "data": n})).collect();
    acme.api.publish_text(&json!(events).to_string()).await.ok(202);
    let arrived = receiver.wait_for(100).await;
    assert!(arrived.iter().all(|request| request.header("authorization") == "Bearer secret-token"));
    assert_eq!(tokens.count(), 1);
    let request = &tokens.all()[0];
    assert!(request.message.first_line.starts_with("POST /token "), "{request:?}");
    let expected = [("grant_type", "client_credentials"), ("client_id", "ada"), ("client_secret", SECRET)];
    assert_eq!(parameters(request), expected.map(|(name, value)| (name.into(), value.into())));
    assert!(request.message.header("authorization").is_none());
    // Shown is that there are credentials, and never what they are.
    let shown = acme.read(&made).await["auth"].clone();
    assert_eq!(shown["client_secret_set"], true);
    assert!(shown.get("client_secret").is_none(), "{shown}");
    let delivery = acme.wait_for_status(arrived[0].event(), "succeeded").await;
    assert_eq!(delivery["attempts"][0]["request_headers"]["authorization"], "***");
    for (name, bytes) in server.files() {
        for secret in [SECRET, "secret-token"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} in {name}");
        }
    }
    assert!(!server.log().contains("secret-token") && !server.log().contains(SECRET));
}

#[tokio::test]
async fn credentials_go_into_a_basic_header_where_the_endpoint_says_so_and_a_test_needs_a_token_too() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    let acme = server.tenant("acme").await;
    let mut auth = client(&tokens);
    for (name, value) in [("credentials_in", "basic"), ("scope", "hooks write"), ("audience", "till")] {
        auth[name] = json!(value);
    }
    let made = acme.endpoint(json!({"url": receiver.url(), "auth": auth})).await;
    let tested =
        acme.api.post(&format!("{}/test", made.path), &json!({"type": "card.created"})).await.ok(200);
    assert_eq!((&tested["status_code"], &tested["error"]), (&json!(204), &Value::Null));
    assert_eq!(receiver.wait_for(1).await[0].header("authorization"), "Bearer token-1");
    let request = &tokens.all()[0];
    let sent = STANDARD.decode(request.header("authorization").strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), "ada:hush%2Fplanted+client%2Bsecret");
    let expected = [("grant_type", "client_credentials"), ("scope", "hooks write"), ("audience", "till")];
    assert_eq!(parameters(request), expected.map(|(name, value)| (name.into(), value.into())));
    // A token is that of one version of the endpoint.
    acme.patch(&made, json!({"auth": {"scope": null}})).await;
    acme.publish(json!({})).await;
    assert_eq!(receiver.wait_for(2).await[1].header("authorization"), "Bearer token-2");
    assert!(parameters(&tokens.all()[1]).iter().all(|(name, _)| name != "scope"));
}

#[tokio::test]
async fn a_token_is_fetched_anew_when_its_time_is_over() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(1).await);
    let acme = server.tenant("acme").await;
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    let begun = Instant::now();
    eventually("the second token arrives", async || {
        let event = acme.publish(json!({})).await;
        let arrived = &receiver.wait_for_event(&event, 1).await[0];
        (arrived.header("authorization") == "Bearer token-2").then_some(())
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn a_receiver_that_does_not_take_a_token_gets_another_one_within_the_same_attempt() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    receiver.script(|request| {
        let is_good = request.header("authorization") == "Bearer token-2";
        Reply::status(if is_good { 204 } else { 401 })
    });
    let acme = server.tenant("acme").await;
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    let event = acme.publish(json!({})).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    assert_eq!((delivery["attempts"].as_array().unwrap().len(), tokens.count()), (1, 2));
    let arrived = receiver.of(&event);
    assert_eq!(arrived.len(), 2);
    for name in ["webhook-attempt", "webhook-signature", "webhook-timestamp"] {
        assert_eq!(arrived[0].header(name), arrived[1].header(name), "{name}: it is one attempt");
    }
    // The new token is held.
    acme.publish(json!({})).await;
    receiver.wait_for(3).await;
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn abuse_a89_a_receiver_that_takes_no_token_has_few_fetched() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    receiver.answer(Reply::status(401));
    let acme = server.tenant("acme").await;
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    for n in 0..15 {
        let event = acme.publish(json!({})).await;
        let failed = acme.wait_for_status(&event, "failed").await;
        let attempt = &failed["attempts"][0];
        assert_eq!(
            (&attempt["status_code"], &attempt["error"]["kind"]),
            (&json!(401), &json!("status")),
            "{n}"
        );
    }
    // The first, and three because it was not taken; then each attempt is one request.
    assert_eq!((tokens.count(), receiver.count()), (4, 15 + 3));
}

#[tokio::test]
async fn the_refusal_stands_where_no_other_token_is_to_be_had() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Reply::status(401));
    let mut given = 0;
    tokens.script(move |_| {
        given += 1;
        if given == 1 { grant("t", 60) } else { Reply::status(503) }
    });
    let acme = server.tenant("acme").await;
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    let event = acme.publish(json!({})).await;
    let attempt = attempt(&acme, &event, 1).await;
    assert_eq!((&attempt["status_code"], &attempt["error"]["kind"]), (&json!(401), &json!("status")));
    let detail = attempt["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("answered 401, and there is no token") && detail.contains("503"), "{detail}");
}

#[tokio::test]
async fn abuse_a48_answers_that_give_no_token_fail_the_attempt_and_say_so() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    let acme = server.tenant("acme").await;
    let json = |body: Value| Reply::status(200).body(body.to_string().as_bytes());
    let invalid =
        json!({"error": "invalid_client", "error_description": format!("not {SECRET}")}).to_string();
    let endless = Reply::Raw {
        first: b"HTTP/1.1 200 x\r\ncontent-length: 10737418240\r\n\r\n{\"access_token\":\"".to_vec(),
        then: vec![b'a'; 1 << 16],
        times: 10_000,
    };
    let cases = [
        (Reply::status(503), "answered 503"),
        (Reply::status(302).with("location", &receiver.url()), "answered 302"),
        (Reply::status(401).body(invalid.as_bytes()), "answered 401: invalid_client (not ***)"),
        (Reply::status(200).body(b"<html>no</html>"), "is not a JSON object"),
        (json(json!({"token": "x"})), "without an access_token"),
        (json(json!({"access_token": "a\r\nX-Split: 1"})), "no token"),
        (json(json!({"access_token": "t", "expires_in": 0})), "expired already"),
        (json(json!({"access_token": "t", "expires_in": -1})), "expired already"),
        (json(json!({"access_token": "t".repeat(70_000)})), "is too long"),
        (endless, "is too long"),
        (Reply::Reset, "no token: the receiver"),
    ];
    for (reply, said) in cases {
        tokens.answer(reply);
        let made = endpoint(&acme, &receiver, &tokens, json!({})).await;
        let event = acme.publish(json!({})).await;
        let attempt = attempt(&acme, &event, 1).await;
        let detail = attempt["error"]["detail"].as_str().unwrap_or_else(|| panic!("{said}: {attempt}"));
        assert_eq!(attempt["error"]["kind"], "oauth", "{said}: {attempt}");
        assert!(detail.contains(said) && !detail.contains(SECRET), "{said}: {detail}");
        assert_eq!((&attempt["status_code"], receiver.count()), (&Value::Null, 0), "{said}");
        acme.api.delete(&made.path).await.ok(204);
    }
    assert!(tokens.written() < 100 << 20, "{}", tokens.written());
    // Without an end it is used for some minutes.
    tokens.answer(json(json!({"access_token": "t"})));
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    acme.publish(json!({})).await;
    assert_eq!(receiver.wait_for(1).await[0].header("authorization"), "Bearer t");
}

#[tokio::test]
async fn abuse_a48_a_token_endpoint_that_is_down_or_hangs_is_asked_once_for_many_and_deliveries_go_on_when_it_is_back()
 {
    // Tripped by no failure that is not counted, and probed soon.
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[0.2, 0.2, 60]").start().await;
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    tokens.answer(Reply::Hang);
    let acme = server.tenant("acme").await;
    let made = endpoint(&acme, &receiver, &tokens, json!({"timeout_ms": 300, "max_in_flight": 50})).await;
    let events: Vec<Value> =
        (0..50).map(|n| json!({"tenant": "acme", "type": "a", "id": format!("e{n}"), "data": n})).collect();
    acme.api.publish_text(&json!(events).to_string()).await.ok(202);
    acme.wait_for_state(&made, "tripped").await;
    let attempt = attempt(&acme, "e0", 1).await;
    assert_eq!(attempt["error"]["kind"], "oauth", "{attempt}");
    assert_eq!(tokens.most_in_flight(), 1, "one at a time");
    assert!(tokens.count() <= 5, "{} fetches for 50 deliveries", tokens.count());
    assert_eq!(receiver.count(), 0);
    tokens.script(|_| grant("t", 3_600));
    within(Duration::from_secs(30), "all arrive", async || (receiver.count() >= 50).then_some(())).await;
    assert_eq!(acme.wait_for_state(&made, "active").await["state"], "active");
}

#[tokio::test]
async fn abuse_a35_a_token_url_passes_the_same_guard_when_it_is_registered_and_when_it_is_connected_to() {
    let mut server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    let acme = server.tenant("acme").await;
    endpoint(&acme, &receiver, &tokens, json!({})).await;
    let spec = |token_url: &str| {
        let mut auth = client(&tokens);
        auth["token_url"] = json!(token_url);
        json!({"url": "https://partner.example/", "auth": auth})
    };
    for token_url in [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://user:pass@partner.example/",
        "https://partner.example/#a",
        "https://partner.example:22/",
        "ftp://partner.example/",
    ] {
        let refused = acme.api.post(&acme.path("endpoints"), &spec(token_url)).await;
        assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/auth/token_url"], "{token_url}");
    }
    // Loopback was allowed when it was registered.
    server.stop().await;
    server.set_up(Setup::default().for_production());
    server.start_again().await;
    let acme = acme.at(server.api());
    let refused = acme.api.post(&acme.path("endpoints"), &spec(&tokens.url())).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/auth/token_url"]);
    let event = acme.publish(json!({})).await;
    let attempt = attempt(&acme, &event, 1).await;
    assert_eq!(attempt["error"]["kind"], "oauth", "{attempt}");
    assert_eq!((tokens.connections(), receiver.connections()), (0, 0));
}

#[tokio::test]
async fn abuse_a90_two_tenants_with_one_client_share_no_token() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    let (acme, umbrella) = (server.tenant("acme").await, server.tenant("umbrella").await);
    let mut sent = Vec::new();
    for tenant in [&acme, &umbrella] {
        endpoint(tenant, &receiver, &tokens, json!({})).await;
        let event = tenant.publish(json!({})).await;
        sent.push(receiver.wait_for_event(&event, 1).await[0].header("authorization").to_owned());
    }
    assert_eq!(sent, ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn abuse_a92_another_token_url_needs_the_client_secret_again() {
    let server = Server::start().await;
    let (receiver, tokens) = (Receiver::start().await, authorization_server(3_600).await);
    let thief = authorization_server(3_600).await;
    let acme = server.tenant("acme").await;
    let made = endpoint(&acme, &receiver, &tokens, json!({})).await;
    let moved = json!({"auth": {"token_url": thief.url()}});
    let refused = acme.api.json("PATCH", &made.path, &moved).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/auth/client_secret"]);
    let elsewhere = acme.api.json("PATCH", &made.path, &json!({"url": thief.url()})).await;
    assert_eq!(elsewhere.pointers().into_iter().collect::<Vec<_>>(), ["/auth"]);
    acme.publish(json!({})).await;
    receiver.wait_for(1).await;
    assert_eq!(thief.connections(), 0);
    acme.patch(&made, json!({"auth": {"token_url": thief.url(), "client_secret": "another"}})).await;
    acme.publish(json!({})).await;
    receiver.wait_for(2).await;
    assert!(parameters(&thief.all()[0]).contains(&("client_secret".into(), "another".into())));
}
