//! Every call of the served document, made on things that are there: what the document says of scopes, tenants and methods holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Answer, Api, Receiver, Server, Tenant};

mod access;
mod methods;

/// On whose things a call is, and so who is told what by a token that is not for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// Nobody's: it takes no token, or any.
    Open,
    /// The operator's.
    Operator,
    /// A tenant's, which path or body names.
    Tenant,
}

/// A call as the document has it, on things that are there.
#[derive(Debug, Clone)]
struct Call {
    method: String,
    template: String,
    path: String,
    /// Its media type and text; empty for none.
    body: (String, String),
    /// `None` where no token is needed.
    scopes: Option<Vec<String>>,
    subject: Subject,
}

impl Call {
    async fn made_by(&self, api: &Api) -> Answer {
        let (media_type, text) = &self.body;
        let headers: &[_] = if text.is_empty() { &[] } else { &[("content-type", media_type.as_str())] };
        api.send(&self.method, &self.path, headers, text.as_bytes()).await
    }

    /// In which order calls can be made that do what they say: those that remove things come last, the inner ones first, and the
    /// tenant at the very end.
    fn turn(&self) -> (bool, bool, std::cmp::Reverse<usize>) {
        let removes = self.method == "DELETE";
        let depth = self.path.split('/').count();
        (removes, removes && self.template == "/v1/tenants/{tenant}", std::cmp::Reverse(depth))
    }
}

/// A tenant with one thing of each kind.
struct Place {
    tenant: Tenant,
    receiver: Receiver,
    /// What stands in a path behind the name of a resource.
    ids: BTreeMap<&'static str, String>,
}

/// The kinds of things that belong to a tenant.
const OWNED: [&str; 4] = ["endpoints", "events", "deliveries", "replays"];

impl Place {
    async fn make(server: &Server, id: &str) -> Self {
        let receiver = Receiver::start().await;
        let tenant = server.tenant(id).await;
        let api = &tenant.api;
        let endpoint = tenant.endpoint(json!({"url": receiver.url()})).await;
        let event = tenant.publish(json!({})).await;
        let delivery = tenant.wait_for_status(&event, "succeeded").await;
        let token = api.post("/v1/tokens", &json!({"tenant": id, "scopes": ["webhooks-read"]})).await.ok(201);
        let (event_type, subject) = ("card.frozen".to_owned(), format!("card-of-{id}"));
        api.json("PUT", &format!("/v1/event-types/{event_type}"), &json!({})).await;
        api.json("PUT", &format!("/v1/subjects/{subject}"), &json!({"tenants": [id]})).await.ok(201);
        let replay = json!({"sequence_from": 1, "statuses": ["succeeded"]});
        let replay = api.post(&format!("{}/replays", endpoint.path), &replay).await.ok(202);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let ids = BTreeMap::from([
            ("tenants", id.to_owned()),
            ("endpoints", endpoint.id),
            ("events", event),
            ("deliveries", text(&delivery["id"])),
            ("replays", text(&replay["id"])),
            ("tokens", text(&token["id"])),
            ("event-types", event_type),
            ("subjects", subject),
        ]);
        Self { tenant, receiver, ids }
    }

    /// Its ids, with one of another's things among them.
    fn with(&self, kind: &'static str, id: &str) -> BTreeMap<&'static str, String> {
        let mut ids = self.ids.clone();
        ids.insert(kind, id.to_owned());
        ids
    }

    /// The first example of a body that is one object, of this tenant, and with nothing in it that leads elsewhere.
    fn body(&self, document: &Value, operation: &Value) -> (String, String) {
        let Some(contents) = operation["requestBody"]["content"].as_object() else {
            return Default::default();
        };
        let (media_type, content) = contents.iter().next().unwrap();
        let shown = content["examples"].as_object().into_iter().flatten().map(|(_, shown)| &shown["value"]);
        let schema = content["schema"]["$ref"].as_str().unwrap_or_default().trim_start_matches('#');
        let of_schema = document.pointer(schema).and_then(|schema| schema["examples"].as_array());
        let example = shown.chain(of_schema.into_iter().flatten()).find(|example| example.is_object());
        let mut body = example.cloned().unwrap_or_else(|| {
            panic!(
                "{}: give {schema} an example, of one object, for this to be called with",
                operation["operationId"]
            )
        });
        let own = [
            ("tenant", json!(self.tenant.id)),
            ("tenants", json!([self.tenant.id])),
            ("url", json!(self.receiver.url())),
        ];
        for (name, value) in own {
            if let Some(member) = body.get_mut(name) {
                *member = value;
            }
        }
        (media_type.clone(), body.to_string())
    }

    /// Every call of the document, in an order in which they can be made.
    fn calls(&self, document: &Value) -> Vec<Call> {
        self.calls_on(&self.ids, document)
    }

    /// The same, on things with other ids.
    fn calls_on(&self, ids: &BTreeMap<&'static str, String>, document: &Value) -> Vec<Call> {
        let mut calls = Vec::new();
        for (template, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let scopes = operation["security"][0]["token"].as_array();
                let text = |scope: &Value| scope.as_str().unwrap().to_owned();
                let scopes: Option<Vec<_>> = scopes.map(|scopes| scopes.iter().map(text).collect());
                calls.push(Call {
                    method: method.to_uppercase(),
                    template: template.clone(),
                    path: path(ids, template),
                    body: self.body(document, operation),
                    subject: subject(template, scopes.as_deref()),
                    scopes,
                });
            }
        }
        calls.sort_by_key(Call::turn);
        calls
    }
}

/// A path of the document with what is there in place of its variable parts.
fn path(ids: &BTreeMap<&'static str, String>, template: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in template.split('/') {
        let part = match (part.starts_with('{'), parts.last()) {
            (true, Some(kind)) => ids.get(kind).unwrap_or_else(|| {
                panic!(
                    "{template}: nothing is known that stands for {part}: make one of the {kind} in `Place::make`, \
                     enter its id under \"{kind}\", and name the kind in `OWNED` if it is a tenant's"
                )
            }),
            _ => part,
        };
        parts.push(part);
    }
    parts.join("/")
}

fn subject(template: &str, scopes: Option<&[String]>) -> Subject {
    match scopes {
        None | Some([]) => Subject::Open,
        Some([scope]) if scope == "admin" => Subject::Operator,
        Some([_]) if template.contains("/{tenant}/") || template == "/v1/events" => Subject::Tenant,
        Some(scopes) => {
            panic!(
                "{template} needs {scopes:?}: say in `subject` whose things it is on, and what others are told"
            )
        }
    }
}

async fn document(server: &Server) -> Value {
    server.api().with_token("").get("/openapi.json").await.ok(200)
}

/// All scopes that there are.
fn scopes(document: &Value) -> Vec<String> {
    let all = document["components"]["schemas"]["Scope"]["enum"].as_array().unwrap();
    all.iter().map(|scope| scope.as_str().unwrap().to_owned()).collect()
}
