//! Secrets at rest and in passing: sealed under a key that is kept apart, and found nowhere that they do not belong.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::start::{message, refused};
use crate::harness::server::TOKEN;
use crate::harness::{Receiver, Reply, Server, Setup};
use crate::program::Program;

/// The exit code of a start without the right key.
const NO_KEY: i32 = 7;

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn key_file(server: &Server) -> PathBuf {
    let mut file = server.database().into_os_string();
    file.push(".master-key");
    file.into()
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn abuse_a106_without_any_setting_a_key_is_made_beside_the_database_and_all_files_are_private() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    for name in server.files().keys() {
        assert_eq!(mode(&server.database().with_file_name(name)), 0o600, "{name}");
    }
    let made = std::fs::read_to_string(key_file(&server)).unwrap();
    assert_eq!(STANDARD.decode(made.trim_end()).unwrap().len(), 32);
    let log = server.log();
    assert!(log.contains("postrider.db.master-key") && log.contains("back it up"), "{log}");
    assert!(!log.contains(made.trim_end()), "{log}");
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    acme.publish(json!({})).await;
    receiver.wait_for(1).await[0].verify(&endpoint.secret);
    assert_eq!(std::fs::read_to_string(key_file(&server)).unwrap(), made);
    // By another way to it, it is the same database with the same key.
    server.stop().await;
    let link = server.database().with_file_name("link.db");
    std::os::unix::fs::symlink(server.database(), &link).unwrap();
    std::fs::remove_file(key_file(&server)).unwrap();
    let said = message(&refused(server.setup(), &link).await);
    assert!(said.contains("there is no") && said.contains("postrider.db.master-key"), "{said}");
}

#[tokio::test]
async fn abuse_a106_a_start_without_the_right_key_names_it_and_touches_nothing() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    // A crash leaves a log that is not in the database yet.
    server.kill();
    let kept = std::fs::read(key_file(&server)).unwrap();
    std::fs::remove_file(key_file(&server)).unwrap();
    let written = |server: &Server| {
        let mut files = server.files();
        // Which process has it open, and an index of the log that every reader makes anew.
        files.retain(|name, _| !name.ends_with(".lock") && !name.ends_with("-shm"));
        files
    };
    let before = written(&server);
    let fingerprint = {
        let output = refused(server.setup(), &server.database()).await;
        assert_eq!(output.status.code(), Some(NO_KEY));
        let said = message(&output);
        let fingerprint = said.split("fingerprint ").nth(1).unwrap()[..8].to_owned();
        assert!(said.contains("there is no") && said.contains("postrider.db.master-key"), "{said}");
        fingerprint
    };
    let wrong = server.database().with_file_name("wrong");
    std::fs::write(&wrong, key(9)).unwrap();
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).unwrap();
    let before = before.into_iter().chain([("wrong".to_owned(), key(9).into_bytes())]).collect();
    for setup in [
        server.setup().clone().set("MASTER_KEY", key(9)),
        server.setup().clone().set("MASTER_KEY", key(8)).set("PREVIOUS_MASTER_KEY", key(9)),
        server.setup().clone().set("MASTER_KEY_FILE", wrong.display()),
        server.setup().clone().set("MASTER_KEY_FILE", "/nonexistent/key"),
    ] {
        let output = refused(&setup, &server.database()).await;
        let said = message(&output);
        assert_eq!(output.status.code(), Some(NO_KEY), "{said}");
        assert!(said.contains(&fingerprint) && said.contains("Nothing was touched"), "{said}");
        assert!(!said.contains(&key(9)) && !said.contains(&key(8)), "{said}");
        assert_eq!(written(&server), before);
    }
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = {
        let setup = server.setup().clone().set("MASTER_KEY_FILE", wrong.display());
        let output = refused(&setup, &server.database()).await;
        assert_eq!(output.status.code(), Some(NO_KEY));
        message(&output)
    };
    assert!(said.contains("0644") && said.contains("chmod 600"), "{said}");
    assert_eq!(written(&server), before);
    // With it, everything is as it was.
    let given = String::from_utf8(kept).unwrap().trim_end().to_owned();
    server.set_up(server.setup().clone().set("MASTER_KEY", given));
    server.start_again().await;
    let acme = acme.at(server.api());
    acme.publish(json!({})).await;
    receiver.wait_for(1).await[0].verify(&endpoint.secret);
}

