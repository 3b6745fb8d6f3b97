//! mCards' registrations.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::partners::{body, header, moved, receiver, server};
use super::{hex_hmac, host};
use crate::fixture::{Answer, Server, eventually};

/// Where nothing is delivered to.
const ELSEWHERE: &str = "http://127.0.0.1:9999/hook";

/// A partner that signs its calls, at a server where the surface is found under `mount`.
struct Partner {
    server: Server,
    mount: &'static str,
    key: String,
    secret: String,
}

impl Partner {
    async fn at(mount: &'static str) -> Self {
        let surface = mount.is_empty().then_some("mcards");
        let server = server(surface).await;
        let tenant = r#"{"profile":"mcards","integrations":["card_distribution"]}"#;
        server.operator("PUT", "/v1/tenants/loyal", tenant, 201).await;
        let (key, secret) = key_of(&server, "loyal").await;
        Self { server, mount, key, secret }
    }

    /// What it sends as `Authorization`.
    fn proof(&self, signed: &str) -> String {
        format!("HMAC_256 {};{}", self.key, hex_hmac(&self.secret, signed))
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let proof = self.proof(if body.is_empty() { "null" } else { body });
        self.call_as(&proof, method, path, body).await
    }

    async fn call_as(&self, proof: &str, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("{}{path}", self.mount);
        self.server.call_with("", method, &path, body.to_owned(), &[("authorization", proof)]).await
    }

    async fn registered(&self, body: &Value) -> (String, Value) {
        let made = self.call("POST", "/webhooks", &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.json());
        let id = made.json()["webhook_uuid"].as_str().unwrap().to_owned();
        (format!("/webhooks/{id}"), made.json())
    }

    /// The first endpoint as `/v1` has it.
    async fn endpoint(&self) -> Value {
        let all = self.server.operator("GET", "/v1/tenants/loyal/endpoints", "", 200).await;
        all["data"][0].clone()
    }

    async fn publish(&self, event: &str, status: u16) -> Value {
        self.server.operator("POST", "/v1/events", event.to_owned(), status).await
    }
}

async fn key_of(server: &Server, tenant: &str) -> (String, String) {
    let body = json!({"kind": "hmac", "tenant": tenant, "scopes": ["webhooks-read", "webhooks-write"]});
    let made = server.operator("POST", "/v1/tokens", body.to_string(), 201).await;
    (made["key"].as_str().unwrap().into(), made["secret"].as_str().unwrap().into())
}

/// A registration as partners send it.
fn registration(url: &str) -> Value {
    json!({
        "webhook_url": url, "webhook_name": "Loyalty", "webhook_event_type": "transaction",
        "basic_auth_username": "partner", "basic_auth_secret": "päss", "hmac_secret": "partner's hmac secret",
        "status": "active",
    })
}

