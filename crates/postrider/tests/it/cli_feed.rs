//! The feed at the command line: a line for each delivery, to the end or for as long as it goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::cli::Cli;
use crate::harness::server::TOKEN;
use crate::harness::{Reply, Setup, eventually};

#[tokio::test]
async fn the_feed_is_printed_from_a_sequence_to_its_end_line_by_line() {
    let cli = Cli::start().await;
    cli.receiver.script(|r| Reply::status(if r.event() == "e2" { 500 } else { 204 }));
    let (acme, endpoint) = cli.acme().await;
    for n in 1..=300 {
        let data = if n == 3 { r#"{"amount": 42.50,\n  "note":"é"}"# } else { "1" }.replace("\\n", "\n");
        let event = format!(r#"{{"tenant":"acme","type":"a.b","id":"e{n}","data":{data}}}"#);
        acme.api.publish_text(&event).await.ok(202);
    }
    eventually("all has its verdict", async || acme.log("status=pending").await.is_empty().then_some(()))
        .await;
    let feed = ["feed", "--tenant", "acme", &endpoint.id];
    let text = cli.text(&feed).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 300, "page after page");
    assert!(lines[1].starts_with("2  ") && lines[1].contains("  failed  a.b  e2  1"), "{}", lines[1]);
    assert!(lines[2].ends_with(r#"e3  {"amount": 42.50,\n  "note":"é"}"#), "{}", lines[2]);
    let json = cli.text(&[&feed[..], &["--json", "--after", "1", "--limit", "2"]].concat()).await;
    let entries: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = entries.iter().map(|e| (&e["sequence"], &e["status"], &e["event"]["id"])).collect();
    assert_eq!(
        told,
        [(&json!(2), &json!("failed"), &json!("e2")), (&json!(3), &json!("succeeded"), &json!("e3"))]
    );
    assert!(json.contains(r#"{"amount": 42.50,   "note":"é"}"#), "numbers stay as they were: {json}");
    assert_eq!(cli.text(&[&feed[..], &["--after", "300"]].concat()).await, "");
    assert_eq!(cli.text(&[&feed[..], &["--limit", "251"]].concat()).await.lines().count(), 251);
    assert_eq!(cli.run(&[&feed[..], &["--limit", "0"]].concat()).await.code, 2);
}

/// The program with its lines as they come. Ends with the test.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Following {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(args).env_clear().env("POSTRIDER_URL", url).env("POSTRIDER_TOKEN", TOKEN);
        command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        Self { child, lines }
    }

    async fn line(&self) -> Value {
        let line = eventually("a line of the feed", async || self.lines.try_recv().ok()).await;
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn whoever_follows_the_feed_gets_what_comes_also_after_a_restart_of_the_server() {
    // An address of its own, on which nobody else takes the port between two starts.
    let listener = tokio::net::TcpListener::bind("127.0.0.77:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut server = Setup::default().listening(&address.to_string()).start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": "http://127.0.0.1:8731/", "enabled": false})).await;
    acme.publish(json!({"id": "there"})).await;
    let args = ["feed", "--tenant", "acme", &endpoint.id, "--follow", "--json"];
    let following = Following::start(&format!("http://{address}"), &args);
    assert_eq!(following.line().await["event"]["id"], "there");
    acme.publish(json!({"id": "new"})).await;
    assert_eq!(following.line().await["event"]["id"], "new");
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    for n in 0..20 {
        acme.publish(json!({"id": format!("later-{n}")})).await;
    }
    for n in 0..20 {
        let entry = following.line().await;
        assert_eq!(
            (&entry["sequence"], &entry["event"]["id"]),
            (&json!(3 + n), &json!(format!("later-{n}")))
        );
    }
}