#[tokio::test]
async fn abuse_a106_the_master_key_is_changed_by_one_start_with_both() {
    let mut server = Setup::default().set("MASTER_KEY", key(1)).start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint =
        acme.endpoint(json!({"url": receiver.url(), "auth": {"type": "bearer", "token": "hush"}})).await;
    server.stop().await;
    let backup = std::fs::read(server.database()).unwrap();
    let both = server.setup().clone().set("MASTER_KEY", key(2)).set("PREVIOUS_MASTER_KEY", key(1));
    server.set_up(both.clone());
    server.start_again().await;
    assert!(server.log().contains("the master key changes from"), "{}", server.log());
    server.stop().await;
    let new = both.without("PREVIOUS_MASTER_KEY");
    server.set_up(new.clone());
    server.start_again().await;
    assert!(!key_file(&server).exists());
    acme.at(server.api()).publish(json!({})).await;
    let received = &receiver.wait_for(1).await[0];
    received.verify(&endpoint.secret);
    assert_eq!(received.header("authorization"), "Bearer hush");
    server.stop().await;
    let old = server.setup().clone().set("MASTER_KEY", key(1));
    assert_eq!(refused(&old, &server.database()).await.status.code(), Some(NO_KEY));
    // A backup of before needs the key of before, and says so.
    std::fs::write(server.database(), backup).unwrap();
    let said = message(&refused(&new, &server.database()).await);
    assert!(said.contains("the database needs the master key with the fingerprint"), "{said}");
    server.set_up(old);
    server.start_again().await;
}

#[tokio::test]
async fn abuse_a106_secrets_that_were_moved_in_the_database_stop_their_endpoints_alone() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let mut endpoints = Vec::new();
    for path in ["/one", "/two", "/three"] {
        let spec =
            json!({"url": receiver.url_of(path), "auth": {"type": "bearer", "token": format!("hush{path}")}});
        endpoints.push(acme.endpoint(spec).await);
    }
    server.stop().await;
    let swap = |server: &Server| {
        let database = rusqlite::Connection::open(server.database()).unwrap();
        let secrets = |no: u32| {
            let read = "SELECT secrets FROM endpoints WHERE no = ?1";
            database.query_row(read, [no], |r| r.get::<_, Vec<u8>>(0)).unwrap()
        };
        let (one, two) = (secrets(1), secrets(2));
        for (no, secrets) in [(1, two), (2, one)] {
            database.execute("UPDATE endpoints SET secrets = ?2 WHERE no = ?1", (no, secrets)).unwrap();
        }
    };
    swap(&server);
    server.start_again().await;
    let acme = acme.at(server.api());
    let event = acme.publish(json!({})).await;
    let received = receiver.wait_for(1).await;
    assert_eq!((&*received[0].path, received[0].header("authorization")), ("/three", "Bearer hush/three"));
    for endpoint in &endpoints[..2] {
        let failed = acme.wait_for_status_at(&event, endpoint, "failed").await;
        let failed = acme.delivery(failed["id"].as_str().unwrap()).await;
        let error = &failed["attempts"][0]["error"];
        assert!(error.to_string().contains("secrets cannot be read"), "{failed}");
        // What is public of it is still told, and it can be removed; what needs its secrets is a fault of ours.
        acme.read(endpoint).await;
        acme.api.get(&format!("{}/secret", endpoint.path)).await.problem(500);
        acme.api.json("PATCH", &endpoint.path, &json!({"name": "x"})).await.problem(500);
        acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "t"})).await.problem(409);
    }
    assert_eq!(acme.api.get(&acme.path("endpoints")).await.ok(200)["data"].as_array().unwrap().len(), 3);
    assert_eq!(server.api().get("/readyz").await.ok(200)["ok"], true);
    assert!(
        receiver.all().iter().all(|request| request.path == "/three"),
        "nothing was sent under mixed secrets"
    );
    let log = server.log();
    for endpoint in &endpoints[..2] {
        let line = log.lines().find(|line| line.contains("ERROR") && line.contains(&endpoint.id)).unwrap();
        assert!(line.contains("its secrets do not open") && line.contains("restore"), "{line}");
    }
    server.stop().await;
    swap(&server);
    server.start_again().await;
    let acme = acme.at(server.api());
    let event = acme.publish(json!({})).await;
    for endpoint in &endpoints {
        acme.wait_for_status_at(&event, endpoint, "succeeded").await;
    }
}

