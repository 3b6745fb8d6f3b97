//! Databases of released versions: the server goes on where theirs stopped.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Api, Setup, Tenant};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../postrider-sqlite/tests/fixtures");

/// The fields of a delivery in the order in which the fixture has them.
const FIELDS: [&str; 12] = [
    "id",
    "event",
    "endpoint",
    "type",
    "key",
    "sequence",
    "status",
    "reason",
    "attempts",
    "last_status_code",
    "created_at",
    "finished_at",
];

#[tokio::test]
async fn abuse_a68_a_server_goes_on_with_the_database_of_the_first_version() {
    let said = std::fs::read(Path::new(FIXTURES).join("v1.json")).unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // Nothing of it is too old, whenever this runs.
    let setup = Setup::default()
        .set("ADMIN_TOKEN", text(&said["token"]))
        .set("RETENTION_DAYS", "3650")
        .set("PENDING_MAX_DAYS", "365");
    let mut server = setup.start_on(&Path::new(FIXTURES).join("v1.db")).await;
    for _ in 0..2 {
        let api = Api::new(server.address(), said["token"].as_str().unwrap());
        for (now, then) in api.whole("/v1/tenants", 2).await.iter().zip(said["tenants"].as_array().unwrap()) {
            contains(now, then);
        }
        for token in said["tokens"].as_array().unwrap() {
            api.with_token(token.as_str().unwrap())
                .get("/v1/tenants/acme/deliveries")
                .await
                .ok_or_forbidden();
        }
        api.with_token(said["revoked"].as_str().unwrap()).get("/v1/tenants").await.problem(401);
        for (id, secret) in said["secrets"].as_object().unwrap() {
            let read = api.get(&format!("/v1/tenants/acme/endpoints/{id}/secret")).await.ok(200);
            assert_eq!(read["secret"], *secret);
        }
        for name in ["acme", "acme:shop"] {
            answers_as_before(&Tenant { api: api.clone(), id: name.into() }, &said[name]).await;
        }
        for detail in said["details"].as_array().unwrap() {
            let then: Value = serde_json::from_str(&readable(&text(detail))).unwrap();
            let path = format!("/v1/tenants/acme/deliveries/{}", text(&then["id"]));
            let now: Value = serde_json::from_str(&readable(&api.get(&path).await.text())).unwrap();
            if then["status"] != "pending" {
                contains(&now, &then);
            }
        }
        // What is published now comes after all of it, to those it was owed to before.
        let acme = Tenant { api: api.clone(), id: "acme".into() };
        let event = acme.publish(json!({"type": "account.topup"})).await;
        assert_eq!(acme.log("limit=1").await[0]["event"], json!(event));
        server.stop().await;
        server.start_again().await;
    }
}

/// Whatever was told then is told now, and perhaps more.
#[track_caller]
fn contains(now: &Value, then: &Value) {
    match then {
        Value::Object(members) => members.iter().for_each(|(name, then)| contains(&now[name], then)),
        Value::Array(items) => {
            assert_eq!(now.as_array().map(Vec::len), Some(items.len()), "{now}");
            items.iter().enumerate().for_each(|(i, then)| contains(&now[i], then));
        }
        _ => assert_eq!(now, then),
    }
}

/// JSON with numbers and escapes that the tests' parser does not read, as some that it does.
pub(super) fn readable(text: &str) -> String {
    text.replace("1e999999", "1").replace("\\ud800\"", "\"")
}

impl crate::harness::Answer {
    /// The token is known; what it may is another matter.
    fn ok_or_forbidden(&self) {
        assert!(matches!(self.status, 200 | 403 | 404), "{self:?}");
    }
}

/// The log, the events in it, the feed of each endpoint.
async fn answers_as_before(tenant: &Tenant, said: &Value) {
    let rows = said["deliveries"].as_array().unwrap();
    let log = tenant.whole_log("").await;
    let log: Vec<_> = log.iter().filter(|row| !row["sequence"].is_null()).collect();
    let now = &log[log.len() - rows.len()..];
    let mut sequences: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (now, then) in now.iter().zip(rows) {
        for (name, value) in FIELDS.iter().zip(then.as_array().unwrap()) {
            // What was pending is tried again.
            if then[6] != "pending" || !matches!(*name, "status" | "attempts" | "last_status_code" | "reason")
            {
                assert_eq!(now[name], *value, "{name}: {now}");
            }
        }
        let of_it = sequences.entry(then[2].as_str().unwrap().into()).or_default();
        of_it.insert(0, then[5].as_u64().unwrap());
    }
    let mut events: Vec<_> = log.iter().map(|row| row["event"].clone()).collect();
    events.dedup();
    let listed = tenant.api.whole(&tenant.path("events"), 40).await;
    assert_eq!(listed.iter().map(|event| event["id"].clone()).collect::<Vec<_>>(), events);
    for endpoint in said["endpoints"].as_array().unwrap() {
        let id = endpoint["id"].as_str().unwrap();
        let feed = tenant.whole_feed(id, 0).await;
        let then = &sequences[id];
        let now: Vec<_> = feed.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
        assert_eq!(now[..then.len()], then[..], "{id}");
        assert!(now.iter().zip(1..).all(|(sequence, n)| *sequence == n), "{id}: {now:?}");
    }
}
