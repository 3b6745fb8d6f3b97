//! Profiles: what each sends, which events it takes, an operator's own, and moving from one to another.

use std::path::Path;

use aws_lc_rs::hmac;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Value, json};

use crate::harness::{Api, Received, Receiver, Reply, Server, Setup, Tenant, eventually};
use crate::program::Program;

/// Data with white space, an exponent and a doubled name, which tell whether bytes stay.
const DATA: &str = "{ \"total\" :\t42.50, \"limit\": 1e2,\n  \"total\": 42.50, \"note\": \"é\\u00e9\" }";
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/profiles.md");

async fn tenant(api: &Api, id: &str, profile: &str) -> Tenant {
    let integrations = if profile == "mcards" { vec!["full_webhook_access"] } else { Vec::new() };
    let spec = json!({"profile": profile, "integrations": integrations});
    api.json("PUT", &format!("/v1/tenants/{id}"), &spec).await.ok(201);
    Tenant { api: api.clone(), id: id.into() }
}

/// Makes an endpoint at the receiver; its path.
async fn endpoint(tenant: &Tenant, receiver: &Receiver, mut spec: Value) -> String {
    spec["url"] = json!(receiver.url());
    let made = tenant.api.post(&tenant.path("endpoints"), &spec).await.ok(201);
    tenant.path(&format!("endpoints/{}", made["id"].as_str().unwrap()))
}

/// Waits until an endpoint has proven whose it is, where its profile asks for that.
async fn verified(api: &Api, path: &str) {
    eventually("the endpoint is verified", async || {
        let read = api.get(path).await.ok(200);
        (read["verified"] == true).then_some(())
    })
    .await;
}

/// Publishes data byte for byte.
async fn publish(tenant: &Tenant, event_type: &str, data: &str) -> String {
    let body = format!(r#"{{"tenant":"{}","type":"{event_type}","data":{data}}}"#, tenant.id);
    tenant.api.publish_text(&body).await.ok(202)["id"].as_str().unwrap().to_owned()
}

/// HMAC-SHA256 in hex under the bytes of a text, as receivers of these platforms compute it.
fn hex_of(secret: &str, body: &[u8]) -> String {
    HEXLOWER.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body).as_ref())
}

#[tokio::test]
async fn fourpay_and_opencard_send_the_data_byte_for_byte_and_sign_these_bytes() {
    let server = Server::start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    for (profile, event_type, header, signature) in [
        ("fourpay", "card_transaction", "x-webhook-event", "x-webhook-signature"),
        ("opencard", "card.transaction.authorized", "x-event", "x-data-signature"),
    ] {
        let tenant = tenant(&api, profile, profile).await;
        receiver.proves("a partner's own secret");
        let path = endpoint(&tenant, &receiver, json!({"secret": "a partner's own secret"})).await;
        verified(&api, &path).await;
        let event = publish(&tenant, event_type, DATA).await;
        let delivery = tenant.wait_for_status(&event, "succeeded").await;
        let arrived = receiver.all().into_iter().next_back().unwrap();
        assert_eq!(arrived.message.body, DATA.as_bytes(), "{profile}");
        assert_eq!(arrived.header(signature), hex_of("a partner's own secret", &arrived.message.body));
        assert_eq!((arrived.header(header), arrived.header("x-webhook-id")), (event_type, &*event));
        assert_eq!(arrived.header("x-webhook-sequence"), "1");
        assert!(arrived.message.header("webhook-signature").is_none());
        // The log shows it as it was sent, the signature aside.
        let read = tenant.delivery(delivery["id"].as_str().unwrap()).await;
        let headers = &read["attempts"][0]["request_headers"];
        assert_eq!((&headers[signature], &headers[header]), (&json!("***"), &json!(event_type)), "{headers}");
    }
}