#[tokio::test]
async fn abuse_a106_a_lost_key_costs_the_secrets_and_nothing_else() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let spec = json!({"url": receiver.url()});
    let endpoint = acme.endpoint(spec.clone()).await;
    let before = acme.publish(json!({})).await;
    acme.wait_for_status(&before, "succeeded").await;
    server.stop().await;
    std::fs::remove_file(key_file(&server)).unwrap();
    let guide = include_str!("../../../../../docs/operations.md");
    let remedy =
        guide.lines().find_map(|line| line.strip_prefix("sqlite3 postrider.db \"")?.strip_suffix('"'));
    let remedy = remedy.filter(|remedy| remedy.contains("keys")).unwrap();
    rusqlite::Connection::open(server.database()).unwrap().execute_batch(remedy).unwrap();
    server.start_again().await;
    let acme = acme.at(server.api());
    let event = acme.publish(json!({})).await;
    let failed = acme.wait_for_status(&event, "failed").await;
    assert!(failed["attempts"][0]["error"].to_string().contains("secrets cannot be read"), "{failed}");
    acme.api.delete(&endpoint.path).await.ok(204);
    let again = acme.endpoint(spec).await;
    let event = acme.publish(json!({})).await;
    receiver.wait_for_event(&event, 1).await[0].verify(&again.secret);
    assert_eq!(acme.delivery_of(&before).await["status"], "succeeded");
}

