//! OpenCard's API, as its partners know it.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{body, credential, delivery, header, hex_hmac, request, start, start_with, tenant};
use crate::fixture::{ADMIN, Answer, Server, answering, eventually};

const WEBHOOKS: &str = "/opencard/accounts/acc/organizations/org/webhooks";
const V1: &str = "/v1/tenants/acc:org/endpoints";
const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

/// What OpenCard's documentation says, independently of the table in the code.
const EVENTS: [(&str, &str); 16] = [
    ("card_transaction_authorized", "card.transaction.authorized"),
    ("card_transaction_cleared", "card.transaction.cleared"),
    ("card_transaction_deleted", "card.transaction.deleted"),
    ("card_transaction_invoiced", "card.transaction.invoiced"),
    ("card_holder_created", "card_holder.created"),
    ("card_holder_identified", "card_holder.identified"),
    ("card_holder_signed_pdpc", "card_holder.signed.pdpc"),
    ("card_holder_deleted", "card_holder.deleted"),
    ("card_holder_email_delivered", "card_holder.email.delivered"),
    ("card_holder_email_failed", "card_holder.email.failed"),
    ("receipt_fetched", "receipt.fetched"),
    ("transaction_true_vat", "transaction.true.vat"),
    ("transaction_line_items", "transaction.line.items"),
    ("aland_index", "environmental.impact.aland_index"),
    ("deedster", "environmental.impact.deedster"),
    ("tpa_signed", "tpa.signed"),
];

/// A server with an organization, and the access token of its account's client, which may do everything with webhooks.
async fn partner(surface: Option<&str>) -> (Server, String) {
    let server = start(surface).await;
    tenant(&server, "acc:org", "opencard").await;
    let token = access(&server, &["webhooks-read", "webhooks-write", "webhook-events-read"]).await;
    (server, token)
}

/// An access token of a client that may do this, with all that it may.
async fn access(server: &Server, scopes: &[&str]) -> String {
    let client = credential(server, "client", "acc:*", scopes).await;
    let answer = exchange(server, &client, "*").await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn exchange(server: &Server, client: &Value, scope: &str) -> Answer {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}",
        client["client_id"].as_str().unwrap(),
        client["client_secret"].as_str().unwrap(),
    );
    server.call_with("", "POST", "/opencard/oauth/token", form, FORM).await
}

/// Calls, expects a status, and where that is an error its form.
async fn call(server: &Server, token: &str, method: &str, path: &str, body: Value, status: u16) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.call(token, method, path, body).await;
    let told = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status, status, "{method} {path}: {told}");
    let json = answer.json();
    if status >= 400 {
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(json.as_object().unwrap().len(), 1, "{told}");
        assert!(!json["error"].as_str().unwrap().is_empty());
    }
    json
}

/// What a partner knows of its secret.
type Knows = Arc<Mutex<Option<String>>>;

/// A partner's receiver, as our documentation tells it to be: it answers challenges once it knows its secret, and nothing but
/// challenges.
async fn receiver() -> (String, Knows, UnboundedReceiver<String>) {
    let knows = Knows::default();
    let secret = Arc::clone(&knows);
    let (url, told) = answering(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        let challenge = path.split(['?', '&']).rev().find_map(|pair| pair.strip_prefix("challenge="));
        let proof = match (challenge, &*secret.lock()) {
            (Some(challenge), Some(secret)) if request.starts_with("GET ") => {
                let may = challenge.len() == 20 && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if may { hex_hmac(secret, challenge) } else { String::new() }
            }
            _ => String::new(),
        };
        format!("HTTP/1.1 200 OK\r\nX-Verify-Token: {proof}\r\nContent-Length: 2\r\n\r\nok")
    })
    .await;
    (url, knows, told)
}

/// A webhook whose receiver has proven itself, with the secret `known`.
async fn active(server: &Server, token: &str, mut spec: Value) -> (u64, UnboundedReceiver<String>) {
    let (url, knows, told) = receiver().await;
    *knows.lock() = Some("known".into());
    if spec["url"].is_null() {
        spec["url"] = json!(url);
    }
    spec["secret"] = json!("known");
    let id = call(server, token, "POST", WEBHOOKS, spec, 201).await["id"].as_u64().unwrap();
    until_active(server, token, id).await;
    (id, told)
}

async fn until_active(server: &Server, token: &str, id: u64) -> Value {
    eventually(|| async {
        let read = call(server, token, "GET", &format!("{WEBHOOKS}/{id}"), Value::Null, 200).await;
        (read["active"] == true).then_some(read)
    })
    .await
}