#[tokio::test]
async fn an_endpoint_without_a_secret_is_signed_for_under_the_servers_key_where_its_profile_says_so() {
    let key = "the platform's own key";
    let server = Setup::default().set("FOURPAY__SIGNING_KEY", key).start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    let fourpay = tenant(&api, "fourpay", "fourpay").await;
    let path = endpoint(&fourpay, &receiver, json!({})).await;
    assert_eq!(api.get(&path).await.ok(200)["secret_set"], json!(false));
    publish(&fourpay, "card_state", "{}").await;
    let arrived = receiver.wait_for(1).await;
    assert_eq!(arrived[0].header("x-webhook-signature"), hex_of(key, b"{}"));
    // mCards signs for nobody who gave no secret.
    let mcards = tenant(&api, "mcards", "mcards").await;
    endpoint(&mcards, &receiver, json!({})).await;
    publish(&mcards, "location", "{}").await;
    let arrived = receiver.wait_for(2).await;
    assert!(arrived[1].message.header("x-hmac-signature").is_none());
}

#[tokio::test]
async fn a_platforms_catalogue_is_closed_and_the_operator_may_add_to_it() {
    let server = Server::start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    let mcards = tenant(&api, "mcards", "mcards").await;
    let path = endpoint(&mcards, &receiver, json!({"secret": "hush"})).await;
    assert_eq!(api.get(&path).await.ok(200)["profile"], "mcards", "its tenant's");
    let try_publish = async |event_type: &str, data: Value| {
        api.post("/v1/events", &json!({"tenant": "mcards", "type": event_type, "data": data})).await
    };
    for (event_type, data, pointer) in [
        ("card.frozen", json!({}), "/type"),
        ("location", json!([]), "/data"),
        ("location", json!({"webhook_event_type": "transaction"}), "/data/webhook_event_type"),
        ("transaction", json!({"amount": "1"}), "/data/amount"),
    ] {
        let refused = try_publish(event_type, data).await;
        refused.problem(422);
        assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), [pointer]);
    }
    let batch = json!([{"tenant": "mcards", "type": "card.frozen", "data": {}}]);
    let answer = api.post("/v1/events", &batch).await.ok(202);
    assert_eq!(answer["data"][0]["error"]["errors"][0]["pointer"], "/0/type", "{answer}");

    // What comes with the profile stays as it is.
    let listed = api.get("/v1/event-types?profile=mcards").await.ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 9);
    let bundled = api.get("/v1/event-types/transaction?profile=mcards").await.ok(200);
    assert_eq!((&bundled["bundled"], &bundled["created_at"]), (&json!(true), &Value::Null));
    api.json("PUT", "/v1/event-types/transaction?profile=mcards", &json!({})).await.problem(409);
    api.delete("/v1/event-types/transaction?profile=mcards").await.problem(409);
    let unknown = api.get("/v1/event-types?profile=nobody").await;
    assert!(unknown.problem(422)["errors"][0]["detail"].as_str().unwrap().contains("mcards"));

    // What the operator adds is theirs, in this catalogue alone.
    let added = json!({"schema": {"required": ["card"]}});
    api.json("PUT", "/v1/event-types/card.frozen?profile=mcards", &added).await.ok(201);
    api.get("/v1/event-types/card.frozen").await.problem(404);
    try_publish("card.frozen", json!({})).await.problem(422);
    let event =
        try_publish("card.frozen", json!({"card": "c-1"})).await.ok(202)["id"].as_str().unwrap().to_owned();
    mcards.wait_for_status(&event, "succeeded").await;
    let arrived = receiver.all().into_iter().next_back().unwrap();
    assert_eq!(arrived.message.body, br#"{"webhook_event_type":"card.frozen","card":"c-1"}"#);
    assert_eq!(arrived.header("x-hmac-signature"), hex_of("hush", &arrived.message.body));

    // A test sends the example as it was published.
    let tested = api.post(&format!("{path}/test"), &json!({"type": "transaction"})).await.ok(200);
    assert_eq!(tested["status_code"], 204, "{tested}");
    let arrived = receiver.all().into_iter().next_back().unwrap();
    assert_eq!(arrived.json()["claimed_offer"]["claimed_offer_uuid"], Value::Null);
    assert_eq!(arrived.header("x-hmac-signature"), hex_of("hush", &arrived.message.body));
    api.post(&format!("{path}/test"), &json!({"type": "card.nothing"})).await.problem(422);
}

