//! Partners verify with the official packages of Standard Webhooks: what we sign, the receivers of the documentation accept.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::json;

use crate::harness::{Server, eventually};

/// Where `make test` puts the packages.
fn packages() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join("receivers")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A partner's program, which ends with the test.
struct Partner {
    child: Child,
    port: u16,
    lines: mpsc::Receiver<String>,
}

impl Partner {
    async fn start(mut command: Command, secret: &str) -> Self {
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("SECRET", secret).env("PORT", "0").current_dir(std::env::temp_dir());
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

    async fn line(&self) -> String {
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

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn accepts_what_is_signed(command: Command) {
    let partner = Partner::start(command, SECRET).await;
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

#[tokio::test]
async fn the_node_receiver_of_the_documentation_accepts_what_is_signed() {
    let packages = packages();
    let package = packages.join("node_modules/standardwebhooks");
    assert!(package.exists(), "{} is missing: `make test` puts it there", package.display());
    // Modules are looked for beside the program.
    let place = tempfile::tempdir_in(&packages).unwrap();
    let copy = place.path().join("receiver.mjs");
    std::fs::copy(root().join("docs/examples/receiver/receiver.mjs"), &copy).unwrap();
    let mut command = Command::new("node");
    command.arg(&copy);
    accepts_what_is_signed(command).await;
}

#[tokio::test]
async fn the_python_receiver_of_the_documentation_accepts_what_is_signed() {
    let python = packages().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: `make test` puts it there", python.display());
    let mut command = Command::new(python);
    command.arg(root().join("docs/examples/receiver/receiver.py"));
    accepts_what_is_signed(command).await;
}