/// What is planted to be searched for.
struct Planted {
    /// Must be found in no file and no output.
    secrets: Vec<(&'static str, Vec<u8>)>,
    /// May be in the database alone.
    payload: [&'static str; 2],
}

const SIGNING: &[u8] = b"planted signing secret 32 bytes!";
const PAYLOAD: &str = "planted-payload";
const CARD: &str = "4111111111111111";

impl Planted {
    fn new(tokens: &[&str], master: &str) -> Self {
        let text = |name, text: &str| (name, text.as_bytes().to_vec());
        let mut secrets = vec![
            text("signing secret", &STANDARD.encode(SIGNING)),
            ("bytes of the signing secret", SIGNING.to_vec()),
            text("credential", "planted-credential"),
            text("credential as it is sent", &STANDARD.encode("ada:planted-credential-1")[..32]),
            text("master key", master),
            ("bytes of the master key", STANDARD.decode(master).unwrap()),
        ];
        secrets.extend(tokens.iter().map(|token| text("token", token)));
        Self { secrets, payload: [PAYLOAD, CARD] }
    }

    /// Looks through what a database may hold.
    fn not_in_file(&self, name: &str, bytes: &[u8]) {
        for (what, needle) in &self.secrets {
            let found = memchr::memmem::find(bytes, needle);
            assert!(found.is_none(), "{what} in {name}, at {found:?}");
        }
    }

    /// Looks through what people and their tools may see.
    fn not_in_text(&self, name: &str, text: &str) {
        self.not_in_file(name, text.as_bytes());
        for needle in self.payload {
            let found = text.find(needle);
            let around = found.map(|at| &text.as_bytes()[at.saturating_sub(200)..(at + 200).min(text.len())]);
            assert!(
                found.is_none(),
                "{needle} in {name}: {}",
                String::from_utf8_lossy(around.unwrap_or_default())
            );
        }
    }
}

#[tokio::test]
async fn abuse_a53_nothing_secret_is_in_any_log_error_metric_or_file() {
    let master = STANDARD.encode(b"planted master key with 32 bytes");
    for format in ["text", "json"] {
        let setup = Setup::default()
            .set("LOG", "trace")
            .set("LOG_FORMAT", format)
            .set("MASTER_KEY", &master)
            // One of the receivers never says hello.
            .set("OUTBOUND__CONNECT_TIMEOUT_MS", "200");
        let mut server = setup.start().await;
        let receiver = Receiver::start().await;
        let acme = server.tenant("acme").await;
        let made = acme
            .api
            .post("/v1/tokens", &json!({"tenant": "acme", "scopes": ["webhooks-read"]}))
            .await
            .ok(201);
        let token = made["token"].as_str().unwrap().to_owned();
        let planted = Planted::new(&[&token, TOKEN, "planted-wrong-token"], &master);
        let signing = format!("whsec_{}", STANDARD.encode(SIGNING));

        // Each scheme once, to an endpoint that fails in its own way.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        receiver.script(|request| match (&*request.path, request.attempt()) {
            ("/reset", 1) => Reply::Reset,
            (_, 1) => Reply::status(500).body(b"no"),
            _ => Reply::status(204),
        });
        let mut endpoints = Vec::new();
        for (url, auth) in [
            (
                receiver.url_of("/basic"),
                json!({"type": "basic", "username": "ada", "password": "planted-credential-1\"\\"}),
            ),
            (receiver.url_of("/reset"), json!({"type": "bearer", "token": "planted-credential-2"})),
            (
                receiver.url_of("/key"),
                json!({"type": "api_key", "header": "X-Key", "value": "planted-credential-3"}),
            ),
            (format!("http://{closed}/"), json!({"type": "bearer", "token": "planted-credential-4"})),
            (
                format!("https://{}/", receiver.address()),
                json!({"type": "bearer", "token": "planted-credential-5"}),
            ),
        ] {
            let spec = json!({"url": url, "auth": auth, "secret": signing});
            endpoints.push(acme.endpoint(spec).await.path);
        }

        let mut answers = wrong_requests(&acme, &endpoints, &signing).await;
        answers.push(over_http2(&server, "/v1/events", &json!({"tenant": "none", "note": PAYLOAD})).await);
        let data = json!({"note": PAYLOAD, "card": "1"});
        let event = acme.publish(json!({"data": data, "attributes": {"note": PAYLOAD}, "id": "own-1"})).await;
        let with_card = json!({"tenant": "acme", "type": "card.created", "data": {"number": CARD}});
        answers.push(acme.api.publish_text(&with_card.to_string()).await.text());
        // Three of them get it twice.
        receiver.wait_for_event(&event, 6).await;
        for endpoint in &endpoints {
            answers.push(
                acme.api.post(&format!("{endpoint}/test"), &json!({"type": "card.created"})).await.text(),
            );
            // The present secrets are opened, changed in part, and sealed anew.
            answers.push(acme.api.json("PATCH", endpoint, &json!({"name": "renamed"})).await.text());
            answers.push(acme.api.get(endpoint).await.text());
            acme.api.get(&format!("{endpoint}/secret")).await.ok(200);
        }
        acme.api.delete(&endpoints[3]).await.ok(204);
        answers.push(acme.api.get(&acme.path("endpoints")).await.text());
        answers.push(acme.api.get(&acme.path("deliveries")).await.text());
        answers.push(acme.api.get("/v1/tokens").await.text());
        for delivery in acme.log("").await {
            let mut delivery = acme.delivery(delivery["id"].as_str().unwrap()).await;
            // This is where its owner reads it.
            delivery.as_object_mut().unwrap().remove("payload");
            answers.push(delivery.to_string());
        }
        for path in ["/metrics", "/readyz", "/openapi.json"] {
            answers.push(acme.api.get(path).await.text());
        }

        let running = server.files();
        server.kill();
        let killed = server.files();
        server.start_again().await;
        server.stop().await;
        let stopped = server.files();
        let changed = server.setup().clone().set("MASTER_KEY", key(3));
        answers.push(message(&refused(&changed, &server.database()).await));
        let unfit = server.setup().clone().set("MASTER_KEY", format!("{master}planted-credential"));
        answers.push(message(&refused(&unfit, &server.database()).await));
        let checked = Program::new(&["config", "check"])
            .env("POSTRIDER_MASTER_KEY", &master)
            .env("POSTRIDER_PREVIOUS_MASTER_KEY", &master)
            .env("POSTRIDER_ADMIN_TOKEN", TOKEN)
            .run()
            .await;
        assert!(
            checked.out.lines().any(|line| line.starts_with("master_key ") && line.contains("****")),
            "{checked:?}"
        );
        answers.push(checked.out + &checked.err);

        for answer in &answers {
            planted.not_in_text("an answer", answer);
        }
        let log = server.log();
        assert!(log.contains("TRACE") && !log.contains("panicked"), "it was traced, and nothing broke");
        planted.not_in_text("the log", &log);
        let mut databases = 0;
        for (name, bytes) in running.iter().chain(&killed).chain(&stopped) {
            planted.not_in_file(name, bytes);
            databases += usize::from(memchr::memmem::find(bytes, PAYLOAD.as_bytes()).is_some());
        }
        assert!(databases >= 2, "the search looks where things are kept");
    }
}