#[tokio::test]
async fn secrets_are_as_each_profile_has_them() {
    let server = Server::start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    let opencard = tenant(&api, "acme", "opencard").await;
    let path = endpoint(&opencard, &receiver, json!({})).await;
    api.get(&format!("{path}/secret")).await.problem(403);
    let rotated = api.post(&format!("{path}/secret/rotate"), &json!({"overlap_s": 600})).await.ok(200);
    let secret = rotated["secret"].as_str().unwrap();
    receiver.proves(secret);
    api.post(&format!("{path}/challenge"), &json!({})).await.ok(200);
    verified(&api, &path).await;
    let asked = receiver.count();
    assert!(secret.len() == 60 && secret.bytes().all(|b| b.is_ascii_alphanumeric()), "{secret}");
    publish(&opencard, "tpa.signed", "{}").await;
    // One signature alone, by the new one, whatever was asked.
    let arrived = receiver.wait_for(asked + 1).await;
    assert_eq!(arrived[asked].header("x-data-signature"), hex_of(secret, b"{}"));
    // A profile that signs in base64 takes another secret, so one must come with the change.
    let refused = api.json("PATCH", &path, &json!({"profile": "standard", "secret": "hush"})).await;
    refused.problem(422);
    let unknown = api.json("PATCH", &path, &json!({"profile": "nobody"})).await;
    assert!(
        unknown.problem(422)["errors"][0]["detail"].as_str().unwrap().contains("opencard, penny, standard")
    );
    api.json("PATCH", &path, &json!({"profile": "standard", "secret": SECRET})).await.ok(200);
    publish(&opencard, "tpa.signed", "{}").await;
    receiver.wait_for(asked + 2).await[asked + 1].verify(SECRET);
    // Removing it is for those alone that need none.
    api.json("PATCH", &path, &json!({"secret": null})).await.problem(422);
    let cleared = api.json("PATCH", &path, &json!({"profile": "penny", "secret": null})).await.ok(200);
    assert_eq!(cleared["secret_set"], json!(false));
    let unknown = api.json("PUT", "/v1/tenants/beta", &json!({"profile": "nobody"})).await;
    assert!(unknown.problem(422)["errors"][0]["detail"].as_str().unwrap().contains("fourpay"));
}

#[tokio::test]
async fn a_bearer_token_that_names_its_scheme_is_sent_as_it_is_where_the_profile_says_so() {
    let server = Server::start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    for (id, profile, token, sent) in [
        ("a", "penny", "tok-1", "Bearer tok-1"),
        ("b", "penny", "Token tok-1", "Token tok-1"),
        ("c", "clevercards", "Token tok-1", "Bearer Token tok-1"),
    ] {
        let tenant = tenant(&api, id, profile).await;
        endpoint(&tenant, &receiver, json!({"auth": {"type": "bearer", "token": token}})).await;
        let event_type = if profile == "penny" { "transaction.authorized" } else { "CARD_CREATED" };
        let event = publish(&tenant, event_type, "{}").await;
        tenant.wait_for_status(&event, "succeeded").await;
        let arrived = receiver.all().into_iter().next_back().unwrap();
        assert_eq!(arrived.header("authorization"), sent);
        let (id, kind) =
            if profile == "penny" { ("event_id", "event_identifier") } else { ("eventId", "eventType") };
        let body = arrived.json();
        assert_eq!((&body[id], &body[kind], &body["data"]), (&json!(event), &json!(event_type), &json!({})));
    }
}

