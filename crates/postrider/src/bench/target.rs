//! The server under test: a child process with a database of its own, or one that runs already.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_client::{Client, EndpointSpec, Error, NewEvent, TenantSpec};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::record::{Recorder, Run};
use super::request::{EVENT_TYPE, tenant};

/// What the server prints on standard output once it accepts connections; the address follows.
const LISTENING: &str = "listening on ";
/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first event may take to arrive.
const FIRST_ARRIVAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Calls at the same time when tenants and endpoints are made.
const SETUP_CALLS: usize = 32;
/// Bytes of the server's own messages that are repeated when it does not start.
const QUOTED_BYTES: u64 = 4_096;

/// A server that can be loaded.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) address: SocketAddr,
    pub(super) token: String,
    pub(super) pid: Option<u32>,
    child: Option<Running>,
}

/// A child process that ends with its owner, and its directory with it.
#[derive(Debug)]
struct Running {
    process: Child,
    directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The database is thrown away, so there is nothing to shut down in order.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Target {
    /// A server that runs already; `pid` gives access to its costs.
    ///
    /// # Errors
    /// When the URL is not a plain `http` one.
    pub(super) fn running(url: &str, pid: Option<u32>, token: String) -> anyhow::Result<Self> {
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .context("--url must begin with http://")?;
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("{authority} is not a host with a port"))?
            .next()
            .with_context(|| format!("{authority} has no address"))?;
        Ok(Self { url: format!("http://{authority}"), address, token, pid, child: None })
    }

    /// Starts this program's own `serve` on a fresh database under `directory`.
    ///
    /// # Errors
    /// When it does not say in time that it listens.
    pub(super) fn start(directory: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let directory = tempfile::Builder::new()
            .prefix("postrider-bench-")
            .tempdir_in(directory)
            .with_context(|| format!("no directory under {}", directory.display()))?;
        let mut random = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let messages = directory.path().join("messages");
        let database = format!("sqlite:{}", directory.path().join("postrider.db").display());
        let mut command = Command::new(program);
        command
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--database", &database])
            // Nothing of the surroundings decides what is measured.
            .env_clear()
            .env("POSTRIDER_ADMIN_TOKEN", &token)
            .env("POSTRIDER_LOG", "warn")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&messages)?);
        let mut running =
            Running { process: command.spawn().context("the server cannot be started")?, directory };
        let url = match listening(&mut running.process) {
            Ok(url) => url,
            Err(error) => bail!("{error:#}; it said: {}", tail(&messages)),
        };
        let pid = Some(running.process.id());
        let mut target = Self::running(&url, pid, token)?;
        target.child = Some(running);
        Ok(target)
    }

    /// Where the server keeps its data, if it is a child.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.child.as_ref().map(|running| running.directory.path())
    }

    /// Makes tenants with `fanout` endpoints each, which all lead to the receiver.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn set_up(
        &self,
        prefix: &str,
        tenants: u64,
        fanout: usize,
        receiver: SocketAddr,
    ) -> anyhow::Result<()> {
        let client = Client::new(&self.url, &self.token)?;
        let mut calls = JoinSet::new();
        for number in 0..tenants {
            if calls.len() >= SETUP_CALLS
                && let Some(done) = calls.join_next().await
            {
                done??;
            }
            let (client, name) = (client.clone(), tenant(prefix, number));
            calls.spawn(async move {
                let spec = TenantSpec { name: name.clone(), ..TenantSpec::default() };
                client.put_tenant(&name, &spec).await?;
                for slot in 0..fanout {
                    let spec = EndpointSpec {
                        url: format!("http://{receiver}{}", Run::path(number, slot)),
                        event_types: Some(vec!["*".into()]),
                        ..EndpointSpec::default()
                    };
                    client.create_endpoint(&name, &spec).await?;
                }
                Ok::<(), Error>(())
            });
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Publishes one event and waits until it arrived at all endpoints of its tenant.
    ///
    /// # Errors
    /// When it is refused, owed to another number of endpoints, or does not arrive in time.
    pub(super) async fn try_out(
        &self,
        prefix: &str,
        recorder: &Recorder,
        run: Arc<Run>,
        fanout: u64,
    ) -> anyhow::Result<()> {
        let client = Client::new(&self.url, &self.token)?;
        let counter = run.take(1).unwrap_or_default();
        let mut event = NewEvent::json(tenant(prefix, 0), EVENT_TYPE, &serde_json::json!({}))?;
        event.id = Some(run.id(counter));
        recorder.run.store(Some(run.clone()));
        let owed = client.publish(&event, None).await?.deliveries;
        if owed != fanout {
            bail!("the first event is owed to {owed} endpoints instead of {fanout}");
        }
        let arrived = async {
            while run.arrivals() < fanout {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(FIRST_ARRIVAL_TIMEOUT, arrived).await.is_err() {
            bail!(
                "the first event was accepted, but {} of its {fanout} deliveries did not arrive within {FIRST_ARRIVAL_TIMEOUT:?}",
                fanout - run.arrivals()
            );
        }
        Ok(())
    }

    /// Removes the tenants of a bench from a server that goes on living.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn clean_up(&self, prefix: &str, tenants: u64) -> anyhow::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let client = Client::new(&self.url, &self.token)?;
        for number in 0..tenants {
            client.delete_tenant(&tenant(prefix, number)).await?;
        }
        Ok(())
    }
}

/// Waits for the line that tells the address, and keeps reading so that the server never waits for a full pipe.
fn listening(process: &mut Child) -> anyhow::Result<String> {
    let stdout = process.stdout.take().context("the server has no standard output")?;
    let (tell, told) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("server-output".into()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, url)) = line.split_once(LISTENING) {
                // Only the first is waited for.
                let _ = tell.try_send(url.trim().to_owned());
            }
        }
    })?;
    match told.recv_timeout(START_TIMEOUT) {
        Ok(url) => Ok(url),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the server ended before it listened"),
        Err(mpsc::RecvTimeoutError::Timeout) => bail!("the server did not listen within {START_TIMEOUT:?}"),
    }
}

fn tail(file: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(file) {
        // What cannot be read is not repeated.
        let _ = file.take(QUOTED_BYTES).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}
