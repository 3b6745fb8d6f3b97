//! `docs/api.md`: its calls are made as they stand there, in their order, by bash and curl, and answer what it shows.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::harness::{Api, Setup, eventually};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
/// What the shell says when a block is through.
const THROUGH: &str = "-- through --";

/// The blocks of a text: language and content.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap())
}

/// A shell that is told one block after the other. Ends with the test, and all that it started with it.
struct Shell {
    child: Child,
    to: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Shell {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new("bash");
        command.arg("-eu").current_dir(directory).process_group(0);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        to.write_all(b"exec 2>&1\n").unwrap();
        let out = child.stdout.take().unwrap();
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        Self { child, to, lines }
    }

    /// What a block says.
    async fn run(&mut self, block: &str) -> String {
        self.to.write_all(format!("{block}\necho '{THROUGH}'\n").as_bytes()).unwrap();
        let mut said = String::new();
        loop {
            let line = eventually(&format!("bash is through with {block}\n{said}"), async || {
                match self.lines.try_recv() {
                    Err(mpsc::TryRecvError::Disconnected) => panic!("bash has ended: {block}\n{said}"),
                    line => line.ok(),
                }
            })
            .await;
            if line == THROUGH {
                return said;
            }
            said.push_str(&line);
            said.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// JSON values, one after the other.
fn values(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values.map(|value| value.unwrap_or_else(|e| panic!("{e}: {text}"))).collect()
}

/// Where an answer is not as it is shown: shown is a part of it, and `…` stands for any text.
fn differs(shown: &Value, answer: &Value) -> Option<String> {
    let told = || Some(format!("{shown} is shown, and {answer} is answered"));
    match (shown, answer) {
        (Value::Object(shown), Value::Object(answer)) => shown.iter().find_map(|(name, shown)| {
            let answer = answer.get(name).unwrap_or(&Value::Null);
            differs(shown, answer).map(|fault| format!("{name}: {fault}"))
        }),
        (Value::Array(some), Value::Array(all)) if some.len() == all.len() => {
            some.iter().zip(all).find_map(|(shown, answer)| differs(shown, answer))
        }
        (Value::String(shown), Value::String(answer)) => match shown.split_once('…') {
            Some((begin, end)) if answer.starts_with(begin) && answer.ends_with(end) => None,
            _ if shown == answer => None,
            _ => told(),
        },
        _ if shown == answer => None,
        _ => told(),
    }
}

/// Waits until all that was published or is replayed is delivered, or given up: a reader is slower than that.
async fn settled(operator: &Api) {
    eventually("everything has its verdict", async || {
        let pending = operator.get("/v1/deliveries?status=pending").await.ok(200);
        let replays = operator.get("/v1/tenants/acme/endpoints/till/replays").await;
        let running = replays.status == 200 && replays.text().contains(r#""state":"running""#);
        (pending["data"] == json!([]) && !running).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_calls_of_the_guide_answer_what_it_shows() {
    // The operator's token comes from its file, as it does for whoever reads the guide.
    let server = Setup::default().without("ADMIN_TOKEN").start().await;
    let directory = server.database().parent().unwrap().to_owned();
    let token = std::fs::read_to_string(directory.join("postrider.db.admin-token")).unwrap();
    let operator = server.api().with_token(token.trim());
    // Nobody listens there until the guide says so.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let here = |text: &str| {
        let text = text.replace("127.0.0.1:8700", &server.address().to_string());
        text.replace("127.0.0.1:3000", &format!("127.0.0.1:{port}")).replace("3000)", &format!("{port})"))
    };

    let mut shell = Shell::start(&directory);
    let (mut said, mut compared) = (String::new(), 0);
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    for (language, block) in blocks(&guide) {
        match language {
            "sh" => {
                said = shell.run(&here(block)).await;
                settled(&operator).await;
            }
            "json" => {
                let (shown, answers) = (values(block), values(&said));
                assert_eq!(shown.len(), answers.len(), "{block}\n{said}");
                for (shown, answer) in shown.iter().zip(&answers) {
                    assert_eq!(differs(shown, answer), None, "{block}\n{said}");
                }
                compared += 1;
            }
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(compared >= 15, "{compared}");
    let left: Vec<_> = server.files().into_keys().filter(|name| !name.starts_with("postrider.db")).collect();
    assert_eq!(left, Vec::<String>::new(), "the guide cleans up behind itself");
}
