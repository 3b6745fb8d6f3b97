//! CleverCards' API, as its partners know it.

use serde_json::{Value, json};

use super::{body, credential, delivery, header, hex_hmac, start, tenant};
use crate::fixture::{ADMIN, Answer, Server, receiver};

const WEBHOOKS: &str = "/clevercards/webhooks";
const V1: &str = "/v1/tenants/acme:one/endpoints";
const NOBODY: &str = "http://127.0.0.1:7999/";

/// What CleverCards' documentation says, and what stands for what it promises without a name.
const EVENTS: [&str; 11] = [
    "CARD_ACCOUNT_FUNDED",
    "CARD_ACCOUNT_UNFUNDED",
    "CARD_ACTIVATED",
    "CARD_CREATED",
    "CARD_FREEZE_REQUESTED",
    "CARD_STATUS_CHANGED",
    "CARD_TOKEN_CREATED",
    "CARD_TOKEN_DELIVERED",
    "CARD_TOKEN_DRAFT_CANCELLED",
    "CARD_TOKEN_DRAFT_CREATED",
    "CARDHOLDER_STATUS_CHANGED",
];

/// A partner that is logged in for the company accounts of `acme`.
struct Partner {
    server: Server,
    token: String,
    api_key: String,
}

impl Partner {
    async fn new(surface: Option<&str>) -> Self {
        let server = start(surface).await;
        tenant(&server, "acme:one", "clevercards").await;
        let login = credential(&server, "login", "acme:*", &["webhooks-read", "webhooks-write"]).await;
        let api_key = login["api_key"].as_str().unwrap().to_owned();
        let answer = log_in(&server, &login, &api_key).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
        assert_eq!(answer.json().as_object().unwrap().len(), 1);
        let token = answer.json()["accessToken"].as_str().unwrap().to_owned();
        Self { server, token, api_key }
    }

    async fn as_account(&self, account: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers =
            [("authorization", &*self.token), ("x-api-key", &self.api_key), ("companyaccountid", account)];
        self.server.call_with("", method, path, body, &headers).await
    }

    /// Calls, expects a status, and where that is an error its form.
    async fn call(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let answer = self.as_account("one", method, path, &body).await;
        let told = String::from_utf8_lossy(&answer.bytes);
        assert_eq!(answer.status, status, "{method} {path} {body}: {told}");
        if status >= 400 {
            assert!(answer.json()["message"].is_string() && answer.json()["errors"].is_array(), "{told}");
        }
        answer.json()
    }

