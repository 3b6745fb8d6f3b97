//! A real Chromium, spoken to over its debugging pipe: what a page shows, what it complains of, and whom it asks for what.
//!
//! The protocol is Chrome's DevTools Protocol, as JSON messages that end with a NUL.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::within;

/// How long the browser may take for anything; it starts slowly.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing of its own accord, and no name is ever looked up: all that is asked for is on loopback.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,1600",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A browser with one page. Ends with the test.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    /// All messages that came, in order.
    from: Arc<Mutex<Vec<Value>>>,
    calls: u64,
    session: String,
    /// Its profile, which goes with it.
    _profile: TempDir,
}

impl Browser {
    /// Starts one, and opens a page in it.
    pub(crate) async fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It reads descriptor 3 and writes descriptor 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "chromium"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(FLAGS)
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let out = child.stdout.take().unwrap();
        let from = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&from);
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                noted.lock().unwrap().push(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self { child, to, from, calls: 0, session: String::new(), _profile: profile };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.call("Page.navigate", json!({"url": url})).await;
        browser
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let sent = self.to.write_all(format!("{message}\0").as_bytes());
        sent.unwrap_or_else(|e| panic!("is chromium installed? {e}"));
        let answer = within(PATIENCE, &format!("chromium answers {method}"), async || {
            let from = self.from.lock().unwrap();
            from.iter().find(|message| message["id"] == id).cloned()
        })
        .await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// What an expression of the page's is; nothing where it is undefined.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression of the page's is so.
    pub(crate) async fn wait_for(&mut self, expression: &str, expected: Value) {
        within(PATIENCE, &format!("{expression} is {expected}"), async || {
            (self.value(expression).await == expected).then_some(())
        })
        .await;
    }

    /// Clicks on what a selector finds, once it is there.
    pub(crate) async fn click(&mut self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.wait_for(&format!("!!{found}"), json!(true)).await;
        self.value(&format!("{found}.click()")).await;
    }

    /// Writes into the field that a selector finds, as a keyboard would.
    pub(crate) async fn write(&mut self, selector: &str, text: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.wait_for(&format!("!!{found}"), json!(true)).await;
        self.value(&format!("{found}.focus()")).await;
        self.call("Input.insertText", json!({"text": text})).await;
    }

    fn told(&self, method: &str) -> Vec<Value> {
        let from = self.from.lock().unwrap();
        from.iter().filter(|message| message["method"] == method).map(|m| m["params"].clone()).collect()
    }

    /// What it asked for, whether it got it or not.
    pub(crate) fn requests(&self) -> Vec<String> {
        let asked = self.told("Network.requestWillBeSent");
        asked.iter().map(|told| told["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the console shows as wrong: exceptions, refusals by the page's policy, failed requests, warnings.
    pub(crate) fn complaints(&self) -> Vec<Value> {
        let entries = self.told("Log.entryAdded").into_iter().map(|told| told["entry"].clone());
        let calls = self.told("Runtime.consoleAPICalled");
        let calls = calls.into_iter().filter(|call| call["type"] == "error" || call["type"] == "warning");
        entries.chain(self.told("Runtime.exceptionThrown")).chain(calls).collect()
    }

    /// A picture of what it shows, for people.
    pub(crate) async fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({})).await;
        std::fs::write(file, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
