//! Who may make which call: each is made by everybody who may not, and then by who may.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Call, OWNED, Place, Subject, document, scopes};
use crate::harness::server::TOKEN;
use crate::harness::{Api, Server, eventually};

/// Those whose tokens are none, by what is wrong with them.
struct Nobodies(Vec<(&'static str, Api)>);

impl Nobodies {
    async fn make(place: &Place, scopes: &[&String]) -> Self {
        let api = &place.tenant.api;
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
        let spec = json!({"tenant": place.tenant.id, "scopes": scopes, "expires_at": at.to_string()});
        let expired = api.token(&spec).await;
        let made = api.post("/v1/tokens", &json!({"scopes": ["admin"]})).await.ok(201);
        api.delete(&format!("/v1/tokens/{}", made["id"].as_str().unwrap())).await.ok(204);
        let revoked = api.with_token(made["token"].as_str().unwrap());
        let path = place.tenant.path("endpoints");
        eventually("the token has expired", async || (expired.get(&path).await.status == 401).then_some(()))
            .await;
        Self(vec![
            ("none", api.with_token("")),
            ("garbage", api.with_token("garbage")),
            ("one character more", api.with_token(&format!("{TOKEN}x"))),
            ("expired", expired),
            ("revoked", revoked),
        ])
    }

    /// Each call comes from another address, since many wrong tokens from one are slowed.
    async fn are_refused(&self, call: &Call, from: Ipv4Addr) {
        for (fault, api) in &self.0 {
            let answer = call.made_by(&api.from(from)).await;
            assert_eq!(answer.status, 401, "{fault}: {call:?}");
            answer.problem(401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{fault}: {call:?}");
        }
        let basic = [("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")];
        let (_, api) = &self.0[0];
        api.from(from).send(&call.method, &call.path, &basic, b"").await.problem(401);
    }
}

/// A token for each scope alone; of the tenant, save for the operator's.
async fn bearers(api: &Api, tenant: &str, scopes: &[String]) -> Vec<(String, Api)> {
    let mut bearers = Vec::new();
    for scope in scopes {
        let tenant = (scope != "admin").then_some(tenant);
        bearers.push((scope.clone(), api.token(&json!({"tenant": tenant, "scopes": [scope]})).await));
    }
    bearers
}

/// None of the scopes but the one that a call names opens it, each by itself or all together.
async fn wrong_scopes_are_refused(call: &Call, needed: &str, bearers: &[(String, Api)], all_others: &Api) {
    let wrong = bearers.iter().filter(|(scope, _)| scope != needed && scope != "admin").map(|(_, api)| api);
    for api in wrong.chain([all_others]) {
        let answer = call.made_by(api).await;
        assert_eq!(answer.status, 403, "{call:?}: {}", answer.text());
        assert_eq!(answer.problem(403)["detail"], format!("the token lacks the scope {needed}"), "{call:?}");
    }
}

/// Who has every scope, and for another tenant.
async fn a_stranger_finds_nothing(call: &Call, stranger: &Api) {
    let answer = call.made_by(stranger).await;
    let expected = if call.subject == Subject::Operator { 403 } else { 404 };
    assert_eq!(answer.status, expected, "{call:?}: {}", answer.text());
    let problem = answer.problem(expected);
    if call.subject == Subject::Tenant {
        assert_eq!(problem["detail"], "the tenant does not exist", "{call:?}");
    }
}

/// What is one tenant's leads nowhere under another's path, whoever asks: one thing at a time, among the other's own.
async fn ids_lead_nowhere_elsewhere(document: &Value, owner: &Place, other: &Place, callers: &[&Api]) {
    for kind in OWNED {
        let ids = other.with(kind, &owner.ids[kind]);
        let calls = other.calls_on(&ids, document).into_iter();
        let crossed: Vec<_> = calls.filter(|call| call.path.contains(&owner.ids[kind])).collect();
        assert!(!crossed.is_empty(), "no call is on one of the {kind}");
        for call in crossed {
            for api in callers {
                let answer = call.made_by(api).await;
                assert_eq!(answer.status, 404, "{call:?}: {}", answer.text());
                answer.problem(404);
            }
        }
    }
}

/// What there is of a tenant, as far as a call could change it.
async fn state(place: &Place) -> Value {
    let mut all = Vec::new();
    let replays = format!("endpoints/{}/replays", place.ids["endpoints"]);
    for list in ["endpoints", "deliveries", "events", &replays] {
        all.push(place.tenant.api.get(&place.tenant.path(list)).await.ok(200));
    }
    for one in ["/v1/tenants", "/v1/event-types", "/v1/tokens"] {
        all.push(place.tenant.api.get(one).await.ok(200));
    }
    all.into()
}

#[tokio::test]
async fn abuse_a20_a21_a22_a23_every_call_of_the_document_is_refused_to_whoever_may_not_make_it() {
    let server = Server::start().await;
    // A prefix that ends at a colon covers the second, and only looks like the first.
    let (place, other) = (Place::make(&server, "acme2:x").await, Place::make(&server, "acme:one").await);
    let document = document(&server).await;
    let api = &place.tenant.api;
    let all = scopes(&document);
    let of_tenants: Vec<_> = all.iter().filter(|scope| *scope != "admin").collect();
    let token =
        async |tenant: &str, scopes: Value| api.token(&json!({"tenant": tenant, "scopes": scopes})).await;
    let nobodies = Nobodies::make(&place, &of_tenants).await;
    let bearers = bearers(api, &place.tenant.id, &all).await;
    let mut lacking = Vec::new();
    for needed in &all {
        let others: Vec<_> = of_tenants.iter().filter(|scope| **scope != needed).collect();
        lacking.push(token(&place.tenant.id, json!(others)).await);
    }
    let stranger = token(&other.tenant.id, json!(of_tenants)).await;
    let looking_alike = token("acme:*", json!(of_tenants)).await;
    looking_alike.get(&other.tenant.path("endpoints")).await.ok(200);
    let before = state(&place).await;

    let calls = place.calls(&document);
    for (n, call) in (1..).zip(&calls) {
        let Some(needed) = &call.scopes else { continue };
        nobodies.are_refused(call, Ipv4Addr::new(127, 0, 1, n)).await;
        let Some(needed) = needed.first() else { continue };
        let place_of_needed = all.iter().position(|scope| scope == needed).unwrap();
        wrong_scopes_are_refused(call, needed, &bearers, &lacking[place_of_needed]).await;
        a_stranger_finds_nothing(call, &stranger).await;
        a_stranger_finds_nothing(call, &looking_alike).await;
    }
    ids_lead_nowhere_elsewhere(&document, &place, &other, &[api, &stranger]).await;
    assert_eq!(state(&place).await, before, "what was refused has changed something");

    // And with what the document names it is done, or refused for what it asks for.
    let (nobody, anybody) = (&nobodies.0[0].1, &bearers.last().unwrap().1);
    for call in &calls {
        let caller = match call.scopes.as_deref() {
            None => nobody,
            Some([]) => anybody,
            Some([needed, ..]) => &bearers.iter().find(|(scope, _)| scope == needed).unwrap().1,
        };
        let answer = call.made_by(caller).await;
        assert!(matches!(answer.status, 200..=299 | 409), "{call:?}: {} {}", answer.status, answer.text());
    }
}
