//! The command line against the real server: what each command prints, and what it ends with.

use std::fs;

use serde_json::{Value, json};

use crate::harness::api::Endpoint;
use crate::harness::server::TOKEN;
use crate::harness::{Receiver, Reply, Server, Setup, Tenant};
use crate::program::{Program, Ran};

/// The contract, as the server describes it.
const OPENAPI: &str = include_str!("../../../postrider-server/openapi.json");

/// A server, and an operator at the command line.
pub(crate) struct Cli {
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
}

impl Cli {
    /// A server that tries each delivery once.
    pub(crate) async fn start() -> Self {
        let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
        Self { server, receiver: Receiver::start().await }
    }

    /// The program with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Program {
        Program::new(args)
            .env("POSTRIDER_URL", &format!("http://{}", self.server.address()))
            .env("POSTRIDER_TOKEN", TOKEN)
    }

    /// Runs it to the end.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.command(args).run().await
    }

    /// What it prints, having done what it was told.
    pub(crate) async fn text(&self, args: &[&str]) -> String {
        let ran = self.run(args).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}: {ran:?}");
        ran.out
    }

    /// What it prints with `--json`, having done what it was told.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// A tenant with one endpoint at the receiver.
    pub(crate) async fn acme(&self) -> (Tenant, Endpoint) {
        let acme = self.server.tenant("acme").await;
        let endpoint = acme.endpoint(json!({"url": self.receiver.url()})).await;
        (acme, endpoint)
    }
}

/// Whether a value has all that a schema of the contract requires, and nothing that it does not know.
#[track_caller]
pub(crate) fn assert_documented(schema: &str, value: &Value) {
    let contract: Value = serde_json::from_str(OPENAPI).unwrap();
    let schemas = &contract["components"]["schemas"];
    if let Err(fault) = fits(schemas, &schemas[schema], value) {
        panic!("not as {schema} is documented: {fault}: {value}");
    }
}

