//! Runs the program with nothing of the surroundings in its environment.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// One run to be.
pub(crate) struct Program {
    command: Command,
    input: Vec<u8>,
}

impl Program {
    pub(crate) fn new(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
        command.args(args).env_clear().current_dir(std::env::temp_dir());
        Self { command, input: Vec::new() }
    }

    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.env_os(name, OsStr::new(value))
    }

    pub(crate) fn env_os(mut self, name: &str, value: &OsStr) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn input(mut self, input: &str) -> Self {
        self.input = input.into();
        self
    }

    /// Runs to the end, off the test's own threads.
    pub(crate) async fn run(mut self) -> Ran {
        tokio::task::spawn_blocking(move || {
            let mut child = self
                .command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // A program that does not read its input may have ended already.
            let _ = child.stdin.take().unwrap().write_all(&self.input);
            let ended = child.wait_with_output().unwrap();
            Ran {
                code: ended.status.code().unwrap(),
                out: String::from_utf8(ended.stdout).unwrap(),
                err: String::from_utf8(ended.stderr).unwrap(),
            }
        })
        .await
        .unwrap()
    }
}