fn pointers(answer: &Answer) -> Vec<String> {
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["source"]["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_made_read_changed_and_removed_at_either_mount() {
    for mount in ["/mcards", ""] {
        let partner = Partner::at(mount).await;
        let (path, made) = partner.registered(&registration(ELSEWHERE)).await;
        let id = made["webhook_uuid"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
        let expected = json!({
            "webhook_uuid": id, "webhook_url": ELSEWHERE, "webhook_name": "Loyalty",
            "webhook_event_type": "transaction", "basic_auth_username": "partner", "originator_identifier": null,
            "status": "active",
        });
        assert_eq!(made, expected);
        assert_eq!(partner.call("GET", &path, "").await.json(), expected);
        assert_eq!(
            partner.call("GET", &path.to_uppercase().replace("/WEBHOOKS", "/webhooks"), "").await.status,
            200
        );
        assert_eq!(partner.call("GET", "/webhooks", "").await.json(), json!([expected]));

        let put = json!({
            "webhook_url": ELSEWHERE, "webhook_event_type": "location", "originator_identifier": "shop-7", "later": {"x": 1},
        });
        let put = partner.call("PUT", &path, &put.to_string()).await;
        assert_eq!(put.status, 200, "{}", put.json());
        let expected = json!({
            "webhook_uuid": id, "webhook_url": ELSEWHERE, "webhook_name": null, "webhook_event_type": "location",
            "basic_auth_username": "partner", "originator_identifier": "shop-7", "status": "active",
        });
        assert_eq!(put.json(), expected);
        let patched =
            partner.call("PATCH", &path, r#"{"status":"inactive","webhook_name":"n"}"#).await.json();
        assert_eq!((&patched["status"], &patched["webhook_name"]), (&json!("inactive"), &json!("n")));
        assert_eq!(patched["originator_identifier"], "shop-7");
        let endpoint = partner.endpoint().await;
        assert_eq!(endpoint["enabled"], false);
        assert_eq!(endpoint["filters"]["attributes"], json!({"originator_identifier": ["shop-7"]}));

        let removed = partner.call("DELETE", &path, "").await;
        assert_eq!((removed.status, removed.bytes.len()), (204, 0));
        for (method, body) in [("GET", ""), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", "")] {
            let gone = partner.call(method, &path, body).await;
            assert_eq!(gone.status, 404, "{method}");
            let errors =
                json!({"errors": [{"detail": "the webhook does not exist", "source": {"pointer": ""}}]});
            assert_eq!(gone.json(), errors);
        }
        let document = partner.server.call("", "GET", "/mcards/openapi.json", "").await;
        let has_paths = document.json()["paths"]["/webhooks/{webhook_uuid}"]["patch"].is_object();
        assert!(document.status == 200 && has_paths, "{mount}");
        assert_eq!(partner.call("GET", "/nowhere", "").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_told_by_the_names_that_partners_know() {
    let partner = Partner::at("/mcards").await;
    for (body, status, told) in [
        (r#"{"#, 400, vec![""]),
        (r#"[]"#, 422, vec![""]),
        (r#"{"webhook_url":"x","webhook_url":"y"}"#, 422, vec!["/webhook_url"]),
        (r#"{}"#, 422, vec!["/webhook_url", "/webhook_event_type"]),
        (r#"{"webhook_url":5,"webhook_event_type":null}"#, 422, vec!["/webhook_url", "/webhook_event_type"]),
        (r#"{"webhook_url":"ftp://x/","webhook_event_type":"transaction"}"#, 422, vec!["/webhook_url"]),
        (r#"{"webhook_url":"U","webhook_event_type":"*"}"#, 422, vec!["/webhook_event_type"]),
        (r#"{"webhook_url":"U","webhook_event_type":"transactions"}"#, 422, vec!["/webhook_event_type"]),
        (r#"{"webhook_url":"U","webhook_event_type":["transaction"]}"#, 422, vec!["/webhook_event_type"]),
        (r#"{"webhook_url":"U","webhook_event_type":"transaction","status":"on"}"#, 422, vec!["/status"]),
        (
            r#"{"webhook_url":"U","webhook_event_type":"transaction","basic_auth_username":"u"}"#,
            422,
            vec!["/basic_auth_secret"],
        ),
        (
            r#"{"webhook_url":"U","webhook_event_type":"transaction","basic_auth_secret":"s"}"#,
            422,
            vec!["/basic_auth_username"],
        ),
        (
            r#"{"webhook_url":"U","webhook_event_type":"transaction","basic_auth_username":"a:b","basic_auth_secret":"s"}"#,
            422,
            vec!["/basic_auth_username"],
        ),
        (
            r#"{"webhook_url":"U","webhook_event_type":"transaction","hmac_secret":7}"#,
            422,
            vec!["/hmac_secret"],
        ),
        (
            r#"{"webhook_url":"U","webhook_event_type":"transaction","originator_identifier":7}"#,
            422,
            vec!["/originator_identifier"],
        ),
        (r#"{"webhook_url":"U","webhook_event_type":"payment.hold"}"#, 403, vec!["/webhook_event_type"]),
    ] {
        let body = body.replace("\"U\"", &format!("{ELSEWHERE:?}"));
        let answer = partner.call("POST", "/webhooks", &body).await;
        assert_eq!(
            (answer.status, pointers(&answer)),
            (status, told.iter().map(|&p| p.into()).collect()),
            "{body}: {}",
            answer.json()
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.json()["errors"][0]["detail"].as_str().unwrap().len() > 10);
    }
    let text = [("authorization", &*partner.proof("{}")), ("content-type", "text/plain")];
    let answer = partner.server.call_with("", "POST", "/mcards/webhooks", "{}", &text).await;
    assert_eq!((answer.status, pointers(&answer)), (415, vec![String::new()]));
    let answer = partner.call("DELETE", "/webhooks", "").await;
    assert_eq!((answer.status, pointers(&answer)), (405, vec![String::new()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn integrations_give_the_union_of_their_event_types() {
    let partner = Partner::at("/mcards").await;
    let types = [
        "transaction",
        "location",
        "claimed_offer",
        "payment",
        "payment.hold",
        "payment.capture",
        "payment.release_hold",
        "payment.hold_and_capture",
        "payment.get_balance",
    ];
    for (integrations, allowed) in [
        (json!(["card_distribution"]), 0b000_000_111),
        (json!(["currency_provider"]), 0b000_000_001),
        (json!(["payment_gateway"]), 0b111_111_000),
        (json!(["currency_provider", "payment_gateway"]), 0b111_111_001),
        (json!(["full_webhook_access"]), 0b111_111_111),
        (json!([]), 0),
    ] {
        let tenant = json!({"profile": "mcards", "integrations": integrations});
        partner.server.operator("PUT", "/v1/tenants/loyal", tenant.to_string(), 200).await;
        for (n, name) in types.iter().enumerate() {
            let body = json!({"webhook_url": ELSEWHERE, "webhook_event_type": name});
            let status = if allowed >> n & 1 == 1 { 201 } else { 403 };
            let answer = partner.call("POST", "/webhooks", &body.to_string()).await;
            assert_eq!(answer.status, status, "{integrations} {name}");
        }
    }
    // A registration of a type that was withdrawn since can still be changed, but not to another such type.
    let all = partner.call("GET", "/webhooks", "").await.json();
    let hold =
        all.as_array().unwrap().iter().find(|one| one["webhook_event_type"] == "payment.hold").unwrap();
    let path = format!("/webhooks/{}", hold["webhook_uuid"].as_str().unwrap());
    assert_eq!(partner.call("PATCH", &path, r#"{"status":"inactive"}"#).await.status, 200);
    let refused = partner.call("PATCH", &path, r#"{"webhook_event_type":"payment.capture"}"#).await;
    assert_eq!((refused.status, pointers(&refused)), (403, vec!["/webhook_event_type".into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_sign_the_body_and_whoever_does_not_is_refused() {
    let partner = Partner::at("/mcards").await;
    let body = registration(ELSEWHERE).to_string();
    let good = partner.proof(&body);
    let wrong_key = format!("HMAC_256 {}x;{}", partner.key, hex_hmac(&partner.secret, &body));
    let wrong_secret = format!("HMAC_256 {};{}", partner.key, hex_hmac("another", &body));
    let upper = format!("hmac_256 {};{}", partner.key, hex_hmac(&partner.secret, &body).to_uppercase());
    let unsigned = partner.proof("null");
    for (proof, status) in [
        (&*good, 201),
        (&upper, 201),
        (&wrong_key, 401),
        (&wrong_secret, 401),
        (&unsigned, 401),
        (&good[..good.len() - 2], 401),
        ("HMAC_256", 401),
        ("HMAC_256 ;", 401),
        ("Basic YTpi", 401),
        ("Bearer x", 401),
        (&partner.key, 401),
    ] {
        let answer = partner.call_as(proof, "POST", "/webhooks", &body).await;
        assert_eq!(answer.status, status, "{proof}");
        if status == 401 {
            assert_eq!(pointers(&answer), [""]);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let in_clear = [("authorization", &*partner.proof("null")), ("x-forwarded-proto", "http")];
    let answer = partner.server.call_with("", "GET", "/mcards/webhooks", "", &in_clear).await;
    let why = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(answer.status == 401 && why.contains("over TLS"), "{why}");
    let nobody = partner.server.call("", "GET", "/mcards/webhooks", "").await;
    assert_eq!(nobody.status, 401);
    // The secret of the key is no token, and that of a revoked key signs nothing.
    let answer = partner.server.call(&partner.secret, "GET", "/mcards/webhooks", "").await;
    assert_eq!(answer.status, 401);
    let tokens = partner.server.operator("GET", "/v1/tokens", "", 200).await;
    let key = tokens["data"].as_array().unwrap().iter().find(|token| token["kind"] == "hmac").unwrap();
    let path = format!("/v1/tokens/{}", key["id"].as_str().unwrap());
    partner.server.operator("DELETE", &path, "", 204).await;
    assert_eq!(partner.call("GET", "/webhooks", "").await.status, 401);
    for _ in 0..100 {
        let answer = partner.call_as("HMAC_256 x;00", "GET", "/webhooks", "").await;
        if answer.status != 401 {
            assert_eq!((answer.status, pointers(&answer)), (429, vec![String::new()]));
            return;
        }
    }
    panic!("guesses are not slowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_sent_again() {
    let partner = Partner::at("/mcards").await;
    let (url, mut told) = crate::fixture::receiver(500).await;
    partner.registered(&registration(&url)).await;
    partner.publish(r#"{"tenant":"loyal","type":"transaction","data":{"amount":1}}"#, 202).await;
    let (first, again) = (super::delivery(&mut told).await, super::delivery(&mut told).await);
    assert_eq!(body(&first), body(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_tokens_work_within_their_scopes_and_their_tenant() {
    let partner = Partner::at("/mcards").await;
    let server = &partner.server;
    let (path, _) = partner.registered(&registration(ELSEWHERE)).await;
    let path = format!("/mcards{path}");
    let reader = server.token("loyal", &["webhooks-read"]).await;
    assert_eq!(server.call(&reader, "GET", &path, "").await.status, 200);
    let refused = server.call(&reader, "PATCH", &path, "{}").await;
    assert_eq!((refused.status, pointers(&refused)), (403, vec![String::new()]));
    assert_eq!(server.call(&reader, "DELETE", &path, "").await.status, 403);
    assert_eq!(server.call(&reader, "POST", "/mcards/webhooks", "{}").await.status, 403);
    assert_eq!(server.call(crate::fixture::ADMIN, "GET", "/mcards/webhooks", "").await.status, 403);

    server.operator("PUT", "/v1/tenants/other", r#"{"profile":"mcards"}"#, 201).await;
    server.operator("PUT", "/v1/tenants/plain", "{}", 201).await;
    let scopes = ["webhooks-read", "webhooks-write"];
    let other = server.token("other", &scopes).await;
    for (method, body) in [("GET", ""), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", "")] {
        assert_eq!(server.call(&other, method, &path, body).await.status, 404, "{method}");
    }
    assert_eq!(server.call(&other, "GET", "/mcards/webhooks", "").await.json(), json!([]));
    // A tenant of another profile has nothing here.
    let plain = server.token("plain", &scopes).await;
    assert_eq!(server.call(&plain, "GET", "/mcards/webhooks", "").await.status, 404);
    assert_eq!(server.call(&reader, "GET", &path, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a77_two_credentials_that_disagree_are_refused() {
    let partner = Partner::at("/mcards").await;
    let token = partner.server.token("loyal", &["webhooks-read"]).await;
    let proof = partner.proof("null");
    let mut answers = Vec::new();
    for lines in [
        format!("Authorization: {proof}\r\nAuthorization: Bearer {token}\r\n"),
        format!("Authorization: {proof}\r\nAuthorization: {proof}\r\n"),
        format!("Cookie: session={token}\r\n"),
        format!("Authorization: {proof}\r\nCookie: session=x\r\nOrigin: https://evil.example\r\n"),
    ] {
        let mut stream = TcpStream::connect(partner.server.address).await.unwrap();
        let head = format!("GET /mcards/webhooks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
        answers.push(answer[9..12].to_owned());
    }
    // A cookie beside a valid credential says nothing.
    assert_eq!(answers, ["401", "401", "401", "200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a92_secrets_stay_where_they_are_not_given_and_the_operator_hears_of_a_move() {
    let partner = Partner::at("/mcards").await;
    let (first, _) = receiver().await;
    let (path, _) = partner.registered(&registration(&first)).await;
    let (second, mut told) = receiver().await;
    let change = json!({"webhook_url": second, "status": "active"}).to_string();
    let patched = partner.call("PATCH", &path, &change).await;
    assert_eq!((patched.status, &patched.json()["basic_auth_username"]), (200, &json!("partner")));
    let told_of = moved(&partner.server).await;
    assert_eq!((&told_of["tenant"], &told_of["from_host"]), (&json!("loyal"), &json!(host(&first))));

    let data = r#"{"tenant":"loyal","type":"transaction","data":{"amount":1}}"#;
    partner.publish(data, 202).await;
    let request = told.recv().await.unwrap();
    assert_eq!(header(&request, "authorization"), Some("Basic cGFydG5lcjpww6Rzcw=="));
    let signature = hex_hmac("partner's hmac secret", body(&request));
    assert_eq!(header(&request, "x-hmac-signature"), Some(&*signature));

    // One of user name and password may be changed alone, and null or "" clears.
    for (change, username, has_secret) in [
        (json!({"basic_auth_username": "renamed"}), json!("renamed"), true),
        (json!({"basic_auth_secret": "another"}), json!("renamed"), true),
        (json!({"basic_auth_secret": ""}), Value::Null, true),
        (json!({"basic_auth_secret": ""}), Value::Null, true),
        (json!({"basic_auth_username": "u", "basic_auth_secret": "s"}), json!("u"), true),
        (json!({"basic_auth_username": null, "hmac_secret": null}), Value::Null, false),
        (json!({"hmac_secret": "new"}), Value::Null, true),
        (json!({"hmac_secret": ""}), Value::Null, false),
    ] {
        let answer = partner.call("PATCH", &path, &change.to_string()).await;
        assert_eq!((answer.status, &answer.json()["basic_auth_username"]), (200, &username), "{change}");
        assert_eq!(partner.endpoint().await["secret_set"], has_secret, "{change}");
    }
    // Not signed, not authenticated.
    partner.publish(data, 202).await;
    let request = told.recv().await.unwrap();
    assert_eq!((header(&request, "authorization"), header(&request, "x-hmac-signature")), (None, None));
    for (change, told) in [
        (json!({"basic_auth_username": "u"}), "/basic_auth_secret"),
        (json!({"basic_auth_secret": "u"}), "/basic_auth_username"),
        (json!({"webhook_url": null}), "/webhook_url"),
        (json!({"webhook_event_type": ""}), "/webhook_event_type"),
    ] {
        let answer = partner.call("PATCH", &path, &change.to_string()).await;
        assert_eq!((answer.status, pointers(&answer)), (422, vec![told.to_owned()]), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_what_partners_of_mcards_check() {
    let partner = Partner::at("/mcards").await;
    let (url, mut told) = receiver().await;
    partner.registered(&registration(&url)).await;
    let event = r#"{"tenant":"loyal","type":"transaction","id":"tx-1",
        "data":{"webhook_event_type":"transaction","amount":42.50,"currency_code":"USD","location":null}}"#;
    partner.publish(event, 202).await;
    let request = told.recv().await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    let sent = r#"{"webhook_event_type":"transaction","amount":42.50,"currency_code":"USD","location":null}"#;
    assert_eq!(body(&request), sent);
    // Computed by Python's hmac, over these bytes.
    let signature = "e5050798313981a04c6750dfa6272b8794ba1fe1cb57aef743e97d3faa164040";
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Basic cGFydG5lcjpww6Rzcw=="),
        ("x-hmac-signature", signature),
        ("x-webhook-id", "tx-1"),
        ("x-webhook-sequence", "1"),
    ] {
        assert_eq!(header(&request, name), Some(value), "{request}");
    }
    // Other types are not for this registration, and one that contradicts itself is none.
    partner.publish(r#"{"tenant":"loyal","type":"location","data":{"event":"location"}}"#, 202).await;
    partner
        .publish(r#"{"tenant":"loyal","type":"transaction","data":{"webhook_event_type":"location"}}"#, 422)
        .await;
    partner.publish(r#"{"tenant":"loyal","type":"transaction","id":"tx-2","data":{"amount":1}}"#, 202).await;
    let request = told.recv().await.unwrap();
    assert_eq!(header(&request, "x-webhook-sequence"), Some("2"));
    let sent: Value = serde_json::from_str(body(&request)).unwrap();
    assert_eq!(sent, json!({"webhook_event_type": "transaction", "amount": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_originator_gets_its_own_events_and_an_inactive_registration_none() {
    let partner = Partner::at("/mcards").await;
    let (url, mut told) = receiver().await;
    let mut wanted = registration(&url);
    wanted["originator_identifier"] = json!("shop-7");
    let (path, _) = partner.registered(&wanted).await;
    let event = |id: &str, originator: &str| {
        json!({
            "tenant": "loyal", "type": "transaction", "id": id, "data": {},
            "attributes": {"originator_identifier": originator},
        })
        .to_string()
    };
    partner.publish(&event("e1", "shop-8"), 202).await;
    partner.publish(&event("e2", "shop-7"), 202).await;
    assert_eq!(header(&told.recv().await.unwrap(), "x-webhook-id"), Some("e2"));
    partner.call("PATCH", &path, r#"{"status":"inactive"}"#).await;
    partner.publish(&event("e3", "shop-7"), 202).await;
    let cleared = partner.call("PATCH", &path, r#"{"status":"active","originator_identifier":""}"#).await;
    assert_eq!(cleared.json()["originator_identifier"], Value::Null);
    partner.publish(&event("e4", "shop-8"), 202).await;
    assert_eq!(header(&told.recv().await.unwrap(), "x-webhook-id"), Some("e4"));
    let skipped = eventually(|| async {
        let log =
            partner.server.operator("GET", "/v1/tenants/loyal/deliveries?status=skipped", "", 200).await;
        log["data"].as_array().is_some_and(|rows| rows.len() == 1).then_some(log)
    });
    assert_eq!(skipped.await["data"][0]["event"], "e3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registration_cannot_say_is_shown_with_a_hint_and_left_as_it_is() {
    let partner = Partner::at("/mcards").await;
    let own = "/v1/tenants/loyal/endpoints/own";
    for (n, (body, shown)) in [
        (json!({"event_types": ["*"]}), Value::Null),
        (json!({"event_types": ["transaction", "location"]}), Value::Null),
        (json!({"event_types": ["payment.*"]}), Value::Null),
        (json!({"event_types": []}), Value::Null),
        (
            json!({"event_types": ["location"], "filters": {"attributes": {"originator_identifier": ["a", "b"]}}}),
            json!("location"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body;
        body["url"] = json!(ELSEWHERE);
        let status = if n == 0 { 201 } else { 200 };
        partner.server.operator("PUT", own, body.to_string(), status).await;
        let before = partner.endpoint().await;
        let listed = partner.call("GET", "/webhooks", "").await.json();
        let hint = listed[0]["hint"].as_str().unwrap_or_default();
        assert!(listed[0]["webhook_event_type"] == shown && hint.contains("changed where it was made"), "{listed}");
        let id = listed[0]["webhook_uuid"].as_str().unwrap();
        // A UUID of version 8, since its owner chose the id.
        assert_eq!(&id[14..15], "8");
        let path = format!("/webhooks/{id}");
        assert_eq!(partner.call("GET", &path, "").await.json(), listed[0]);
        for (method, body) in
            [("PUT", registration(ELSEWHERE).to_string()), ("PATCH", r#"{"status":"inactive"}"#.into()), ("DELETE", String::new())]
        {
            let answer = partner.call(method, &path, &body).await;
            assert_eq!((answer.status, pointers(&answer)), (409, vec![String::new()]), "{method}");
        }
        assert_eq!(partner.endpoint().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_loses_nothing_that_an_endpoint_has_beside() {
    let partner = Partner::at("/mcards").await;
    let body = json!({
        "url": ELSEWHERE, "event_types": ["transaction"], "description": "d", "headers": {"X-Own": "1"},
        "metadata": {"owner": "o"}, "retry": {"schedule_s": [5]}, "timeout_ms": 4000,
        "auth": {"type": "bearer", "token": "t"},
        "filters": {"attributes": {"country": ["SE"]}, "data": [{"pointer": "/amount", "op": "gte", "value": 5}]},
    });
    partner.server.operator("PUT", "/v1/tenants/loyal/endpoints/own", body.to_string(), 201).await;
    let id =
        partner.call("GET", "/webhooks", "").await.json()[0]["webhook_uuid"].as_str().unwrap().to_owned();
    let put = json!({
        "webhook_url": ELSEWHERE, "webhook_event_type": "location", "originator_identifier": "x",
        "basic_auth_username": null, "basic_auth_secret": "",
    });
    let answer = partner.call("PUT", &format!("/webhooks/{id}"), &put.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let after = partner.endpoint().await;
    assert_eq!(after["filters"]["attributes"], json!({"country": ["SE"], "originator_identifier": ["x"]}));
    assert_eq!(after["filters"]["data"][0]["pointer"], "/amount");
    for field in ["description", "headers", "metadata", "retry", "timeout_ms"] {
        assert_eq!(after[field], body[field], "{field}");
    }
    assert_eq!((&after["auth"]["type"], &after["auth"]["token_set"]), (&json!("bearer"), &json!(true)));
    let put = json!({"webhook_url": ELSEWHERE, "webhook_event_type": "location"}).to_string();
    partner.call("PUT", &format!("/webhooks/{id}"), &put).await;
    assert_eq!(partner.endpoint().await["filters"]["attributes"], json!({"country": ["SE"]}));
}