fn fits(schemas: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(schemas, &schemas[name.rsplit('/').next().unwrap()], value);
    }
    if value.is_null() {
        return Ok(());
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        let described = forms.iter().filter(|form| form["type"] != "null");
        let mut faults = Vec::new();
        for form in described {
            match fits(schemas, form, value) {
                Ok(()) => return Ok(()),
                Err(fault) => faults.push(fault),
            }
        }
        return Err(faults.join(", or "));
    }
    for name in schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
        if value.get(name).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    if let Some(known) = schema["properties"].as_object() {
        for (name, value) in value.as_object().ok_or("it is no object")? {
            let schema = known.get(name).ok_or_else(|| format!("{name} is unknown"))?;
            fits(schemas, schema, value).map_err(|fault| format!("{name}: {fault}"))?;
        }
    }
    if schema["items"].is_object() {
        for item in value.as_array().ok_or("it is no list")? {
            fits(schemas, &schema["items"], item)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_command_prints_json_as_the_contract_says_and_a_table_for_people() {
    let cli = Cli::start().await;
    let (acme, endpoint) = cli.acme().await;
    cli.receiver.answer(Reply::status(500).body(b"no"));
    let event = acme.publish(json!({"key": "k"})).await;
    let delivery = acme.wait_for_status(&event, "failed").await["id"].as_str().unwrap().to_owned();
    cli.receiver.answer(Reply::status(200));
    let (id, url) = (endpoint.id.as_str(), cli.receiver.url());
    let publish = ["events", "publish", "--tenant", "acme", "--type", "card.created", "--data", "{}"];
    for (args, schema, told) in [
        (&["tenants", "put", "acme:eu", "--name", "Acme Europe"][..], "Tenant", "Acme Europe"),
        (
            &["tenants", "put", "acme:us", "--card-policy", r#"{"numbers":"mask"}"#],
            "Tenant",
            r#""numbers":"mask""#,
        ),
        (
            &["tenants", "put", "acme:us", "--metadata", "crm=4711", "--metadata", "region=us"],
            "Tenant",
            "metadata     crm=4711, region=us",
        ),
        (
            &["tenants", "show", "acme:us"],
            "Tenant",
            "1000 endpoints, 10000 values in filters, 20000000 pending",
        ),
        (&["tenants", "list"], "Page_Tenant", "acme:eu"),
        (
            &["tokens", "create", "--tenant", "acme", "--scope", "events-write"],
            "CreatedToken",
            "Keep the token",
        ),
        (
            &["tokens", "create", "--scope", "admin", "--expires-at", "2100-01-01T00:00:00Z"],
            "CreatedToken",
            "prt_",
        ),
        (&["tokens", "list"], "Page_Token", "2100-01-01T00:00:00.000Z"),
        (&["endpoints", "create", "--tenant", "acme:eu", &url], "Endpoint", &url),
        (
            &["tenants", "put", "acme:eu", "--quota-pending", "9"],
            "Tenant",
            "1000 endpoints, 10000 values in filters, 9 pending",
        ),
        (&["endpoints", "put", "--tenant", "acme:eu", "till", &url], "Endpoint", "id              till"),
        (
            &["endpoints", "update", "--tenant", "acme:eu", "till", "--name", "the till"],
            "Endpoint",
            "name            the till",
        ),
        (
            &["endpoints", "match", "--tenant", "acme", "--type", "card.created"],
            "Page_Match",
            "* covers card.created",
        ),
        (&["endpoints", "rotate", "--tenant", "acme:eu", "till"], "Secret", "whsec_"),
        (&["endpoints", "list", "--tenant", "acme"], "Page_Endpoint", id),
        (&["endpoints", "show", "--tenant", "acme", id], "Endpoint", "event types     *"),
        (&["endpoints", "secret", "--tenant", "acme", id], "Secret", &endpoint.secret),
        (
            &["endpoints", "test", "--tenant", "acme", id, "--type", "card.created"],
            "Attempt",
            "status    200",
        ),
        (&["endpoints", "list", "--all-tenants"], "Page_Endpoint", "acme:eu"),
        (
            &["endpoints", "list", "--all-tenants", "--state", "active", "--tenant", "acme"],
            "Page_Endpoint",
            id,
        ),
        (&["endpoints", "stats", "--tenant", "acme", id], "EndpointStats", "0 cancelled, 1 failed"),
        (&publish, "Receipt", "DELIVERIES"),
        (&["events", "list", "--tenant", "acme", "--key", "k"], "Page_Event", &event),
        (&["events", "show", "--tenant", "acme", &event], "EventDetail", &delivery),
        (&["deliveries", "list", "--all-tenants", "--status", "failed"], "Page_Delivery", &delivery),
        (&["deliveries", "list", "--tenant", "acme"], "Page_Delivery", &delivery),
        (
            &["deliveries", "show", "--tenant", "acme", &delivery],
            "DeliveryDetail",
            "the receiver answered 500",
        ),
    ] {
        assert_documented(schema, &cli.json(args).await);
        let text = cli.text(args).await;
        assert!(text.contains(told), "{args:?} does not tell {told}: {text}");
    }
}

#[tokio::test]
async fn a_tenant_is_deleted_with_all_that_it_owns() {
    let cli = Cli::start().await;
    let (_, endpoint) = cli.acme().await;
    let show = ["endpoints", "show", "--tenant", "acme", &endpoint.id];
    assert_eq!(cli.run(&show).await.code, 0);
    assert_eq!(cli.text(&["tenants", "delete", "acme"]).await, "deleted acme\n");
    assert_eq!(cli.run(&show).await.code, 4);
    cli.server.tenant("acme").await;
    assert_eq!(cli.run(&show).await.code, 4, "made again, it is another one");
    assert_eq!(cli.json(&["tenants", "delete", "acme"]).await, json!({"id": "acme", "deleted": true}));
}

#[tokio::test]
async fn an_endpoint_is_made_from_flags_or_from_a_file_tested_and_deleted() {
    let cli = Cli::start().await;
    cli.server.tenant("acme").await;
    let url = cli.receiver.url();
    let file = tempfile::NamedTempFile::new().unwrap();
    let described = json!({"event_types": ["a.b"], "name": "of the file", "auth": {"type": "bearer", "token": "hush"},
        "retry": {"schedule_s": [5, 300]}, "metadata": {"a": "b"}});
    fs::write(file.path(), described.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let create = ["endpoints", "create", "--tenant", "acme", &url];
    let flags = [
        &create[..],
        &["--event-type", "card.*,a.b", "--event-type", "c", "--name", "till", "--description", "the till"],
        &["--header", "X-App: 1", "--ordering", "key", "--timeout-ms", "500", "--rate-limit", "50"],
        &["--max-in-flight", "3"],
    ]
    .concat();
    let made = cli.json(&flags).await;
    for (name, expected) in [
        ("url", json!(url)),
        ("event_types", json!(["card.*", "a.b", "c"])),
        ("name", json!("till")),
        ("description", json!("the till")),
        ("ordering", json!("key")),
        ("timeout_ms", json!(500)),
        ("rate_limit", json!({"per_second": 50})),
        ("max_in_flight", json!(3)),
    ] {
        assert_eq!(made[name], expected, "{made}");
    }
    let id = made["id"].as_str().unwrap();
    let shown = cli.text(&["endpoints", "show", "--tenant", "acme", id]).await;
    for line in [
        "headers         X-App",
        "rate limit      50/s",
        "in flight       3 at most",
        "timeout         500 ms",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    // What the command line says replaces what the file says.
    let of_file = cli.json(&[&create[..], &["--file", path, "--name", "mine"]].concat()).await;
    assert_eq!((&of_file["name"], &of_file["event_types"]), (&json!("mine"), &json!(["a.b"])));
    assert_eq!(of_file["retry"], json!({"schedule_s": [5, 300]}));
    let both = [&create[..], &["--file", "-"]].concat();
    let ran = cli.command(&both).input(r#"{"url": "https://elsewhere.test/", "per_second": 1}"#).run().await;
    assert!(ran.code == 2 && ran.err.contains("unknown field `per_second`"), "{ran:?}");
    let nowhere = cli.run(&["endpoints", "create", "--tenant", "acme", "--file", path]).await;
    assert!(nowhere.code == 2 && nowhere.err.contains("missing field `url`"), "{nowhere:?}");

    let test = ["endpoints", "test", "--tenant", "acme", id, "--type", "card.created"];
    let attempt = cli.json(&test).await;
    assert_eq!((&attempt["status_code"], &attempt["trigger"]), (&json!(204), &json!("test")));
    cli.receiver.answer(Reply::status(503).body(b"down"));
    let refused = cli.run(&test).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.out.contains("error     status: ") && refused.out.contains("response  down"),
        "{refused:?}"
    );
    assert_eq!(cli.text(&["endpoints", "delete", "--tenant", "acme", id]).await, format!("deleted {id}\n"));
    assert_eq!(cli.run(&["endpoints", "delete", "--tenant", "acme", id, "--json"]).await.code, 4);
}

#[tokio::test]
async fn an_endpoint_is_put_updated_matched_and_given_another_secret() {
    let cli = Cli::start().await;
    cli.server.tenant("acme").await;
    let url = cli.receiver.url();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let filters =
        r#"{"attributes":{"party":["556"]},"data":[{"pointer":"/amount","op":"gte","value":100.50}]}"#;
    fs::write(file.path(), format!(r#"{{"filters":{filters},"timeout_ms":500}}"#)).unwrap();
    let put = ["endpoints", "put", "--tenant", "acme", "till", &url];
    let made = cli.json(&[&put[..], &["--file", path, "--name", "till"]].concat()).await;
    assert_eq!(
        (&made["id"], &made["timeout_ms"], &made["name"]),
        (&json!("till"), &json!(500), &json!("till"))
    );
    let shown = cli.text(&["endpoints", "show", "--tenant", "acme", "till"]).await;
    assert!(shown.contains("filters         party in \"556\"; /amount gte 100.50"), "{shown}");

    let ask = ["endpoints", "match", "--tenant", "acme", "--type", "a.b", "--attribute", "party=556"];
    for (data, told) in [
        ("{\"amount\": 100.5}", "till      yes      * covers a.b, and its filters hold"),
        ("{\"amount\": 100.49}", "till      no       /amount is not gte"),
    ] {
        let text = cli.text(&[&ask[..], &["--data", data]].concat()).await;
        assert!(text.contains(told), "{text}");
    }

    let update = ["endpoints", "update", "--tenant", "acme", "till"];
    let patch = r#"{"filters": {"data": [{"pointer": "/n", "op": "eq", "value": 1e999999}]}, "name": "of the patch"}"#;
    let flags = ["--json-patch", patch, "--name", "mine", "--enabled", "false", "--event-type", "a.b,c"];
    let text = cli.text(&[&update[..], &flags, &["--json"]].concat()).await;
    assert!(text.contains("1e999999") && text.contains("\"556\""), "{text}");
    let changed: Value = serde_json::from_str(&text.replace("1e999999", "0")).unwrap();
    assert_eq!(
        (&changed["name"], &changed["enabled"], &changed["event_types"], &changed["timeout_ms"]),
        (&json!("mine"), &json!(false), &json!(["a.b", "c"]), &json!(500))
    );
    let replaced = cli.json(&put).await;
    assert_eq!((&replaced["filters"], &replaced["name"]), (&Value::Null, &Value::Null));
    for (more, told) in [(&[][..], "nothing to change"), (&["--json-patch", "[]"], "is not a JSON object")] {
        let ran = cli.run(&[&update[..], more].concat()).await;
        assert!(ran.code == 2 && ran.err.contains(told), "{ran:?}");
    }

    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    fs::write(file.path(), format!("{secret}\n")).unwrap();
    let rotate = ["endpoints", "rotate", "--tenant", "acme", "till"];
    let printed = cli.text(&[&rotate[..], &["--secret-file", path, "--overlap-s", "0"]].concat()).await;
    assert_eq!(printed, format!("{secret}\n"));
    let read = ["endpoints", "secret", "--tenant", "acme", "till"];
    assert_eq!(cli.text(&read).await, printed);
    let made = cli.text(&rotate).await;
    assert!(made.starts_with("whsec_") && made != printed && made == cli.text(&read).await, "{made}");
    let ran = cli.run(&[&rotate[..], &["--overlap-s", "604801"]].concat()).await;
    assert!(ran.code == 1 && ran.err.contains("/overlap_s: must be"), "{ran:?}");
}

#[tokio::test]
async fn events_are_published_from_a_flag_a_file_standard_input_and_lines_byte_for_byte() {
    let cli = Cli::start().await;
    let (acme, _) = cli.acme().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let data = r#"{"amount": 42.50, "none": null, "ü": [1,  2]}"#;
    fs::write(file.path(), data).unwrap();
    let publish = ["events", "publish", "--tenant", "acme", "--type", "card.created"];
    for (id, more, sent) in [
        ("flag", &["--data", data][..], data),
        ("file", &["--data-file", path], data),
        ("input", &["--data-file", "-"], data),
        (
            "none",
            &["--data", "{}", "--key", "k", "--attribute", "a=b", "--occurred-at", "2026-01-01T00:00:00Z"],
            "{}",
        ),
    ] {
        let args = [&publish[..], &["--id", id, "--json"], more].concat();
        let ran = cli.command(&args).input(data).run().await;
        assert_eq!((ran.code, ran.json()), (0, json!({"id": id, "deliveries": 1})), "{ran:?}");
        let arrived = cli.receiver.wait_for_event(id, 1).await;
        let body = String::from_utf8(arrived[0].message.body.clone()).unwrap();
        assert!(body.ends_with(&format!(r#""data":{sent}}}"#)), "{id}: {body}");
    }
    let none = acme.delivery_of("none").await;
    assert_eq!(
        (&none["key"], &none["payload"]["timestamp"]),
        (&json!("k"), &json!("2026-01-01T00:00:00.000Z"))
    );

    // The same again is answered with the first receipt, another body under the same id is refused.
    for (more, code) in [(&["--data", data][..], 0), (&["--data", "1"], 1)] {
        assert_eq!(cli.run(&[&publish[..], &["--id", "flag"], more].concat()).await.code, code, "{more:?}");
    }
    let keyed = [&publish[..], &["--data", "{}", "--idempotency-key", "once"]].concat();
    assert_eq!(cli.json(&keyed).await, cli.json(&keyed).await);

    let lines = "{\"tenant\":\"acme\",\"type\":\"a.b\",\"id\":\"l-1\",\"data\":1.0}\n\n{oops\n\
                 {\"tenant\":\"acme\",\"type\":\"a.b\",\"data\":1,\"odd\":\"s\"}\n";
    fs::write(file.path(), lines).unwrap();
    let table = cli.run(&["events", "publish", "--ndjson", path]).await;
    assert_eq!(table.code, 1, "one that is refused fails the command: {table:?}");
    let rows: Vec<&str> = table.out.lines().collect();
    assert!(rows.len() == 4 && rows[1].starts_with("0     l-1    1"), "{table:?}");
    assert!(rows[2].starts_with("1     -") && rows[2].contains("not JSON"), "{table:?}");
    assert!(rows[3].contains("/2/odd: is not a known field"), "{table:?}");
    let ran = cli.command(&["events", "publish", "--ndjson", "-", "--json"]).input(lines).run().await;
    assert_documented("BatchAnswer", &ran.json());
    let good = lines.lines().next().unwrap();
    let ran = cli.command(&["events", "publish", "--ndjson", "-", "--json"]).input(good).run().await;
    assert_eq!((ran.code, ran.json()), (0, json!({"data": [{"id": "l-1", "deliveries": 1}]})), "{ran:?}");
}

#[tokio::test]
async fn a_file_of_more_lines_than_a_batch_is_published_whole_and_may_be_published_again() {
    let cli = Cli::start().await;
    let acme = cli.server.tenant("acme").await;
    let line = |n: usize| {
        let kind = if n == 1_700 { "no type" } else { "a.b" };
        format!("{{\"tenant\":\"acme\",\"type\":\"{kind}\",\"data\":{n}}}\n")
    };
    let lines: String = (0..2_500).map(line).collect();
    let publish = ["events", "publish", "--ndjson", "-", "--idempotency-key", "file-1"];
    let table = cli.command(&publish).input(&lines).run().await;
    assert_eq!(table.code, 1, "one is refused");
    let rows: Vec<&str> = table.out.lines().collect();
    assert_eq!(rows.len(), 2_501);
    assert!(rows[1_701].starts_with("1700  -") && rows[1_701].contains("/1700/type: "), "{}", rows[1_701]);
    assert!(rows[2_500].starts_with("2499  evt_"), "{}", rows[2_500]);
    assert_eq!(acme.api.whole(&acme.path("events?type=a.b"), 250).await.len(), 2_499);

    let again = cli.command(&[&publish[..], &["--json"]].concat()).input(&lines).run().await.json();
    assert_documented("BatchAnswer", &again);
    let first = rows[2_500].split_whitespace().nth(1).unwrap();
    assert_eq!(again["data"][2_499]["id"], first, "the first answer");
    assert_eq!(again["data"][1_700]["error"]["errors"][0]["pointer"], "/1700/type");
    assert_eq!(acme.api.whole(&acme.path("events?type=a.b"), 250).await.len(), 2_499, "and no second event");

    // What was published before a batch that fails is told, and so is the failure: here the second one's key is too long.
    let long = "k".repeat(254);
    let ran = cli
        .command(&["events", "publish", "--ndjson", "-", "--idempotency-key", &long])
        .input(&lines)
        .run()
        .await;
    assert!(ran.code == 1 && ran.out.lines().count() == 1_001 && ran.err.contains("(422)"), "{}", ran.err);
}

#[tokio::test]
async fn a_token_made_by_hand_does_what_its_scopes_say_until_it_is_revoked() {
    let cli = Cli::start().await;
    cli.acme().await;
    let made = cli.json(&["tokens", "create", "--tenant", "acme", "--scope", "webhooks-read"]).await;
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let list = ["endpoints", "list", "--tenant", "acme"];
    let as_tenant = |args: &[&str]| cli.command(args).env("POSTRIDER_TOKEN", token).run();
    assert_eq!(as_tenant(&list).await.code, 0);
    assert_eq!(
        as_tenant(&["endpoints", "list", "--tenant", "other"]).await.code,
        4,
        "another's is not there"
    );
    assert_eq!(as_tenant(&["tenants", "list"]).await.code, 5, "beyond its scope");
    assert!(!cli.text(&["tokens", "list"]).await.contains(token));
    assert_eq!(cli.json(&["tokens", "delete", id]).await, json!({"id": id, "deleted": true}));
    assert_eq!(as_tenant(&list).await.code, 5, "revoked");
}

#[tokio::test]
async fn each_kind_of_failure_of_the_real_server_has_its_exit_code() {
    let cli = Cli::start().await;
    let (_, endpoint) = cli.acme().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let publish = ["events", "publish", "--tenant", "acme", "--type", "a.b"];
    for (args, code, told) in [
        (&["tenants", "list"][..], 0, ""),
        (&["tenants", "put", "no good"], 1, "/tenant: must be"),
        (&["tenants", "show", "nobody"], 4, "the tenant does not exist"),
        (&["tenants", "delete", "nobody"], 4, "the tenant does not exist"),
        (&["tenants", "delete", "_operator"], 1, ""),
        (&["tenants", "put", "acme", "--profile", "unknown"], 1, "/profile: "),
        (&["tokens", "create", "--scope", "everything"], 1, "/scopes/0: must be one of admin, "),
        (
            &["endpoints", "create", "--tenant", "acme", "https://10.0.0.1/"],
            1,
            "/url: 10.0.0.1 is not a public",
        ),
        (
            &["endpoints", "create", "--tenant", "acme", "https://a.test/", "--rate-limit", "0"],
            1,
            "/rate_limit/per_second: ",
        ),
        (&["endpoints", "test", "--tenant", "acme", &endpoint.id, "--type", "a..b"], 1, "/type: "),
        (
            &["deliveries", "list", "--tenant", "acme", "--since", "yesterday"],
            1,
            "/since: must be an RFC 3339",
        ),
        (&["deliveries", "list", "--tenant", "acme", "--cursor", "odd"], 1, "/cursor: "),
        (&["deliveries", "list", "--tenant", "acme", "--limit", "251"], 2, "251 is not in 1..=250"),
        (&["deliveries", "list", "--tenant", "acme", "--status", "odd"], 2, "[possible values: pending, "),
        (&["deliveries", "list"], 2, "--tenant"),
        (
            &["endpoints", "create", "--tenant", "acme", "https://a.test/", "--rate-limit", "0.5"],
            2,
            "invalid digit",
        ),
        (&[&publish[..], &["--odd", "s"]].concat(), 2, "unexpected argument '--odd'"),
        (&[&publish[..], &["--data", "{a:1}"]].concat(), 2, "the data is not JSON"),
        (&[&publish[..], &["--ndjson", "-"]].concat(), 2, "cannot be used with"),
        (&["events", "publish", "--ndjson", "/nowhere/at/all"], 2, "/nowhere/at/all: No such file"),
        (&["endpoints", "show", "--tenant", "acme", ".."], 2, "is not an id"),
        (&["tenants", "list", "--server", &nobody], 3, "is the server running?"),
        (&["endpoints", "show", "--tenant", "acme", "ep_unknown"], 4, "the endpoint does not exist"),
        (&["endpoints", "list", "--tenant", "nobody"], 4, "the tenant does not exist"),
        (&["deliveries", "show", "--tenant", "acme", "dlv_unknown"], 4, "the delivery does not exist"),
        (&["tokens", "delete", "tok_unknown"], 4, "the token does not exist"),
        (&["tenants", "list", "--token-file", "/dev/null"], 5, "POSTRIDER_TOKEN"),
    ] {
        let ran = cli.run(args).await;
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(told) && (code == 0 || ran.out.is_empty()), "{args:?}: {ran:?}");
        // What clap finds is told by clap; what is found later is JSON for programs.
        if !matches!(code, 0 | 2) {
            let error: Value =
                serde_json::from_str(&cli.run(&[args, &["--json"]].concat()).await.err).unwrap();
            assert_eq!(error["exit_code"], code, "{error}");
        }
    }
}
