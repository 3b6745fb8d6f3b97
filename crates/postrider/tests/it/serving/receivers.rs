//! Partners verify with the official packages of Standard Webhooks: what we sign, the receivers of the documentation accept,
//! and those that read the feed miss nothing.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::secret::SigningSecret;
use postrider_core::signature::{DEFAULT_TOLERANCE, SigningKey};
use postrider_core::time::Timestamp;
use serde_json::json;

use crate::harness::{Server, Setup, eventually};

/// Where `make test` puts the packages.
pub(super) fn packages() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join("receivers")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A partner's program, which ends with the test.
pub(super) struct Partner {
    child: Child,
    pub(super) port: u16,
    lines: mpsc::Receiver<String>,
}

impl Partner {
    pub(super) async fn start(mut command: Command, environment: &[(&str, &str)], directory: &Path) -> Self {
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("SECRET", SECRET).env("PORT", "0").envs(environment.iter().copied());
        command.current_dir(directory);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let mut partner = Self { child, port: 0, lines };
        let pid = partner.child.id();
        partner.port = eventually("the partner's program listens", async || listening_port(pid)).await;
        partner
    }

    pub(super) async fn line(&self) -> String {
        eventually("the partner's program says something", async || match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => panic!("the partner's program ended"),
        })
        .await
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port that the system gave to a process: the sockets that are its own, among those that listen.
fn listening_port(pid: u32) -> Option<u16> {
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|file| Some(std::fs::read_link(file.ok()?.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&"0A") && own.contains(&format!("socket:[{}]", fields.get(9)?));
        let (_, port) = fields.get(1)?.split_once(':')?;
        listens.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}

/// Signs each line of its input with the official library.
const SIGNER: &str = r#"
import sys, json, datetime, standardwebhooks
for line in sys.stdin:
    m = json.loads(line)
    at = datetime.datetime.fromtimestamp(m["at"], datetime.timezone.utc)
    print(standardwebhooks.Webhook(m["secret"]).sign(m["id"], at, m["body"]))
"#;

#[test]
fn messages_of_any_kind_are_signed_as_the_official_library_does() {
    let python = packages().join(".venv/bin/python");
    let mut child = Command::new(python)
        .args(["-c", SIGNER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Keys of every length, texts from nothing to many kilobytes, of one byte a character and of four.
    let messages: Vec<_> = (0..300_usize)
        .map(|n| {
            let key: Vec<u8> = (0..24 + n % 41).map(|i| (i * 7 + n * 13) as u8).collect();
            let secret = format!("whsec_{}", STANDARD.encode(key));
            let body = ["a", "é", "😀", "{\"x\":1}\n", "\u{0}\\"][n % 5].repeat(n * n % 997);
            (secret, format!("evt_{n}:-"), 1_700_000_000 + n as i64 * 86_413, body)
        })
        .collect();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = messages
        .iter()
        .map(|(secret, id, at, body)| json!({"secret": secret, "id": id, "at": at, "body": body}).to_string())
        .collect();
    let writing = std::thread::spawn(move || input.write_all((lines.join("\n") + "\n").as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let signatures = String::from_utf8(output.stdout).unwrap();
    let signatures: Vec<&str> = signatures.lines().collect();
    assert_eq!(signatures.len(), messages.len());
    for ((secret, id, at, body), theirs) in messages.iter().zip(signatures) {
        let key = SigningKey::new(&SigningSecret::parse(secret).unwrap());
        let mut ours = String::new();
        key.sign_into(&mut ours, id, *at, body.as_bytes());
        assert_eq!(ours, theirs, "{id}");
        let now = Timestamp::from_secs(*at);
        key.verify(id, &at.to_string(), theirs, body.as_bytes(), now, DEFAULT_TOLERANCE).unwrap();
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn accepts_what_is_signed(command: Command) {
    let partner = Partner::start(command, &[], &std::env::temp_dir()).await;
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let url = format!("http://127.0.0.1:{}/hook", partner.port);
    let endpoint = acme.endpoint(json!({"url": url, "secret": SECRET})).await;
    for data in
        [r#"{"amount":42.50,"name":"é 😀"}"#, "1.0", r#"{"escaped":"\ud83d\ude00","a":1,"a":2}"#, "null"]
    {
        let text = format!(r#"{{"tenant":"acme","type":"card.created","data":{data}}}"#);
        let accepted = acme.api.publish_text(&text).await.ok(202);
        let event = accepted["id"].as_str().unwrap();
        acme.wait_for_status(event, "succeeded").await;
        assert_eq!(partner.line().await, format!("200 verified {event} card.created attempt 1"));
    }
    // With another secret it does not: it does look at the signature.
    acme.patch(&endpoint, json!({"secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})).await;
    acme.publish(json!({})).await;
    assert!(partner.line().await.starts_with("401 NOT verified"));
}

/// A program of the documentation, run by Node beside its packages for as long as the first is kept.
fn node(program: &str) -> (tempfile::TempDir, impl Fn() -> Command) {
    let packages = packages();
    let package = packages.join("node_modules/standardwebhooks");
    assert!(package.exists(), "{} is missing: `make test` puts it there", package.display());
    // Modules are looked for beside the program.
    let place = tempfile::tempdir_in(&packages).unwrap();
    let copy = place.path().join("receiver.mjs");
    std::fs::copy(root().join(program), &copy).unwrap();
    (place, move || {
        let mut command = Command::new("node");
        command.arg(&copy);
        command
    })
}

/// A program of the documentation, run by Python.
fn python(program: &str) -> Command {
    let python = packages().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: `make test` puts it there", python.display());
    let mut command = Command::new(python);
    command.arg(root().join(program));
    command
}

#[tokio::test]
async fn the_node_receiver_of_the_documentation_accepts_what_is_signed() {
    let (_place, command) = node("docs/examples/receiver/receiver.mjs");
    accepts_what_is_signed(command()).await;
}

#[tokio::test]
async fn the_python_receiver_of_the_documentation_accepts_what_is_signed() {
    accepts_what_is_signed(python("docs/examples/receiver/receiver.py")).await;
}

/// Deliveries fail for good because the partner answers 500, because it is not there, and because it ends amid them; in the
/// end it has taken every event, and each once.
async fn misses_nothing(command: impl Fn() -> Command) {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let acme = server.tenant("acme").await;
    let reader = json!({"tenant": "acme", "scopes": ["webhook-events-read"]});
    let token = acme.api.post("/v1/tokens", &reader).await.ok(201)["token"].as_str().unwrap().to_owned();
    let endpoint = acme.endpoint(json!({"url": "http://127.0.0.1:8731/", "secret": SECRET})).await;
    let feed = format!("http://{}{}/feed", server.address(), endpoint.path);
    let environment = [("TOKEN", &*token), ("FEED", &*feed)];
    let place = tempfile::tempdir().unwrap();
    let start = async || {
        let partner = Partner::start(command(), &environment, place.path()).await;
        let url = format!("http://127.0.0.1:{}/", partner.port);
        acme.patch(&endpoint, json!({ "url": url })).await;
        partner
    };
    let published = std::cell::Cell::new(0);
    let publish = async |count: usize| {
        for _ in 0..count {
            acme.publish(json!({"id": format!("e{}", published.get()), "data": {"amount": 1}})).await;
            published.set(published.get() + 1);
        }
    };
    let taken = || -> Vec<String> {
        let text = std::fs::read_to_string(place.path().join("taken")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    let all_taken = async |when: &str| {
        eventually(when, async || (taken().len() >= published.get()).then_some(())).await;
    };
    let partner = start().await;
    publish(5).await;
    all_taken("what is delivered is taken").await;

    std::fs::write(place.path().join("broken"), "").unwrap();
    publish(3).await;
    eventually("three have failed for good", async || {
        (acme.log("status=failed").await.len() == 3).then_some(())
    })
    .await;
    std::fs::remove_file(place.path().join("broken")).unwrap();
    publish(1).await;
    all_taken("the gap before the next delivery is closed").await;

    drop(partner);
    publish(4).await;
    eventually("four more have failed", async || (acme.log("status=failed").await.len() == 7).then_some(()))
        .await;
    let partner = start().await;
    all_taken("what came while it was down is had from the feed").await;

    // Amid a stream of them, at any moment.
    let stream = async {
        for _ in 0..10 {
            publish(10).await;
        }
    };
    let end = async {
        eventually("some of the stream are taken", async || (taken().len() > 20).then_some(())).await;
        drop(partner);
    };
    tokio::join!(stream, end);
    let _partner = start().await;
    publish(1).await;
    all_taken("the rest of the stream is taken").await;
    eventually("nothing is under way", async || acme.log("status=pending").await.is_empty().then_some(()))
        .await;
    let mut ids = taken();
    ids.sort_unstable();
    let mut every: Vec<_> = (0..published.get()).map(|n| format!("e{n}")).collect();
    every.sort_unstable();
    assert_eq!(ids, every, "each once");
}

#[tokio::test]
async fn the_node_receiver_that_reads_the_feed_misses_nothing() {
    let (_place, command) = node("docs/examples/feed/receiver.mjs");
    misses_nothing(command).await;
}

#[tokio::test]
async fn the_python_receiver_that_reads_the_feed_misses_nothing() {
    misses_nothing(|| python("docs/examples/feed/receiver.py")).await;
}
