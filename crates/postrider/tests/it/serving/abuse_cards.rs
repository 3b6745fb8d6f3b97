//! Card data sent in every way that there is: refused, hidden or taken out, and afterwards in no file of the server.

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, Setup};

/// A card number, and another one with the same ends.
const NUMBER: &str = "4929717826138348";
const TWIN: &str = "4929719040018348";
const MASKED: &str = "492971******8348";
/// What must be found wherever events are kept, so that a search that finds nothing means something.
const MARKER: &str = "marker-of-the-search";

/// Whether a text is in a file. A few digits count where they stand alone: times and ids have any of them somewhere.
fn holds(file: &[u8], text: &str) -> bool {
    let goes_on = |at: Option<usize>| at.and_then(|at| file.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    memchr::memmem::find_iter(file, text)
        .any(|at| text.len() > 8 || !(goes_on(at.checked_sub(1)) || goes_on(Some(at + text.len()))))
}

/// Asserts that some texts are in no file of the server and in nothing that it logged, and that the marker is in a file.
fn assert_kept_nowhere(server: &Server, planted: &[&str]) {
    let mut files = server.files();
    assert!(files.values().any(|file| holds(file, MARKER)), "the search finds what is kept");
    files.insert("the log".into(), server.log().into_bytes());
    for text in planted {
        for (name, file) in &files {
            assert!(!holds(file, text), "{text} is in {name}");
        }
    }
}

/// With everything logged that can be.
async fn server_that_logs_all() -> Server {
    Setup::default().set("LOG", "trace").start().await
}

fn event(tenant: &str, data: Value) -> Value {
    json!({"tenant": tenant, "type": "card.transaction", "data": data})
}

#[tokio::test]
async fn abuse_a50_a104_a_card_number_is_refused_in_every_form_and_place_and_kept_nowhere() {
    let mut server = server_that_logs_all().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let grouped = "4929 7178 2613 8348";
    let escaped = r"\u0034929717826138348";
    let data = |text: &str| format!(r#"{{"tenant":"acme","type":"card.transaction","data":{text}}}"#);
    let field = |field: &str, value: &str| {
        format!(r#"{{"tenant":"acme","type":"card.transaction","data":{{}},"{field}":{value}}}"#)
    };
    for (body, pointer) in [
        (data(&format!(r#"{{"pan":"{NUMBER}"}}"#)), "/data/pan"),
        (data(&format!(r#"{{"pan":{NUMBER}}}"#)), "/data/pan"),
        (data(r#"{"pan":4.929717826138348e15}"#), "/data/pan"),
        (data(&format!(r#"{{"a":[{{"note":"card {grouped}, please"}}]}}"#)), "/data/a/0/note"),
        (data(&format!(r#"{{"pan":"{escaped}"}}"#)), "/data/pan"),
        (data(r#"{"pan":"４９２９７１７８２６１３８３４８"}"#), "/data/pan"),
        (data(&format!(r#"{{"raw":"{{\"pan\":\"{NUMBER}\"}}"}}"#)), "/data/raw"),
        (data(&format!(r#"{{"track":";{NUMBER}=25121010000012345678?"}}"#)), "/data/track"),
        (data(&format!(r#"{{"swipe":"{NUMBER}=25121010000012345678"}}"#)), "/data/swipe"),
        (data(&format!(r#"{{"{NUMBER}":1}}"#)), "/data"),
        (field("key", &format!(r#""{grouped}""#)), "/key"),
        (field("id", &format!(r#""evt-{NUMBER}""#)), "/id"),
        (field("attributes", &format!(r#"{{"pan":"{NUMBER}"}}"#)), "/attributes/pan"),
        (field("attributes", &format!(r#"{{"pan":{NUMBER}}}"#)), "/attributes/pan"),
        (field("attributes", &format!(r#"{{"{NUMBER}":true}}"#)), "/attributes"),
        (data("{}").replace("card.transaction", &format!("card.{NUMBER}")), "/type"),
        // What no event has is no place for one either, and its name is not repeated.
        (field(NUMBER, "1"), "/****************"),
    ] {
        let answer = acme.api.publish_text(&body).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{body}");
        for shown in [NUMBER, grouped, "12345678"] {
            assert!(!answer.text().contains(shown), "{}", answer.text());
        }
    }
    // Of a batch only the one at fault is refused, at its place.
    let marked = json!({"note": MARKER});
    let batch =
        json!([event("acme", marked.clone()), event("acme", json!({"pan": NUMBER})), event("acme", marked)]);
    for answer in [
        acme.api.publish_text(&batch.to_string()).await,
        acme.api
            .publish_lines(
                &batch.as_array().unwrap().iter().map(|e| format!("{e}\n")).collect::<String>(),
                &[],
            )
            .await,
    ] {
        let items = answer.ok(202)["data"].clone();
        assert_eq!((&items[0]["deliveries"], &items[2]["deliveries"]), (&json!(1), &json!(1)), "{items}");
        assert_eq!(items[1]["error"]["status"], 422);
        assert_eq!(items[1]["error"]["errors"][0]["pointer"], "/1/data/pan");
    }
    let key = [("idempotency-key", NUMBER), ("content-type", "application/json")];
    let keyed =
        acme.api.send("POST", "/v1/events", &key, event("acme", json!({})).to_string().as_bytes()).await;
    assert!(!keyed.problem(422).to_string().contains(NUMBER));
    receiver.wait_for(4).await;
    assert_eq!(acme.whole_log("").await.len(), 4, "nothing came of the others");
    assert_kept_nowhere(&server, &[NUMBER, grouped, escaped, "4.929717826138348e15", "12345678"]);
    // Nor after everything has moved from the journal to its place.
    server.stop().await;
    server.start_again().await;
    assert_kept_nowhere(&server, &[NUMBER, grouped, escaped, "4.929717826138348e15", "12345678"]);
}

#[tokio::test]
async fn abuse_a50_a_masked_number_is_delivered_logged_and_kept_masked() {
    let mut server = server_that_logs_all().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let policy = json!({"name": "acme", "card_policy": {"numbers": "mask"}});
    let set = acme.api.json("PUT", "/v1/tenants/acme", &policy).await.ok(200);
    assert_eq!(set["card_policy"], json!({"numbers": "mask", "authentication_data": null, "exempt": []}));
    acme.endpoint(json!({"url": receiver.url()})).await;
    let body = |number: &str| {
        format!(
            r#"{{"tenant":"acme","type":"card.transaction","attributes":{{"pan":"{number}"}},"data":{{ "amount":42.50,"pan":{number}, "note" : "{MARKER} {number}","z":null }}}}"#
        )
    };
    let publish = async |number: &str| {
        let headers = [("idempotency-key", "one"), ("content-type", "application/json")];
        acme.api.send("POST", "/v1/events", &headers, body(number).as_bytes()).await.ok(202)
    };
    let first = publish(NUMBER).await;
    // What is known of the key tells nothing of the digits: another number with the same ends is the same event.
    assert_eq!((publish(NUMBER).await, publish(TWIN).await), (first.clone(), first.clone()));
    let delivery = acme.wait_for_status(first["id"].as_str().unwrap(), "succeeded").await;
    let arrived = receiver.wait_for(1).await.remove(0);
    let expected =
        format!(r#""data":{{ "amount":42.50,"pan":"{MASKED}", "note" : "{MARKER} {MASKED}","z":null }}}}"#);
    assert!(String::from_utf8_lossy(&arrived.message.body).ends_with(&expected), "{arrived:?}");
    assert_eq!(delivery["payload"]["data"]["pan"], MASKED);
    // What names something is refused all the same, and what authenticates a card.
    for (field, pointer) in [
        (json!({"key": NUMBER}), "/key"),
        (json!({"id": NUMBER}), "/id"),
        (json!({"data": {"cvv": "123"}}), "/data/cvv"),
    ] {
        let mut refused = event("acme", json!({}));
        refused.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let answer = acme.api.publish_text(&refused.to_string()).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer]);
    }
    assert_kept_nowhere(&server, &[NUMBER, TWIN]);
    // The policy is still in force after a start.
    server.stop().await;
    server.start_again().await;
    let acme = acme.at(server.api());
    let again = acme.publish(json!({"data": {"pan": NUMBER}})).await;
    assert_eq!(acme.wait_for_status(&again, "succeeded").await["payload"]["data"]["pan"], MASKED);
    assert_kept_nowhere(&server, &[NUMBER, TWIN]);
}

#[tokio::test]
async fn abuse_a52_authentication_data_is_refused_or_gone_whatever_the_policy_for_numbers() {
    let server = server_that_logs_all().await;
    let receiver = Receiver::start().await;
    let secrets = json!({"card": {"cvv2": "9157", "token": MARKER}, "pin_block": "0412AC89FBCDEF67",
        "track2": format!(";{NUMBER}=25121010000012345678?"), "last4": "8348"});
    let planted = ["9157", "0412AC89FBCDEF67", "25121010000012345678"];
    for numbers in ["reject", "mask", "allow"] {
        let tenant = server.tenant(&format!("refuses-{numbers}")).await;
        let path = format!("/v1/tenants/{}", tenant.id);
        tenant.api.json("PUT", &path, &json!({"card_policy": {"numbers": numbers}})).await.ok(200);
        let answer = tenant.api.publish_text(&event(&tenant.id, secrets.clone()).to_string()).await;
        let pointers: Vec<String> = answer.pointers().into_iter().collect();
        assert_eq!(pointers, ["/data/card/cvv2", "/data/pin_block", "/data/track2"], "{numbers}");

        let tenant = server.tenant(&format!("strips-{numbers}")).await;
        let path = format!("/v1/tenants/{}", tenant.id);
        let policy = json!({"card_policy": {"numbers": numbers, "authentication_data": "strip"}});
        tenant.api.json("PUT", &path, &policy).await.ok(200);
        tenant.endpoint(json!({"url": receiver.url()})).await;
        let id = tenant.publish(json!({"data": secrets})).await;
        let delivery = tenant.wait_for_status(&id, "succeeded").await;
        assert_eq!(delivery["payload"]["data"], json!({"card": {"token": MARKER}, "last4": "8348"}));
    }
    assert!(receiver.all().iter().all(|r| !String::from_utf8_lossy(&r.message.body).contains("9157")));
    assert_kept_nowhere(&server, &planted);
    // What only has such a name is none.
    let acme = server.tenant("acme").await;
    acme.publish(json!({"data": {"pin": "Main Street", "cid": "c-123-abc", "track": "B side", "cvv": null}}))
        .await;
}

#[tokio::test]
async fn abuse_a50_what_receivers_send_back_is_kept_masked() {
    let server = server_that_logs_all().await;
    let receiver = Receiver::start().await;
    receiver.answer(
        Reply::status(500)
            .with("x-declined", NUMBER)
            .with("location", "/cards/%34929717826138348?card=4929%207178%202613%208348")
            .body(
                format!(r#"{{"error":"{MARKER}","pan":{NUMBER},"cvv":"9157","text":"{NUMBER} declined"}}"#)
                    .as_bytes(),
            ),
    );
    let acme = server.tenant("acme").await;
    // Whatever the tenant may send itself.
    acme.api.json("PUT", "/v1/tenants/acme", &json!({"card_policy": {"numbers": "allow"}})).await.ok(200);
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let id = acme.publish(json!({})).await;
    let delivery = acme.wait_for_status(&id, "failed").await;
    for attempt in delivery["attempts"].as_array().unwrap() {
        let body =
            format!(r#"{{"error":"{MARKER}","pan":"{MASKED}","cvv":"***","text":"{MASKED} declined"}}"#);
        assert_eq!(attempt["response_body"], body);
        assert_eq!(attempt["response_headers"]["x-declined"], MASKED);
        assert_eq!(
            attempt["response_headers"]["location"],
            "/cards/%3492971******8348?card=4929%2071**%20****%208348"
        );
    }
    let test =
        acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "card.created"})).await.ok(200);
    assert!(!test.to_string().contains(NUMBER), "{test}");
    assert_kept_nowhere(&server, &[NUMBER, "9157", "%34929717826138348"]);
}

#[tokio::test]
async fn abuse_a104_a_card_number_in_a_configuration_or_a_query_is_refused_and_never_logged() {
    let server = server_that_logs_all().await;
    let acme = server.tenant("acme").await;
    acme.publish(json!({"data": MARKER})).await;
    let spec = json!({
        "url": format!("https://partner.example/{NUMBER}?x=1"), "name": NUMBER, "description": "4929-7178-2613-8348",
        "headers": {"X-Card": NUMBER}, "metadata": {"card": NUMBER, NUMBER: "x"},
        "auth": {"type": "basic", "username": NUMBER, "password": "p"}
    });
    let answer = acme.api.post(&acme.path("endpoints"), &spec).await;
    let places =
        ["/auth/username", "/description", "/headers/X-Card", "/metadata", "/metadata/card", "/name", "/url"];
    assert_eq!(answer.pointers().iter().map(String::as_str).collect::<Vec<_>>(), places);
    assert!(!answer.text().contains(NUMBER), "{}", answer.text());
    let receiver = Receiver::start().await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let patched = acme.api.json("PATCH", &endpoint.path, &json!({"name": NUMBER})).await;
    assert_eq!(patched.pointers().into_iter().collect::<Vec<_>>(), ["/name"]);
    let put = acme
        .api
        .json("PUT", &acme.path(&format!("endpoints/{NUMBER}")), &json!({"url": receiver.url()}))
        .await;
    assert_eq!(put.pointers().into_iter().collect::<Vec<_>>(), ["/id"]);
    let test = acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": NUMBER})).await;
    assert_eq!(test.pointers().into_iter().collect::<Vec<_>>(), ["/type"]);
    let tenant =
        acme.api.json("PUT", "/v1/tenants/other", &json!({"name": NUMBER, "metadata": {"a": NUMBER}})).await;
    assert_eq!(tenant.pointers().into_iter().collect::<Vec<_>>(), ["/metadata/a", "/name"]);
    let named = acme.api.json("PUT", &format!("/v1/tenants/{NUMBER}"), &json!({})).await;
    assert_eq!(named.pointers().into_iter().collect::<Vec<_>>(), ["/tenant"]);
    let token = acme
        .api
        .post("/v1/tokens", &json!({"tenant": format!("{NUMBER}:*"), "scopes": ["events-write"]}))
        .await;
    assert_eq!(token.pointers().into_iter().collect::<Vec<_>>(), ["/tenant"]);
    let described = json!({"description": NUMBER, "example": {"card": NUMBER}, "schema": {"title": NUMBER}});
    let described = acme.api.json("PUT", "/v1/event-types/card.used", &described).await;
    let places = ["/description", "/example/card", "/schema/title"];
    assert_eq!(described.pointers().iter().map(String::as_str).collect::<Vec<_>>(), places);
    for (path, pointer) in [("event-types", "/type"), ("subjects", "/subject")] {
        let body = if path == "subjects" { json!({"tenants": ["acme"]}) } else { json!({}) };
        let named = acme.api.json("PUT", &format!("/v1/{path}/{NUMBER}"), &body).await;
        assert_eq!(named.pointers().into_iter().collect::<Vec<_>>(), [pointer]);
    }
    for (query, pointer) in [
        (format!("key={NUMBER}"), "/key"),
        ("key=4929+7178%202613%C2%A08348".into(), "/key"),
        (format!("event={NUMBER}"), "/event"),
        (format!("endpoint={NUMBER}"), "/endpoint"),
        (format!("cursor={NUMBER}"), "/cursor"),
        (format!("{NUMBER}=1"), "/****************"),
    ] {
        let answer = acme.api.get(&acme.path(&format!("deliveries?{query}"))).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{query}");
        assert!(!answer.text().contains(NUMBER), "{}", answer.text());
    }
    // An address leads nowhere with it, and is not logged either.
    let nowhere = acme.api.get(&acme.path(&format!("deliveries/{NUMBER}"))).await;
    assert!(!nowhere.problem(404).to_string().contains(NUMBER));
    assert_kept_nowhere(&server, &[NUMBER, "4929-7178-2613-8348", "4929+7178"]);
}

#[tokio::test]
async fn abuse_a51_events_of_ids_times_and_amounts_pass_byte_for_byte() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let data = r#"{"uuid":"41111111-1111-4111-8111-411111111111","at":"2025-03-15T14:22:31.000Z","ms":1742048551000,"ns":1742048551000000000,
        "amount":4111111111.11,"rate":4.111111111111111,"phone":"+4915112345678","iban":"DE12 5555 5555 5555 4444 00",
        "ref":"TX4929717826138348","masked":"492971******8348","hash":"4929717826138348d2f4"}"#;
    let body = format!(
        r#"{{"tenant":"acme","type":"card.transaction","data":{data},"key":"41111111-1111-4111-8111-411111111111"}}"#
    );
    acme.api.publish_text(&body).await.ok(202);
    let arrived = receiver.wait_for(1).await.remove(0);
    assert!(
        String::from_utf8_lossy(&arrived.message.body).ends_with(&format!(r#""data":{data}}}"#)),
        "{arrived:?}"
    );
}

#[tokio::test]
async fn a_tenant_may_be_allowed_numbers_everywhere_or_in_some_places() {
    let server = Setup::default().set("CARD_GUARD__NUMBERS", "mask").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let data = json!({"reference": NUMBER, "items": [{"no": NUMBER}], "pan": NUMBER});
    let seen = async |key: &str| {
        let id = acme.publish(json!({"key": key, "data": data})).await;
        acme.wait_for_status(&id, "succeeded").await["payload"]["data"].clone()
    };
    // As the server is configured.
    let masked = json!({"reference": MASKED, "items": [{"no": MASKED}], "pan": MASKED});
    assert_eq!(seen("k").await, masked);
    let exempt = json!([{"type": "card.*", "pointers": ["/data/reference", "/data/items/*/no", "/key"]}]);
    acme.api.json("PUT", "/v1/tenants/acme", &json!({"card_policy": {"exempt": exempt}})).await.ok(200);
    assert_eq!(seen(NUMBER).await, json!({"reference": NUMBER, "items": [{"no": NUMBER}], "pan": MASKED}));
    acme.api.json("PUT", "/v1/tenants/acme", &json!({"card_policy": {"numbers": "allow"}})).await.ok(200);
    assert_eq!(seen(NUMBER).await, data);
    acme.api.json("PUT", "/v1/tenants/acme", &json!({})).await.ok(200);
    assert_eq!(seen("k").await, masked);
}