/// Publishes an event whose data stays as it is written here.
async fn publish(server: &Server, event_type: &str, attributes: &str, data: &str) {
    let event =
        format!(r#"{{"tenant":"acc:org","type":"{event_type}","attributes":{attributes},"data":{data}}}"#);
    server.operator("POST", "/v1/events", event, 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a37_a94_a_partner_registers_with_a_made_secret_and_proves_itself_once_it_knows_it() {
    let (server, token) = partner(None).await;
    let (url, knows, mut told) = receiver().await;
    let spec = json!({
        "url": format!("{url}?challenge=mine&b=%20"), "card_transaction_cleared": true, "whatever": {"else": 1},
        "authentication_type": "basic", "basic_username": "u", "basic_password": "p:w",
    });
    let made = call(&server, &token, "POST", WEBHOOKS, spec, 201).await;
    let (id, secret) = (made["id"].as_u64().unwrap(), made["secret"].as_str().unwrap().to_owned());
    assert_eq!((secret.len(), &made["active"], &made["enabled"]), (60, &json!(false), &json!(true)));
    assert_eq!((&made["organization_id"], &made["basic_username"]), (&json!("org"), &json!("u")));
    assert!(made.get("basic_password").is_none());
    for (flag, _) in EVENTS {
        assert_eq!(made[flag], flag == "card_transaction_cleared", "{flag}");
    }
    let path = format!("{WEBHOOKS}/{id}");
    let read = call(&server, &token, "GET", &path, Value::Null, 200).await;
    assert!(read.get("secret").is_none());
    // The first one finds a partner that does not know its secret yet.
    let asked = request(&mut told, |request| request.starts_with("get ")).await;
    let address = asked.split(' ').nth(1).unwrap();
    let challenge = address.strip_prefix("/hook?challenge=mine&b=%20&challenge=").unwrap();
    assert_eq!(challenge.len(), 20);
    assert_eq!(header(&asked, "x-event"), Some("challenge"));
    // Basic u:p:w, told in small letters.
    assert_eq!(header(&asked, "authorization"), Some("basic dtpwonc="));
    publish(&server, "card.transaction.cleared", "{}", r#"{"id":"early"}"#).await;
    *knows.lock() = Some(secret.clone());
    until_active(&server, &token, id).await;
    let data = r#"{"id": "81230417",  "original_amount": 425.00, "e": "\u00e5"}"#;
    publish(&server, "card.transaction.authorized", "{}", r#"{"id":"not wanted"}"#).await;
    publish(&server, "card.transaction.cleared", "{}", data).await;
    let came = delivery(&mut told).await;
    assert_eq!(body(&came), data);
    assert_eq!(header(&came, "x-data-signature"), Some(&*hex_hmac(&secret, data)));
    assert_eq!(header(&came, "x-event"), Some("card.transaction.cleared"));
    assert_eq!(
        (header(&came, "x-version"), header(&came, "content-type")),
        (Some("1"), Some("application/json"))
    );
    assert_eq!(header(&came, "authorization"), Some("basic dtpwonc="));
    // What /v1 shows is the same thing.
    let v1 = server.operator("GET", V1, "", 200).await;
    assert_eq!(v1["data"][0]["event_types"], json!(["card.transaction.cleared"]));
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flag_stands_for_its_type_and_is_changed_alone() {
    let (server, token) = partner(None).await;
    let spec = json!({"url": "http://127.0.0.1:7999/", "secret": "s"});
    let made = call(&server, &token, "POST", WEBHOOKS, spec, 201).await;
    assert_eq!(made["secret"], "s");
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    let types = || async {
        let v1 = server.operator("GET", V1, "", 200).await;
        v1["data"][0]["event_types"].clone()
    };
    assert_eq!(types().await, json!([]));
    for (flag, event_type) in EVENTS {
        let now = call(&server, &token, "PATCH", &path, json!({ flag: true }), 200).await;
        assert_eq!((&now[flag], types().await), (&json!(true), json!([event_type])), "{flag}");
        call(&server, &token, "PATCH", &path, json!({ flag: false }), 200).await;
    }
    // What no flag stands for stays, whatever is done with the flags.
    let id = server.operator("GET", V1, "", 200).await["data"][0]["id"].as_str().unwrap().to_owned();
    let own = json!({"event_types": ["own.type", "tpa.signed"]}).to_string();
    server.operator("PATCH", &format!("{V1}/{id}"), own, 200).await;
    let put = json!({"url": "http://127.0.0.1:7999/", "deedster": true});
    let now = call(&server, &token, "PUT", &path, put, 200).await;
    assert_eq!((&now["tpa_signed"], &now["deedster"]), (&json!(false), &json!(true)));
    assert_eq!(types().await, json!(["own.type", "environmental.impact.deedster"]));
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_does_not_name_of_secrets_stays_and_null_clears() {
    let (server, token) = partner(None).await;
    let (id, mut told) = active(&server, &token, json!({
        "tpa_signed": true, "authentication_type": "custom", "custom_key": "X-Key", "custom_value": "hush",
    }))
    .await;
    let path = format!("{WEBHOOKS}/{id}");
    let read = call(&server, &token, "GET", &path, Value::Null, 200).await;
    assert_eq!((&read["authentication_type"], &read["custom_key"]), (&json!("custom"), &json!("X-Key")));
    assert!(read.get("custom_value").is_none() && read["basic_username"].is_null());
    // As it was read, with one flag changed: unknown fields, and none of the secrets.
    let mut put = read.clone();
    put["receipt_fetched"] = json!(true);
    let now = call(&server, &token, "PUT", &path, put, 200).await;
    assert_eq!(
        (&now["receipt_fetched"], &now["tpa_signed"], &now["active"]),
        (&json!(true), &json!(true), &json!(true))
    );
    publish(&server, "tpa.signed", "{}", r#"{"id":"1"}"#).await;
    let came = delivery(&mut told).await;
    assert_eq!(
        (header(&came, "x-key"), header(&came, "x-data-signature")),
        (Some("hush"), Some(&*hex_hmac("known", r#"{"id":"1"}"#)))
    );
    // Nothing is said of the authentication.
    call(&server, &token, "PUT", &path, json!({"url": read["url"], "tpa_signed": true}), 200).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"2"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "x-key"), Some("hush"));
    let cleared = json!({"authentication_type": "none", "custom_key": null});
    call(&server, &token, "PATCH", &path, cleared, 200).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"3"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "x-key"), None);
    // Every delivery is signed: the secret can be changed, not taken away.
    for secret in [Value::Null, json!("")] {
        let told = call(&server, &token, "PATCH", &path, json!({ "secret": secret }), 400).await;
        assert!(told["error"].as_str().unwrap().starts_with("secret cannot be removed"), "{told}");
    }
    let basic = json!({"authentication_type": "basic", "basic_username": "u", "basic_password": null});
    call(&server, &token, "PATCH", &path, basic, 200).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"4"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "authorization"), Some("basic dto="));
    let (tokens, _asked) = answering(|_| {
        let body = r#"{"access_token":"tok","token_type":"Bearer","expires_in":3600}"#;
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let oauth = json!({
        "authentication_type": "oauth", "oauth_access_token_url": tokens, "oauth_client_id": "ada",
        "oauth_client_secret": "s",
    });
    let now = call(&server, &token, "PATCH", &path, oauth, 200).await;
    let shown = (&now["authentication_type"], &now["oauth_access_token_url"]);
    assert_eq!(shown, (&json!("oauth"), &json!(tokens)));
    publish(&server, "tpa.signed", "{}", r#"{"id":"oauth"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "authorization"), Some("bearer tok"));
    // Paused: what comes is skipped, and not sent afterwards.
    call(&server, &token, "PATCH", &path, json!({"enabled": false}), 200).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"5"}"#).await;
    call(&server, &token, "PATCH", &path, json!({"enabled": true}), 200).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"6"}"#).await;
    assert_eq!(body(&delivery(&mut told).await), r#"{"id":"6"}"#);
    call(&server, &token, "DELETE", &path, Value::Null, 204).await;
    call(&server, &token, "GET", &path, Value::Null, 404).await;
    call(&server, &token, "DELETE", &path, Value::Null, 404).await;
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_its_own_names_with_its_own_codes() {
    let (server, token) = partner(None).await;
    let url = "http://127.0.0.1:7999/";
    for (spec, status, error) in [
        (json!({}), 400, "url is missing"),
        (json!({"url": null}), 400, "url is missing"),
        (json!({"url": 7}), 400, "url must be a string"),
        (json!({"url": "ftp://x"}), 400, "url "),
        (json!({"url": url, "enabled": "yes"}), 400, "enabled must be true or false"),
        (json!({"url": url, "tpa_signed": 1}), 400, "tpa_signed must be true or false"),
        (
            json!({"url": url, "authentication_type": "digest"}),
            400,
            "authentication_type must be one of none, basic, oauth, custom",
        ),
        (
            json!({"url": url, "authentication_type": "basic"}),
            400,
            "basic_username is missing; basic_password is missing",
        ),
        (
            json!({"url": url, "authentication_type": "custom", "custom_key": "X-Event", "custom_value": "v"}),
            400,
            "custom_key ",
        ),
        (
            json!({"url": url, "authentication_type": "custom", "custom_key": "Host", "custom_value": "v"}),
            400,
            "custom_key ",
        ),
        (
            json!({"url": url, "authentication_type": "custom", "custom_key": "X-K"}),
            400,
            "custom_value is missing",
        ),
        (
            json!({"url": url, "authentication_type": "oauth", "oauth_access_token_url": "x"}),
            400,
            "oauth_access_token_url ",
        ),
        (
            json!({"url": url, "basic_username": "u"}),
            400,
            "basic_username does not belong to the authentication_type in force; give the type that it belongs to",
        ),
        (json!({"url": url, "secret": ""}), 201, ""),
    ] {
        let told = call(&server, &token, "POST", WEBHOOKS, spec.clone(), status).await;
        assert!(told["error"].as_str().unwrap_or_default().starts_with(error), "{spec}: {told}");
    }
    for (text, status) in [("{", 400), ("[]", 400), (r#"{"url":"a","url":"b"}"#, 400), ("7", 400)] {
        let answer = server.call(&token, "POST", WEBHOOKS, text).await;
        assert_eq!((answer.status, answer.json()["error"].is_string()), (status, true), "{text}");
    }
    let answer = server.call_with(&token, "POST", WEBHOOKS, "{}", &[("content-type", "text/plain")]).await;
    assert_eq!((answer.status, answer.json()["error"].is_string()), (415, true));
    for (method, path, status) in [
        ("GET", format!("{WEBHOOKS}/0"), 404),
        ("GET", format!("{WEBHOOKS}/007"), 404),
        ("GET", format!("{WEBHOOKS}/x"), 404),
        ("POST", format!("{WEBHOOKS}/1"), 405),
        ("GET", "/opencard/nothing".into(), 404),
        ("GET", format!("{WEBHOOKS}?page=0"), 400),
        ("GET", format!("{WEBHOOKS}?per_page=101"), 400),
        ("GET", format!("{WEBHOOKS}?sort=up"), 200),
    ] {
        call(&server, &token, method, &path, Value::Null, status).await;
    }
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_tokens_for_what_it_may_and_is_told_in_the_words_of_oauth_else() {
    let (server, _) = partner(None).await;
    let client = credential(&server, "client", "acc:*", &["webhooks-read", "webhook-events-read"]).await;
    let answer = exchange(&server, &client, "webhooks-read").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let told = answer.json();
    assert_eq!((&told["token_type"], &told["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let narrow = told["access_token"].as_str().unwrap().to_owned();
    call(&server, &narrow, "GET", WEBHOOKS, Value::Null, 200).await;
    call(&server, &narrow, "GET", &format!("{WEBHOOKS}/1/events"), Value::Null, 403).await;
    assert_eq!(exchange(&server, &client, "").await.status, 200);
    // Of scopes that are asked for twice, or are the platform's other interfaces', nothing is said.
    let many = format!("everything {}", "webhooks-read ".repeat(40));
    let told = exchange(&server, &client, &many).await.json();
    call(&server, told["access_token"].as_str().unwrap(), "GET", WEBHOOKS, Value::Null, 200).await;
    let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str().unwrap());
    let good = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    for (form, status, error) in [
        (format!("{good}&scope=webhooks-write"), 400, "invalid_scope"),
        (format!("{good}&scope=everything"), 400, "invalid_scope"),
        (format!("{good}x&scope=everything"), 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id=x&client_secret={secret}"), 401, "invalid_client"),
        (format!("client_id={id}&client_secret={secret}"), 400, "invalid_request"),
        (format!("{good}&client_id=x"), 400, "invalid_request"),
        (format!("grant_type=password&client_id={id}&client_secret={secret}"), 400, "unsupported_grant_type"),
    ] {
        let answer = server.call_with("", "POST", "/opencard/oauth/token", form.clone(), FORM).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": error })), "{form}");
    }
    let answer = server.call("", "POST", "/opencard/oauth/token", "{}").await;
    assert_eq!(answer.status, 415);
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_needs_its_scope() {
    let (server, all) = partner(None).await;
    let made = call(&server, &all, "POST", WEBHOOKS, json!({"url": "http://127.0.0.1:7999/"}), 201).await;
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    let calls = [
        ("GET", WEBHOOKS.to_owned(), Value::Null, &["webhooks-read"][..]),
        ("POST", WEBHOOKS.to_owned(), json!({"url": "http://127.0.0.1:7999/"}), &["webhooks-write"]),
        ("GET", path.clone(), Value::Null, &["webhooks-read"]),
        ("PATCH", path.clone(), json!({}), &["webhooks-write"]),
        ("PUT", path.clone(), json!({"url": "http://127.0.0.1:7999/"}), &["webhooks-write"]),
        ("GET", format!("{path}/headers"), Value::Null, &["webhooks-read", "webhook-headers-read"]),
        (
            "POST",
            format!("{path}/headers"),
            json!({"key": "X-A", "value": "1"}),
            &["webhooks-write", "webhook-headers-write"],
        ),
        ("DELETE", format!("{path}/headers/1"), Value::Null, &["webhooks-write", "webhook-headers-delete"]),
        ("GET", format!("{path}/groups"), Value::Null, &["webhooks-read", "webhook-groups-read"]),
        (
            "POST",
            format!("{path}/groups"),
            json!({"buyer_party": "1"}),
            &["webhooks-write", "webhook-groups-write"],
        ),
        ("DELETE", format!("{path}/groups/1"), Value::Null, &["webhooks-write", "webhook-groups-delete"]),
        ("POST", format!("{path}/test/tpa.signed"), Value::Null, &["webhooks-write"]),
        ("GET", format!("{path}/events"), Value::Null, &["webhook-events-read"]),
        ("DELETE", format!("{WEBHOOKS}/999"), Value::Null, &["webhooks-write"]),
    ];
    for scope in [
        "webhooks-read",
        "webhooks-write",
        "webhook-events-read",
        "webhook-headers-read",
        "webhook-headers-write",
        "webhook-headers-delete",
        "webhook-groups-read",
        "webhook-groups-write",
        "webhook-groups-delete",
        "events-write",
    ] {
        let token = access(&server, &[scope]).await;
        for (method, path, body, needs) in &calls {
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let answer = server.call(&token, method, path, text).await;
            assert_eq!(
                answer.status != 403,
                needs.contains(&scope),
                "{scope}: {method} {path}: {}",
                answer.status
            );
        }
    }
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a73_a77_no_path_and_no_second_credential_leads_to_another_organization() {
    let (server, token) = partner(None).await;
    for id in ["acc:b:c", "other:org", "acc:native"] {
        tenant(&server, id, if id == "acc:native" { "standard" } else { "opencard" }).await;
    }
    let made = call(&server, &token, "POST", WEBHOOKS, json!({"url": "http://127.0.0.1:7999/"}), 201).await;
    let id = &made["id"];
    // Two ways to write acc:b:c, and what is another's, or no OpenCard organization.
    for (account, organization) in [
        ("acc:b", "c"),
        ("acc", "b:c"),
        ("acc%3Ab", "c"),
        ("acc", "b%3Ac"),
        ("other", "org"),
        ("acc", "none"),
        ("acc", "native"),
    ] {
        let webhooks = format!("/opencard/accounts/{account}/organizations/{organization}/webhooks");
        for path in [
            webhooks.clone(),
            format!("{webhooks}/{id}"),
            format!("{webhooks}/{id}/headers"),
            format!("{webhooks}/{id}/events"),
        ] {
            call(&server, &token, "GET", &path, Value::Null, 404).await;
        }
        call(&server, &token, "POST", &webhooks, json!({"url": "http://127.0.0.1:7999/"}), 404).await;
    }
    // Another organization of the same account does not have the webhook.
    tenant(&server, "acc:two", "opencard").await;
    let two = "/opencard/accounts/acc/organizations/two/webhooks";
    call(&server, &token, "GET", two, Value::Null, 200).await;
    for method in ["GET", "PATCH", "DELETE"] {
        let body = if method == "PATCH" { json!({}) } else { Value::Null };
        call(&server, &token, method, &format!("{two}/{id}"), body, 404).await;
    }
    // The operator reaches everything; nobody else without a token, nor with one that is wrong.
    call(&server, ADMIN, "GET", WEBHOOKS, Value::Null, 200).await;
    for token in ["", "wrong"] {
        call(&server, token, "GET", WEBHOOKS, Value::Null, 401).await;
    }
    let cookie = [("cookie", &*format!("token={token}"))];
    assert_eq!(server.call_with("", "GET", WEBHOOKS, "", &cookie).await.status, 401);
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_added_listed_and_taken_off() {
    let (server, token) = partner(None).await;
    let (id, mut told) = active(&server, &token, json!({"tpa_signed": true})).await;
    let path = format!("{WEBHOOKS}/{id}/headers");
    let made =
        call(&server, &token, "POST", &path, json!({"key": "X-Tenant", "value": "Blue 7", "x": 1}), 201)
            .await;
    let other = call(&server, &token, "POST", &path, json!({"key": "X-Other", "value": ""}), 201).await;
    assert_eq!((&made["key"], &made["value"]), (&json!("X-Tenant"), &json!("Blue 7")));
    let page = call(&server, &token, "GET", &path, Value::Null, 200).await;
    assert_eq!(
        page,
        json!({"current_page": 1, "data": [other, made], "per_page": 15, "total": 2, "last_page": 1})
    );
    publish(&server, "tpa.signed", "{}", r#"{"id":"1"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "x-tenant"), Some("blue 7"));
    for (spec, status) in [
        (json!({"key": "x-tenant", "value": "again"}), 409),
        (json!({"key": "X-Event", "value": "v"}), 400),
        (json!({"key": "Host", "value": "v"}), 400),
        (json!({"key": "Authorization", "value": "v"}), 400),
        (json!({"key": "X A", "value": "v"}), 400),
        (json!({"key": "X-B", "value": "a\r\nb"}), 400),
        (json!({"key": "X-B"}), 400),
        (json!({}), 400),
    ] {
        call(&server, &token, "POST", &path, spec, status).await;
    }
    call(&server, &token, "DELETE", &format!("{path}/{}", made["id"]), Value::Null, 204).await;
    call(&server, &token, "DELETE", &format!("{path}/{}", made["id"]), Value::Null, 404).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"2"}"#).await;
    let came = delivery(&mut told).await;
    assert_eq!((header(&came, "x-tenant"), header(&came, "x-other")), (None, Some("")));
    // What stays keeps its number.
    let left = call(&server, &token, "GET", &path, Value::Null, 200).await;
    assert_eq!(left["data"], json!([other]));
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_alternatives_and_keep_out_other_transactions_alone() {
    let (server, token) = partner(None).await;
    let flags =
        json!({"card_transaction_cleared": true, "receipt_fetched": true, "card_transaction_deleted": true});
    let (id, mut told) = active(&server, &token, flags).await;
    let path = format!("{WEBHOOKS}/{id}/groups");
    let first = call(&server, &token, "POST", &path, json!({"buyer_party": "5561234567"}), 201).await;
    let second = call(&server, &token, "POST", &path, json!({"buyer_party": "5560000001"}), 201).await;
    call(&server, &token, "POST", &path, json!({"buyer_party": "5561234567"}), 409).await;
    for spec in
        [json!({}), json!({"buyer_party": ""}), json!({"buyer_party": 7}), json!({"buyer_party": null})]
    {
        call(&server, &token, "POST", &path, spec, 400).await;
    }
    let page = call(&server, &token, "GET", &format!("{path}?per_page=1&page=2"), Value::Null, 200).await;
    assert_eq!(page, json!({"current_page": 2, "data": [second], "per_page": 1, "total": 2, "last_page": 2}));
    let of = |party: &str| json!({ "buyer_party": party }).to_string();
    publish(&server, "card.transaction.cleared", "{}", r#"{"id":"nobody's"}"#).await;
    publish(&server, "card.transaction.deleted", &of("9"), r#"{"id":"another's"}"#).await;
    for (event_type, attributes, data) in [
        ("card.transaction.cleared", of("5561234567"), r#"{"id":"1"}"#),
        ("card.transaction.deleted", of("5560000001"), r#"{"id":"2"}"#),
        ("receipt.fetched", "{}".into(), r#"{"url":"3"}"#),
        ("receipt.fetched", of("9"), r#"{"url":"4"}"#),
    ] {
        publish(&server, event_type, &attributes, data).await;
        assert_eq!(body(&delivery(&mut told).await), data);
    }
    let match_ = json!({"type": "card.transaction.cleared", "attributes": {}, "data": {}}).to_string();
    let judged = server.operator("POST", &format!("{V1}/match"), match_, 200).await;
    assert_eq!(judged["data"][0]["reason"], "the attribute buyer_party is missing");
    for group in [&first, &second] {
        call(&server, &token, "DELETE", &format!("{path}/{}", group["id"]), Value::Null, 204).await;
    }
    call(&server, &token, "DELETE", &format!("{path}/{}", first["id"]), Value::Null, 404).await;
    publish(&server, "card.transaction.cleared", "{}", r#"{"id":"5"}"#).await;
    assert_eq!(body(&delivery(&mut told).await), r#"{"id":"5"}"#);
    // Filters that are no groups are left alone.
    let endpoint = server.operator("GET", V1, "", 200).await["data"][0]["id"].as_str().unwrap().to_owned();
    let filters = json!({"filters": {"attributes": {"buyer_party": ["1"]}}}).to_string();
    server.operator("PATCH", &format!("{V1}/{endpoint}"), filters, 200).await;
    assert_eq!(call(&server, &token, "GET", &path, Value::Null, 200).await["total"], 0);
    call(&server, &token, "POST", &path, json!({"buyer_party": "2"}), 409).await;
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_answered_with_what_came_back_and_the_log_has_every_attempt() {
    let (server, token) = partner(None).await;
    let fails = Arc::new(Mutex::new(true));
    let failing = Arc::clone(&fails);
    let (url, mut told) = answering(move |request| {
        if request.contains(r#"{"id":"none"}"#) {
            return "no HTTP\r\n\r\n".to_owned();
        }
        let challenge = request.split("challenge=").nth(1).map(|rest| rest.split(' ').next().unwrap());
        let proof = hex_hmac("known", challenge.unwrap_or_default());
        let is_failure = request.starts_with("POST ") && std::mem::take(&mut *failing.lock());
        let status = if is_failure { "500 X" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nX-Verify-Token: {proof}\r\nContent-Length: 2\r\n\r\nok")
    })
    .await;
    // Nobody is there, so it is not active.
    let dead = json!({"url": "http://127.0.0.1:7999/", "tpa_signed": true});
    let dead = call(&server, &token, "POST", WEBHOOKS, dead, 201).await;
    let test = format!("{WEBHOOKS}/{}/test/tpa.signed", dead["id"]);
    call(&server, &token, "POST", &test, Value::Null, 409).await;
    let spec = json!({"url": url, "secret": "known", "tpa_signed": true, "receipt_fetched": true});
    let id = call(&server, &token, "POST", WEBHOOKS, spec, 201).await["id"].as_u64().unwrap();
    until_active(&server, &token, id).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"1"}"#).await;
    for _ in 0..2 {
        delivery(&mut told).await;
    }
    publish(&server, "receipt.fetched", "{}", r#"{"url":"2"}"#).await;
    delivery(&mut told).await;
    let events = format!("{WEBHOOKS}/{id}/events");
    let log = eventually(|| async {
        let log = call(&server, &token, "GET", &events, Value::Null, 200).await;
        (log["total"] == 3).then_some(log)
    })
    .await;
    let rows = log["data"].as_array().unwrap();
    let told_of: Vec<_> =
        rows.iter().map(|row| (&row["event"], &row["status"], &row["attempt"], &row["payload"])).collect();
    assert_eq!(
        told_of,
        [
            (&json!("receipt.fetched"), &json!(200), &json!(1), &json!({"url": "2"})),
            (&json!("tpa.signed"), &json!(200), &json!(2), &json!({"id": "1"})),
            (&json!("tpa.signed"), &json!(500), &json!(1), &json!({"id": "1"})),
        ]
    );
    assert!(rows.iter().all(|row| row["id"].is_u64() && row["created_at"].is_string()));
    for (path, total) in [(WEBHOOKS, 2), (events.as_str(), 3)] {
        let page = call(&server, &token, "GET", path, Value::Null, 200).await;
        let expected =
            json!({"current_page": 1, "data": page["data"], "per_page": 15, "total": total, "last_page": 1});
        assert_eq!(page, expected, "{path}");
    }
    // Pages part the attempts of one event.
    let page = call(&server, &token, "GET", &format!("{events}?per_page=2&page=2"), Value::Null, 200).await;
    assert_eq!((&page["data"], &page["last_page"]), (&json!([rows[2]]), &json!(2)));
    let answer =
        call(&server, &token, "POST", &format!("{WEBHOOKS}/{id}/test/receipt.fetched"), Value::Null, 200)
            .await;
    assert_eq!(
        (&answer["event"], &answer["status"], &answer["response"]),
        (&json!("receipt.fetched"), &json!(200), &json!("ok"))
    );
    assert_eq!(header(&delivery(&mut told).await, "x-event"), Some("receipt.fetched"));
    call(&server, &token, "POST", &format!("{WEBHOOKS}/{id}/test/receipt_fetched"), Value::Null, 404).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"none"}"#).await;
    let row = eventually(|| async {
        let log = call(&server, &token, "GET", &events, Value::Null, 200).await;
        (log["data"][0]["payload"] == json!({"id": "none"})).then(|| log["data"][0].clone())
    })
    .await;
    assert_eq!(row["status"], Value::Null);
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_form_cannot_say_is_shown_and_kept() {
    let (server, token) = partner(None).await;
    for (id, spec) in [
        ("wild", json!({"url": "http://127.0.0.1:7999/", "event_types": ["card.transaction.*"]})),
        (
            "native",
            json!({"url": "http://127.0.0.1:7999/", "event_types": ["tpa.signed"], "profile": "standard"}),
        ),
    ] {
        server.operator("PUT", &format!("{V1}/{id}"), spec.to_string(), 201).await;
    }
    let page = call(&server, &token, "GET", WEBHOOKS, Value::Null, 200).await;
    let rows = page["data"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["read_only"].is_string()), "{page}");
    assert_eq!((&rows[0]["card_transaction_deleted"], &rows[0]["tpa_signed"]), (&json!(true), &json!(false)));
    for row in rows {
        let path = format!("{WEBHOOKS}/{}", row["id"]);
        call(&server, &token, "PUT", &path, json!({"url": "http://127.0.0.1:7999/"}), 409).await;
        call(&server, &token, "PATCH", &path, json!({}), 409).await;
        call(&server, &token, "POST", &format!("{path}/headers"), json!({"key": "X-A", "value": "1"}), 409)
            .await;
        call(&server, &token, "POST", &format!("{path}/groups"), json!({"buyer_party": "1"}), 409).await;
        call(&server, &token, "DELETE", &path, Value::Null, 204).await;
    }
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_of_a_product_that_the_organization_lacks_are_refused_where_that_is_checked() {
    let server = start_with(postrider_profiles::built_in(), None).await;
    let spec = json!({"profile": "opencard", "integrations": ["product_digital_receipt"]}).to_string();
    server.operator("PUT", "/v1/tenants/acc:org", spec, 201).await;
    let token = access(&server, &["webhooks-read", "webhooks-write"]).await;
    for (flag, event_type) in EVENTS {
        let lacks = event_type.starts_with("card.transaction.") || flag == "aland_index";
        let spec = json!({"url": "http://127.0.0.1:7999/", flag: true});
        let told = call(&server, &token, "POST", WEBHOOKS, spec, if lacks { 422 } else { 201 }).await;
        if lacks {
            assert_eq!(told["error"], format!("{flag} needs a product that the organization does not have"));
        }
    }
    // What is not valid either comes first.
    call(&server, &token, "POST", WEBHOOKS, json!({"aland_index": true}), 400).await;
    // A product that is withdrawn later keeps nothing else from being changed.
    let made = json!({"url": "http://127.0.0.1:7999/", "receipt_fetched": true});
    let made = call(&server, &token, "POST", WEBHOOKS, made, 201).await;
    server.operator("PUT", "/v1/tenants/acc:org", r#"{"profile":"opencard"}"#, 200).await;
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    call(&server, &token, "PATCH", &path, json!({"receipt_fetched": true, "enabled": false}), 200).await;
    call(&server, &token, "PATCH", &path, json!({"transaction_true_vat": true}), 422).await;
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a92_credentials_go_along_to_another_host_and_the_operator_is_told() {
    let (server, token) = partner(None).await;
    let (id, _told) = active(&server, &token, json!({
        "tpa_signed": true, "authentication_type": "custom", "custom_key": "X-Key", "custom_value": "hush",
    }))
    .await;
    let (url, knows, mut told) = receiver().await;
    let moved = call(&server, &token, "PATCH", &format!("{WEBHOOKS}/{id}"), json!({ "url": url }), 200).await;
    // What was proven at the other address is nothing here.
    assert_eq!(moved["active"], false);
    *knows.lock() = Some("known".into());
    until_active(&server, &token, id).await;
    publish(&server, "tpa.signed", "{}", r#"{"id":"1"}"#).await;
    assert_eq!(header(&delivery(&mut told).await, "x-key"), Some("hush"));
    let events = server.operator("GET", "/v1/tenants/_operator/events?type=endpoint.moved", "", 200).await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_under_its_name_at_the_root_and_below_the_application() {
    let (server, token) = partner(Some("opencard")).await;
    let spec = json!({"url": "http://127.0.0.1:7999/"});
    let webhooks = "/accounts/acc/organizations/org/webhooks";
    let mounts = ["", "/opencard", "/api/v1/application", "/opencard/api/v1/application"];
    for (n, mount) in mounts.into_iter().enumerate() {
        let made = call(&server, &token, "POST", &format!("{mount}{webhooks}"), spec.clone(), 201).await;
        call(&server, &token, "GET", &format!("{mount}{webhooks}/{}/groups", made["id"]), Value::Null, 200)
            .await;
        let page =
            call(&server, &token, "GET", &format!("{mount}{webhooks}?per_page=2"), Value::Null, 200).await;
        assert_eq!((&page["total"], &page["last_page"]), (&json!(n + 1), &json!((n + 2) / 2)));
        call(&server, "", "GET", &format!("{mount}{webhooks}"), Value::Null, 401).await;
        call(&server, &token, "PUT", &format!("{mount}{webhooks}"), json!({}), 405).await;
    }
    let document = server.call("", "GET", "/opencard/openapi.json", "").await.json();
    assert!(
        document["paths"]["/accounts/{account}/organizations/{organization}/webhooks"]["post"].is_object()
    );
    // What is not OpenCard's is as everywhere.
    server.operator("GET", V1, "", 200).await;
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_is_over_is_no_guess_however_often_it_comes() {
    let (server, _) = partner(None).await;
    let client = super::credential(&server, "client", "acc:*", &["webhooks-read"]).await;
    let told = exchange(&server, &client, "").await.json();
    let token = told["access_token"].as_str().unwrap();
    call(&server, token, "GET", WEBHOOKS, Value::Null, 200).await;
    server.operator("DELETE", &format!("/v1/tokens/{}", client["id"].as_str().unwrap()), "", 204).await;
    for _ in 0..60 {
        call(&server, token, "GET", WEBHOOKS, Value::Null, 401).await;
    }
    let changed = format!("{token}A");
    let mut slowed = 0;
    for _ in 0..60 {
        slowed += u32::from(server.call(&changed, "GET", WEBHOOKS, "").await.status == 429);
    }
    assert!(slowed > 20, "{slowed}");
}
