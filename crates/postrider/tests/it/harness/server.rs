//! The real program as a child process: started, stopped, killed, and started again on the same file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Api, Tenant, eventually, within};

/// The operator's token of every test.
pub(crate) const TOKEN: &str = "operator-of-the-tests-0123456789";
/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// How a server is to be started.
#[derive(Clone)]
pub(crate) struct Setup {
    environment: Vec<(String, String)>,
    wrapper: Vec<OsString>,
    listen: String,
    dev: bool,
}

impl Default for Setup {
    /// Fast retries and probes, without jitter.
    fn default() -> Self {
        let none =
            Self { environment: Vec::new(), wrapper: Vec::new(), listen: "127.0.0.1:0".into(), dev: true };
        none.set("ADMIN_TOKEN", TOKEN)
            .set("RETRY_SCHEDULE_S", "[0.2, 0.2, 0.2]")
            .set("RETRY_JITTER", "0")
            .set("BREAKER__PROBE_INITIAL_S", "0.1")
            .set("BREAKER__PROBE_MAX_S", "0.4")
            .set("DISK_RESERVE_MB", "1")
            .set("SHUTDOWN_GRACE_S", "5")
    }
}

impl Setup {
    /// Sets a key of the configuration.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("POSTRIDER_{key}");
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_string()));
        self
    }

    /// As in production: no endpoint on loopback.
    pub(crate) fn for_production(mut self) -> Self {
        self.dev = false;
        self
    }

    /// Leaves a key of the configuration at its default.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.environment.retain(|(known, _)| *known != format!("POSTRIDER_{key}"));
        self
    }

    /// Listens there.
    pub(crate) fn listening(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    /// Runs the program by another one, which must become it (`exec`).
    pub(crate) fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(OsString::from).collect();
        self
    }

    /// Starts the server on a fresh file.
    pub(crate) async fn start(self) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server { setup: self, directory, child: None, address: ([127, 0, 0, 1], 0).into() };
        server.start_again().await;
        server
    }

    /// Starts the server on a copy of a database.
    pub(crate) async fn start_on(self, database: &Path) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server { setup: self, directory, child: None, address: ([127, 0, 0, 1], 0).into() };
        std::fs::copy(database, server.database()).unwrap();
        server.start_again().await;
        server
    }

    /// The command that serves a database, with nothing of the surroundings in its environment.
    pub(crate) fn command(&self, database: &Path) -> Command {
        let mut words = self.wrapper.clone();
        words.push(env!("CARGO_BIN_EXE_postrider").into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.arg("serve").args(self.dev.then_some("--dev"));
        command.args(["--listen", &self.listen, "--database"]).arg(format!("sqlite:{}", database.display()));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(database.parent().unwrap()).stdin(Stdio::null());
        command
    }
}

/// A running server with its files. Ends with the test.
pub(crate) struct Server {
    setup: Setup,
    directory: TempDir,
    child: Option<Child>,
    address: SocketAddr,
}

impl Server {
    /// One with the settings of [`Setup::default`].
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Starts on the same file as before. The port is another one.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut child =
            self.setup.command(&self.database()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        self.child = Some(child);
        let (line, first_line) = mpsc::channel();
        // Reads to the end, so that the server never waits for its output to be read.
        std::thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let address =
            within(START, "the server says where it listens", async || match first_line.try_recv() {
                Ok(text) => {
                    Some(text.strip_prefix("listening on http://").map(str::to_owned).unwrap_or(text))
                }
                Err(mpsc::TryRecvError::Empty) => None,
                Err(mpsc::TryRecvError::Disconnected) => panic!("the server ended: {}", self.log()),
            });
        self.address = address.await.parse().unwrap_or_else(|e| panic!("{e}: {}", self.log()));
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits until it has ended of its own accord.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = eventually("the server ends", async || child.try_wait().unwrap()).await;
        self.child = None;
        status
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// How it is to be started from now on.
    pub(crate) fn set_up(&mut self, setup: Setup) {
        self.setup = setup;
    }

    /// All its files, but for what it logged.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap().map(Result::unwrap);
        let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
        let files = files.filter(|(_, path)| *path != self.log_path());
        files.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
    }

    /// Its database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("postrider.db")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// What it logged, over all starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The API with the operator's token, at the address of the present start.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.address, TOKEN)
    }

    /// Makes a tenant.
    pub(crate) async fn tenant(&self, id: &str) -> Tenant {
        self.api().tenant(id).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4_000);
            eprintln!("the server's log:\n{}", String::from_utf8_lossy(&log.as_bytes()[tail..]));
        }
    }
}