/// A call as the operator over HTTP/2, whose library logs the most; what is answered.
async fn over_http2(server: &Server, path: &str, body: &Value) -> String {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = client.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://{}{path}", server.address()))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Requests that are refused though they have something secret in them; what is answered.
async fn wrong_requests(acme: &crate::harness::Tenant, endpoints: &[String], signing: &str) -> Vec<String> {
    let mut answers = Vec::new();
    let create = acme.path("endpoints");
    let body = format!("{{\"note\":\"{PAYLOAD}\",\"number\":{CARD}}}");
    for (method, path, spec) in [
        (
            "POST",
            &create,
            json!({"url": "https://a.example/", "auth": {"type": "bearer", "token": "planted-credential\u{fc}\n"}}),
        ),
        (
            "POST",
            &create,
            json!({"url": "ftp://x/", "secret": signing, "auth": {"type": "bearer", "token": "planted-credential"}}),
        ),
        ("POST", &create, json!({"url": "https://a.example/", "secret": format!("{signing}x")})),
        (
            "POST",
            &create,
            json!({"url": "https://a.example/", "auth": {"type": "planted-credential", "password": "planted-credential"}}),
        ),
        (
            "POST",
            &create,
            json!({"url": "https://a.example/", "auth": {"type": "basic", "username": "a:", "password": "planted-credential"}}),
        ),
        (
            "POST",
            &create,
            json!({"url": "https://a.example/", "headers": {"authorization": "planted-credential"}}),
        ),
        ("PATCH", &endpoints[0], json!({"secret": null, "auth": {"password": 5}})),
        ("PATCH", &endpoints[0], json!({"url": "https://elsewhere.example/"})),
        ("PATCH", &endpoints[1], json!({"auth": {"token": "planted-credential\n"}})),
        (
            "POST",
            &"/v1/tokens".to_owned(),
            json!({"tenant": "acme", "scopes": ["admin"], "token": "planted-credential"}),
        ),
        (
            "POST",
            &"/v1/events".to_owned(),
            json!({"tenant": "nobody", "type": "t", "data": {"note": PAYLOAD}}),
        ),
        (
            "POST",
            &"/v1/events".to_owned(),
            json!({"tenant": "acme", "type": PAYLOAD.to_owned() + " ", "data": {"n": CARD}}),
        ),
        (
            "POST",
            &"/v1/events".to_owned(),
            json!([{"tenant": "acme", "type": "t", "data": CARD, "key": [PAYLOAD]}]),
        ),
    ] {
        let answer = acme.api.json(method, path, &spec).await.text();
        assert!(answer.contains("urn:postrider:problem"), "{method} {spec}: {answer}");
        answers.push(answer);
    }
    let json = ("content-type", "application/json");
    let planted = ("idempotency-key", PAYLOAD);
    for (path, headers, body) in [
        ("/v1/events", vec![json], format!("{body},")),
        ("/v1/events", vec![json], body.replace('}', "")),
        ("/v1/events", vec![json, ("content-encoding", "gzip")], body.clone()),
        ("/v1/events", vec![planted], body.clone()),
        ("/v1/events", vec![("content-type", "application/x-ndjson")], format!("{body}\n{{\n")),
        ("/v1/events?key=planted-payload", vec![json], body.clone()),
        ("/v1/nothing?token=planted-wrong-token", vec![json], body.clone()),
    ] {
        let answer = acme.api.send("POST", path, &headers, body.as_bytes()).await.text();
        assert!(answer.contains("urn:postrider:problem"), "{path}: {answer}");
        answers.push(answer);
    }
    for token in ["planted-wrong-token", "planted-wrong-token\u{7f}"] {
        answers.push(acme.api.with_token(token).get("/v1/tenants").await.text());
    }
    answers
}