    /// Publishes an event whose data stays as it is written here.
    async fn publish(&self, event_type: &str, data: &str) -> Value {
        let event = format!(r#"{{"tenant":"acme:one","type":"{event_type}","data":{data}}}"#);
        self.server.operator("POST", "/v1/events", event, 202).await
    }
}

async fn log_in(server: &Server, login: &Value, api_key: &str) -> Answer {
    let body = json!({"username": login["username"], "password": login["password"], "remember": true});
    server.call_with("", "POST", "/clevercards/login", body.to_string(), &[("x-api-key", api_key)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_logs_in_registers_and_gets_signed_deliveries() {
    let partner = Partner::new(None).await;
    let (url, mut told) = receiver(200).await;
    let spec = json!({
        "url": url, "eventTypes": ["CARD_TOKEN_CREATED", "CARD_FREEZE_REQUESTED"], "whatever": 1,
        "securityScheme": {"type": "API_KEY", "headerName": "X-Key", "apiKey": "hush"},
    });
    let made = partner.call("POST", WEBHOOKS, spec, 201).await;
    let (id, secret) =
        (made["id"].as_str().unwrap().to_owned(), made["signingSecret"].as_str().unwrap().to_owned());
    assert_eq!((id.len(), id.split('-').count(), secret.len()), (36, 5, 60));
    assert_eq!(made["securityScheme"], json!({"type": "API_KEY", "headerName": "X-Key"}));
    assert_eq!(
        (&made["active"], &made["eventTypes"]),
        (&json!(true), &json!(["CARD_TOKEN_CREATED", "CARD_FREEZE_REQUESTED"]))
    );
    let data = r#"{"cardTokenId": "t-1",  "amount": 1.50}"#;
    partner.publish("CARD_ACCOUNT_FUNDED", r#"{"not": "wanted"}"#).await;
    let event = partner.publish("CARD_TOKEN_CREATED", data).await;
    let came = delivery(&mut told).await;
    let sent = body(&came);
    let event_id = event["id"].as_str().unwrap();
    let begin = format!(r#"{{"eventId":"{event_id}","eventType":"CARD_TOKEN_CREATED","occurredAt":""#);
    assert!(sent.starts_with(&begin) && sent.ends_with(&format!(r#"","data":{data}}}"#)), "{sent}");
    assert_eq!(header(&came, "x-signature"), Some(&*hex_hmac(&secret, sent)));
    assert_eq!(header(&came, "idempotency-key"), Some(event_id));
    assert_eq!(
        (header(&came, "x-key"), header(&came, "content-type")),
        (Some("hush"), Some("application/json"))
    );
    // Neither list nor reading shows secrets; the list is an array.
    let path = format!("{WEBHOOKS}/{id}");
    let list = partner.call("GET", WEBHOOKS, Value::Null, 200).await;
    let read = partner.call("GET", &format!("{WEBHOOKS}/{}", id.to_uppercase()), Value::Null, 200).await;
    assert_eq!(list, json!([read]));
    assert!(read.get("signingSecret").is_none() && !read.to_string().contains("hush"));
    // As it was read, paused: what comes is kept.
    let mut put = read.clone();
    put["active"] = json!(false);
    assert_eq!(partner.call("PUT", &path, put.clone(), 200).await["active"], false);
    let v1 = partner.server.operator("GET", V1, "", 200).await;
    assert_eq!((&v1["data"][0]["state"], &v1["data"][0]["enabled"]), (&json!("paused"), &json!(false)));
    partner.publish("CARD_FREEZE_REQUESTED", r#"{"kept":1}"#).await;
    put["active"] = json!(true);
    partner.call("PUT", &path, put, 200).await;
    let came = delivery(&mut told).await;
    assert!(body(&came).ends_with(r#""data":{"kept":1}}"#), "{came}");
    assert_eq!(
        (header(&came, "x-key"), header(&came, "x-signature")),
        (Some("hush"), Some(&*hex_hmac(&secret, body(&came))))
    );
    partner.call("DELETE", &path, Value::Null, 204).await;
    for method in ["GET", "DELETE"] {
        partner.call(method, &path, Value::Null, 404).await;
    }
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_security_scheme_is_sent_and_changed_without_its_secret() {
    let partner = Partner::new(None).await;
    let (url, mut told) = receiver(200).await;
    let spec = json!({"url": url, "eventTypes": ["CARD_CREATED"]});
    let made = partner.call("POST", WEBHOOKS, spec.clone(), 201).await;
    assert_eq!(made["securityScheme"], json!({"type": "NONE"}));
    let path = format!("{WEBHOOKS}/{}", made["id"].as_str().unwrap());
    // In small letters, as the receiver tells of headers.
    for (scheme, shown, name, value) in [
        (
            json!({"type": "BEARER", "token": "tok"}),
            json!({"type": "BEARER"}),
            "authorization",
            Some("bearer tok"),
        ),
        (json!({"type": "BEARER"}), json!({"type": "BEARER"}), "authorization", Some("bearer tok")),
        (
            json!({"type": "BASIC", "username": "u", "password": "p:w"}),
            json!({"type": "BASIC", "username": "u"}),
            "authorization",
            Some("basic dtpwonc="),
        ),
        (
            json!({"type": "BASIC", "username": "u"}),
            json!({"type": "BASIC", "username": "u"}),
            "authorization",
            Some("basic dtpwonc="),
        ),
        (
            json!({"type": "BASIC", "username": "u", "password": null}),
            json!({"type": "BASIC", "username": "u"}),
            "authorization",
            Some("basic dto="),
        ),
        (
            json!({"type": "BASIC", "credentials": "dTpwOnc="}),
            json!({"type": "BASIC", "username": "u"}),
            "authorization",
            Some("basic dtpwonc="),
        ),
        (
            json!({"type": "API_KEY", "headerName": "X-K", "apiKey": "v"}),
            json!({"type": "API_KEY", "headerName": "X-K"}),
            "x-k",
            Some("v"),
        ),
        (
            json!({"type": "API_KEY", "headerName": "X-L"}),
            json!({"type": "API_KEY", "headerName": "X-L"}),
            "x-l",
            Some("v"),
        ),
        (json!({"type": "NONE"}), json!({"type": "NONE"}), "x-l", None),
        (Value::Null, json!({"type": "NONE"}), "authorization", None),
    ] {
        let mut put = spec.clone();
        put["securityScheme"] = scheme.clone();
        assert_eq!(partner.call("PUT", &path, put, 200).await["securityScheme"], shown, "{scheme}");
        // Nothing is said of it, so it stays.
        assert_eq!(partner.call("PUT", &path, spec.clone(), 200).await["securityScheme"], shown, "{scheme}");
        partner.publish("CARD_CREATED", "{}").await;
        assert_eq!(header(&delivery(&mut told).await, name), value, "{scheme}");
    }
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_its_own_names() {
    let partner = Partner::new(None).await;
    let scheme =
        |scheme: Value| json!({"url": NOBODY, "eventTypes": ["CARD_CREATED"], "securityScheme": scheme});
    for (spec, fields) in [
        (json!({}), &["url", "eventTypes"][..]),
        (json!({"url": 7, "eventTypes": "CARD_CREATED"}), &["url", "eventTypes"]),
        (json!({"url": "ftp://x", "eventTypes": ["CARD_CREATED"], "active": "yes"}), &["active", "url"]),
        (
            json!({"url": NOBODY, "eventTypes": ["CARD_CREATED", "CARD_LOST", "*"]}),
            &["eventTypes/1", "eventTypes/2"],
        ),
        (scheme(json!("BASIC")), &["securityScheme"]),
        (scheme(json!({})), &["securityScheme/type"]),
        (scheme(json!({"type": "DIGEST"})), &["securityScheme/type"]),
        (scheme(json!({"type": "API_KEY"})), &["securityScheme/headerName", "securityScheme/apiKey"]),
        (
            scheme(json!({"type": "API_KEY", "headerName": "Host", "apiKey": "v"})),
            &["securityScheme/headerName"],
        ),
        (scheme(json!({"type": "BEARER", "token": ""})), &["securityScheme/token"]),
        (scheme(json!({"type": "BASIC"})), &["securityScheme/username", "securityScheme/password"]),
        (scheme(json!({"type": "BASIC", "credentials": "not base64"})), &["securityScheme/credentials"]),
        (scheme(json!({"type": "BASIC", "credentials": "bm9jb2xvbg=="})), &["securityScheme/credentials"]),
        (
            scheme(json!({"type": "BASIC", "credentials": "dTpwOnc=", "username": "v"})),
            &["securityScheme/credentials"],
        ),
    ] {
        let told = partner.call("POST", WEBHOOKS, spec.clone(), 422).await;
        let told: Vec<_> =
            told["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
        assert_eq!(told, fields, "{spec}");
    }
    for (text, status) in [("{", 400), ("[]", 422)] {
        let answer = partner.server.call(ADMIN, "POST", WEBHOOKS, text).await;
        assert_eq!(answer.status, 400, "{text}: which account is meant is not said");
        let headers = [("companyaccountid", "acme:one")];
        let answer = partner.server.call_with(ADMIN, "POST", WEBHOOKS, text, &headers).await;
        assert_eq!((answer.status, answer.json()["message"].is_string()), (status, true), "{text}");
    }
    partner.call("PUT", &format!("{WEBHOOKS}/x"), json!({}), 404).await;
    partner.call("PATCH", WEBHOOKS, json!({}), 405).await;
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_of_event_are_listed() {
    let partner = Partner::new(None).await;
    let list = partner.call("GET", &format!("{WEBHOOKS}/events"), Value::Null, 200).await;
    let mut names: Vec<_> =
        list.as_array().unwrap().iter().map(|one| one["eventType"].as_str().unwrap()).collect();
    names.sort_unstable();
    let mut expected = EVENTS;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(list.as_array().unwrap().iter().all(|one| one["description"].is_string()));
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a77_credentials_that_do_not_belong_together_are_refused() {
    let partner = Partner::new(None).await;
    let server = &partner.server;
    let (token, key) = (&*partner.token, &*partner.api_key);
    tenant(server, "acme:two", "clevercards").await;
    tenant(server, "acme:native", "standard").await;
    let own = server.token("acme:one", &["webhooks-read"]).await;
    let reader = server.token("acme:two", &["webhooks-write"]).await;
    let other = credential(server, "login", "acme:*", &["webhooks-read"]).await;
    let other_key = other["api_key"].as_str().unwrap();
    let bearer = format!("Bearer {token}");
    for (what, authorization, api_key, account, status) in [
        ("bare", token, Some(key), Some("one"), 200),
        ("as bearer", &bearer, Some(key), Some("one"), 200),
        ("another of its accounts", token, Some(key), Some("two"), 200),
        ("no key", token, None, Some("one"), 401),
        ("another's key", token, Some(other_key), Some("one"), 401),
        ("no token", "", Some(key), Some("one"), 401),
        ("a key for a token", key, Some(key), Some("one"), 401),
        ("another scheme", "Basic dTpw", Some(key), Some("one"), 401),
        ("no account", token, Some(key), None, 400),
        ("no such account", token, Some(key), Some("none"), 404),
        ("an account of another profile", token, Some(key), Some("native"), 404),
        ("our token, bare", &own, None, None, 200),
        ("our token with its account", &own, None, Some("one"), 200),
        ("our token with its tenant", &own, None, Some("acme:one"), 200),
        ("our token as key too", &own, Some(&own), None, 200),
        ("our token with a foreign key", &own, Some(key), None, 401),
        ("our token with another's account", &own, None, Some("two"), 404),
        ("without the scope", &reader, None, None, 403),
    ] {
        let mut headers = Vec::new();
        let further = [("x-api-key", api_key), ("companyaccountid", account)];
        headers.extend(Some(("authorization", authorization)).filter(|(_, value)| !value.is_empty()));
        headers.extend(further.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let answer = server.call_with("", "GET", WEBHOOKS, "", &headers).await;
        assert_eq!(answer.status, status, "{what}: {}", String::from_utf8_lossy(&answer.bytes));
    }
    // What one account has is not there for another.
    let spec = json!({"url": NOBODY, "eventTypes": ["CARD_CREATED"]});
    let made = partner.call("POST", WEBHOOKS, spec.clone(), 201).await;
    let path = format!("{WEBHOOKS}/{}", made["id"].as_str().unwrap());
    for (method, body) in [("GET", Value::Null), ("PUT", spec), ("DELETE", Value::Null)] {
        assert_eq!(partner.as_account("two", method, &path, &body).await.status, 404);
    }
    assert_eq!(partner.as_account("two", "GET", WEBHOOKS, &Value::Null).await.json(), json!([]));
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_needs_all_three() {
    let partner = Partner::new(None).await;
    let server = &partner.server;
    let login = credential(server, "login", "acme:*", &["webhooks-read"]).await;
    let api_key = login["api_key"].as_str().unwrap();
    for (field, value) in [("username", "x"), ("password", "x")] {
        let mut wrong = login.clone();
        wrong[field] = json!(value);
        let answer = log_in(server, &wrong, api_key).await;
        assert_eq!((answer.status, answer.json()["message"].is_string()), (401, true), "{field}");
    }
    assert_eq!(log_in(server, &login, &partner.api_key).await.status, 401);
    let body = json!({"username": login["username"], "password": login["password"]}).to_string();
    assert_eq!(server.call("", "POST", "/clevercards/login", body).await.status, 401);
    let answer = server.call("", "POST", "/clevercards/login", r#"{"username":7}"#).await;
    assert_eq!((answer.status, answer.json()["errors"].as_array().unwrap().len()), (422, 2));
    assert_eq!(log_in(server, &login, api_key).await.status, 200);
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_form_cannot_say_is_shown_and_kept() {
    let partner = Partner::new(None).await;
    let oauth = json!({"type": "oauth2", "token_url": "http://127.0.0.1:7999/t", "client_id": "c", "client_secret": "s"});
    for (id, spec) in [
        ("a", json!({"url": NOBODY})),
        ("b", json!({"url": NOBODY, "event_types": ["CARD_CREATED"], "profile": "standard"})),
        ("c", json!({"url": NOBODY, "event_types": ["CARD_CREATED"], "auth": oauth})),
    ] {
        partner.server.operator("PUT", &format!("{V1}/{id}"), spec.to_string(), 201).await;
    }
    let list = partner.call("GET", WEBHOOKS, Value::Null, 200).await;
    for one in list.as_array().unwrap() {
        assert!(one["readOnly"].is_string(), "{one}");
        let path = format!("{WEBHOOKS}/{}", one["id"].as_str().unwrap());
        partner.call("PUT", &path, json!({"url": NOBODY, "eventTypes": ["CARD_CREATED"]}), 409).await;
        partner.call("DELETE", &path, Value::Null, 204).await;
    }
    assert_eq!(list.as_array().unwrap().len(), 3);
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a92_a_webhook_that_moves_keeps_its_credentials_and_the_operator_is_told() {
    let partner = Partner::new(None).await;
    let (url, mut told) = receiver(200).await;
    let spec = |url: &str| json!({"url": url, "eventTypes": ["CARD_CREATED"]});
    let mut first = spec(NOBODY);
    first["securityScheme"] = json!({"type": "BEARER", "token": "tok"});
    let made = partner.call("POST", WEBHOOKS, first, 201).await;
    let path = format!("{WEBHOOKS}/{}", made["id"].as_str().unwrap());
    partner.call("PUT", &path, spec(&url), 200).await;
    partner.publish("CARD_CREATED", "{}").await;
    assert_eq!(header(&delivery(&mut told).await, "authorization"), Some("bearer tok"));
    let moved =
        partner.server.operator("GET", "/v1/tenants/_operator/events?type=endpoint.moved", "", 200).await;
    assert_eq!(moved["data"].as_array().unwrap().len(), 1, "{moved}");
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_under_its_name_and_at_the_root() {
    let partner = Partner::new(Some("clevercards")).await;
    let spec = json!({"url": NOBODY, "eventTypes": ["CARD_CREATED"]});
    let made = partner.call("POST", "/webhooks", spec, 201).await;
    let id = made["id"].as_str().unwrap();
    partner.call("GET", &format!("{WEBHOOKS}/{id}"), Value::Null, 200).await;
    partner.call("GET", &format!("/webhooks/{id}"), Value::Null, 200).await;
    partner.call("GET", "/webhooks/events", Value::Null, 200).await;
    partner.server.operator("GET", V1, "", 200).await;
    partner.server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_token_of_a_login_is_worth_nothing_without_its_api_key_anywhere() {
    let server = super::start(None).await;
    super::tenant(&server, "cc:1", "clevercards").await;
    let login = super::credential(&server, "login", "cc:1", &["webhooks-read"]).await;
    let api_key = login["api_key"].as_str().unwrap();
    let session = log_in(&server, &login, api_key).await.json();
    let token = session["accessToken"].as_str().unwrap();
    let list = async |headers: &[(&str, &str)]| {
        server.call_with(token, "GET", "/v1/tenants/cc:1/endpoints", "", headers).await.status
    };
    assert_eq!(list(&[]).await, 401);
    assert_eq!(list(&[("x-api-key", "another")]).await, 401);
    assert_eq!(list(&[("x-api-key", api_key)]).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_sent_again_under_the_same_key() {
    let partner = Partner::new(None).await;
    let (url, mut told) = receiver(500).await;
    partner.call("POST", WEBHOOKS, json!({"url": url, "eventTypes": ["CARD_CREATED"]}), 201).await;
    let event = partner.publish("CARD_CREATED", "{}").await;
    let (first, again) = (delivery(&mut told).await, delivery(&mut told).await);
    assert_eq!(body(&first), body(&again));
    for came in [&first, &again] {
        assert_eq!(header(came, "idempotency-key"), event["id"].as_str());
    }
    partner.server.shut_down().await;
}