#[tokio::test]
async fn one_request_verifies_under_both_profiles_until_the_time_is_over() {
    let server = Server::start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    let acme = tenant(&api, "acme", "opencard").await;
    let also = |profile: &str, until: &str| json!({"also_sign": [{"profile": profile, "until": until}]});
    let far = "2999-01-01T00:00:00.000Z";
    receiver.proves(SECRET);
    let path = endpoint(&acme, &receiver, json!({"secret": SECRET, "headers": {"X-Own": "1"}})).await;
    verified(&api, &path).await;
    let changed = api.json("PATCH", &path, &also("standard", far)).await.ok(200);
    assert_eq!(changed["also_sign"], json!([{"profile": "standard", "until": far}]));
    let event = publish(&acme, "tpa.signed", DATA).await;
    let arrived = receiver.wait_for(1).await;
    assert_eq!(arrived[0].header("x-data-signature"), hex_of(SECRET, DATA.as_bytes()));
    arrived[0].verify(SECRET);
    assert_eq!((arrived[0].event(), arrived[0].message.body.as_slice()), (&*event, DATA.as_bytes()));
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let read = acme.delivery(delivery["id"].as_str().unwrap()).await;
    let headers = &read["attempts"][0]["request_headers"];
    assert_eq!(
        (&headers["webhook-signature"], &headers["x-data-signature"]),
        (&json!("v1,***"), &json!("***"))
    );

    // Whatever is made or given in a rotation must do for both.
    api.post(&format!("{path}/secret/rotate"), &json!({"secret": "hush"})).await.problem(422);
    let next = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    api.post(&format!("{path}/secret/rotate"), &json!({"secret": next})).await.ok(200);
    let event = publish(&acme, "tpa.signed", "{}").await;
    acme.wait_for_status(&event, "succeeded").await;
    let arrived = receiver.all().into_iter().next_back().unwrap();
    assert!(arrived.is_signed_with(next) && arrived.header("x-data-signature") == hex_of(next, b"{}"));

    // Headers that both set to the same are none in the way; others are.
    api.json("PATCH", &path, &also("fourpay", far)).await.ok(200);
    let event = publish(&acme, "tpa.signed", "{}").await;
    acme.wait_for_status(&event, "succeeded").await;
    let arrived = receiver.all().into_iter().next_back().unwrap();
    assert_eq!(arrived.header("x-webhook-signature"), arrived.header("x-data-signature"));
    for (patch, pointer) in [
        (also("opencard", far), "/also_sign/0/profile"),
        (also("nobody", far), "/also_sign/0/profile"),
        (also("standard", "soon"), "/also_sign/0/until"),
        (
            json!({"also_sign": [{"profile": "clevercards", "until": far}], "headers": {"X-Signature": "1"}}),
            "/also_sign/0/profile",
        ),
        (
            json!({"also_sign": [{"profile": "standard", "until": far}], "secret": "hush"}),
            "/also_sign/0/profile",
        ),
        (json!({"headers": {"X-Data-Signature": "1"}}), "/headers/X-Data-Signature"),
    ] {
        let refused = api.json("PATCH", &path, &patch).await;
        refused.problem(422);
        assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{patch}");
    }

    api.json("PATCH", &path, &also("standard", "2020-01-01T00:00:00Z")).await.ok(200);
    let event = publish(&acme, "tpa.signed", "{}").await;
    acme.wait_for_status(&event, "succeeded").await;
    let arrived = receiver.all().into_iter().next_back().unwrap();
    assert!(
        arrived.message.header("webhook-signature").is_none()
            && arrived.message.header("x-data-signature").is_some()
    );
}

/// Whether a delivery has one attempt.
fn tried_once(delivery: &Value) -> bool {
    delivery["attempts"].as_array().is_some_and(|made| made.len() == 1)
}

/// The files of the example in the documentation.
fn northpay(root: &Path) {
    let text = std::fs::read_to_string(DOCS).unwrap();
    let mut blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let folder = root.join("northpay");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["wire.toml", "catalog.toml"] {
        std::fs::write(folder.join(file), blocks.next().unwrap()).unwrap();
    }
}

/// Checks a request as Northpay's partners would.
fn verify_northpay(arrived: &Received, secret: &str) {
    let (stamp, signature) = arrived.header("northpay-signature").split_once(',').unwrap();
    let key = HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA512, &key);
    let mut signed = format!("{}.", stamp.strip_prefix("t=").unwrap()).into_bytes();
    signed.extend_from_slice(&arrived.message.body);
    let signature = HEXLOWER.decode(signature.strip_prefix("v2=").unwrap().as_bytes()).unwrap();
    hmac::verify(&key, &signed, &signature).unwrap();
}

#[tokio::test]
async fn the_invented_platform_of_the_documentation_is_delivered_to() {
    let root = tempfile::tempdir().unwrap();
    northpay(root.path());
    let mut server = Setup::default().set("PROFILES_DIR", root.path().display()).start().await;
    let (api, receiver) = (server.api(), Receiver::start().await);
    receiver.answer(Reply::status(200).body(br#"{"received": true}"#));
    let north = tenant(&api, "north", "northpay").await;
    let secret = "0f".repeat(32);
    let path = endpoint(&north, &receiver, json!({"secret": secret})).await;
    assert_eq!(api.get(&path).await.ok(200)["timeout_ms"], 5_000);
    api.post("/v1/events", &json!({"tenant": "north", "type": "payout.lost", "data": 1})).await.problem(422);
    let data = r#"{"payout": "po_1", "amount": 42.50}"#;
    let body = format!(
        r#"{{"tenant":"north","type":"payout.sent","id":"e-1","occurred_at":"2026-01-01T00:00:00Z","data":{data}}}"#
    );
    api.publish_text(&body).await.ok(202);
    let arrived = receiver.wait_for(1).await;
    let expected = format!(
        r#"{{"version":2,"notification":"e-1","kind":"payout.sent","at":1767225600,"number":1,"payload":{data}}}"#
    );
    assert_eq!(String::from_utf8(arrived[0].message.body.clone()).unwrap(), expected);
    assert_eq!(
        (arrived[0].header("northpay-kind"), arrived[0].header("northpay-attempt")),
        ("payout.sent", "1")
    );
    verify_northpay(&arrived[0], &secret);
    let delivery = north.wait_for_status("e-1", "succeeded").await;
    let payload = &north.delivery(delivery["id"].as_str().unwrap()).await["payload"];
    assert_eq!(payload["number"], 1, "{payload}");

    // An answer that does not say what it must is none.
    receiver.answer(Reply::status(200));
    let event = publish(&north, "payout.returned", "{}").await;
    let delivery =
        eventually("it is tried once", async || Some(north.delivery_of(&event).await).filter(tried_once))
            .await;
    assert_eq!(delivery["status"], "pending");
    let read = north.delivery(delivery["id"].as_str().unwrap()).await;
    assert!(
        read["attempts"][0]["error"].to_string().contains("does not take for an acknowledgement"),
        "{read}"
    );

    // Paused, it skips.
    api.json("PATCH", &path, &json!({"enabled": false})).await.ok(200);
    let event = publish(&north, "payout.sent", "{}").await;
    north.wait_for_status(&event, "skipped").await;
    api.json("PATCH", &path, &json!({"enabled": true})).await.ok(200);

    // Taken away, it stops nothing: the start tells of it, and so does an attempt.
    server.stop().await;
    let without = server.setup().clone().without("PROFILES_DIR");
    server.set_up(without);
    server.start_again().await;
    let (api, north) = (server.api(), north.at(server.api()));
    assert!(server.log().contains("nothing is delivered to endpoints whose profile is there no more"));
    assert_eq!(api.get(&path).await.ok(200)["profile"], "northpay");
    let tested = api.post(&format!("{path}/test"), &json!({"type": "payout.sent"})).await.problem(409);
    assert!(tested["detail"].as_str().unwrap().contains("profile is there no more"), "{tested}");
    let event = publish(&north, "payout.sent", "{}").await;
    eventually("it is tried once", async || Some(north.delivery_of(&event).await).filter(tried_once)).await;
    let refused = api.json("PATCH", &path, &json!({"name": "till"})).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/profile"]);
    api.json("PATCH", &path, &json!({"profile": "fourpay"})).await.ok(200);
}

#[tokio::test]
async fn a_server_does_not_start_with_a_declaration_that_it_cannot_read() {
    let root = tempfile::tempdir().unwrap();
    northpay(root.path());
    let file = root.path().join("northpay/wire.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("\"hmac-sha512\"", "\"md5\"");
    std::fs::write(&file, text.replace("shape = \"envelope\"", "shape = \"enveloppe\"")).unwrap();
    let folder = root.path().display().to_string();
    let ran = Program::new(&["serve", "--listen", "127.0.0.1:0", "--profiles-dir", &folder])
        .directory(root.path())
        .run()
        .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("northpay/wire.toml: line 4: body.shape must be one of raw, envelope, flat"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("signatures.v2.algorithm must be one of hmac-sha256, hmac-sha512"),
        "{}",
        ran.err
    );
}
