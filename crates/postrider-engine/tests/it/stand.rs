//! What the tests stand on: an engine, a receiver that counts, and a writer with a switch for faults.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_core::endpoint::EndpointConfig;
use postrider_core::id::TenantNo;
use postrider_core::node::NodeConfig;
use postrider_core::publication::{Publication, Receipt, Refusal};
use postrider_core::record::{Group, KeyHash};
use postrider_core::seal::DataKey;
use postrider_core::tenant::TenantConfig;
use postrider_dispatch::{DispatchConfig, Dispatcher, HickoryResolver, TcpDial, UrlPolicy};
use postrider_engine::{Engine, EngineConfig, WallClock, WriterConfig};
use postrider_sqlite::{SqliteConfig, SqliteWriter};
use postrider_store::{Maintenance, StoreError, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The key of every database.
pub(crate) const DATA_KEY: [u8; 32] = [7; 32];
/// The one step of the default schedule.
const STEP: Duration = Duration::from_millis(50);
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the writer does instead of committing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// The disk is full: nothing is written.
    Full,
    /// The write or fsync failed, and nothing of the group is on the disk.
    Lost,
    /// The write or fsync is said to have failed, but the group is on the disk.
    Kept,
}

/// The switch of a writer.
pub(crate) struct Switch {
    pub(crate) fault: Mutex<Fault>,
    pub(crate) faults: AtomicU32,
    /// Commits on a handle whose last result was not known: must stay 0.
    pub(crate) reused: AtomicU32,
}

struct Faulty {
    inner: Box<SqliteWriter>,
    switch: Arc<Switch>,
    doubtful: bool,
}

impl Writer for Faulty {
    fn commit(&mut self, group: &Group) -> Result<(), StoreError> {
        if self.doubtful {
            self.switch.reused.fetch_add(1, Ordering::SeqCst);
        }
        let fault = *self.switch.fault.lock();
        if fault != Fault::None {
            self.switch.faults.fetch_add(1, Ordering::SeqCst);
        }
        match fault {
            Fault::None => self.inner.commit(group),
            Fault::Full => Err(StoreError::Full("no space left on device".into())),
            Fault::Lost => {
                self.doubtful = true;
                Err(StoreError::Unknown("input/output error".into()))
            }
            Fault::Kept => {
                self.inner.commit(group)?;
                self.doubtful = true;
                *self.switch.fault.lock() = Fault::None;
                Err(StoreError::Unknown("input/output error".into()))
            }
        }
    }

    fn reopen(&mut self, writer: u64, number: u64) -> Result<bool, StoreError> {
        let found = self.inner.reopen(writer, number)?;
        self.doubtful = false;
        Ok(found)
    }

    fn maintain(&mut self, how: Maintenance) -> Result<bool, StoreError> {
        if self.doubtful { Ok(false) } else { self.inner.maintain(how) }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.close()
    }
}

pub(crate) struct Stand {
    pub(crate) engine: Engine,
    pub(crate) tenant: TenantNo,
    pub(crate) switch: Arc<Switch>,
    /// How often each event arrived, by `webhook-id`.
    pub(crate) arrived: Arc<Mutex<BTreeMap<String, u32>>>,
    /// Whether the receiver answers 500 for the time being.
    pub(crate) refusing: Arc<AtomicBool>,
    port: u16,
}

impl Stand {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_with(directory, NodeConfig::default()).await
    }

    pub(crate) async fn start_with(directory: &Path, node: NodeConfig) -> Self {
        Self::start_on(directory, node, SqliteConfig::default()).await
    }

    pub(crate) async fn start_on(directory: &Path, node: NodeConfig, store: SqliteConfig) -> Self {
        Self::start_by(directory, node, store, STEP, WallClock::default()).await
    }

    /// With another step of the schedule, and another wall clock.
    pub(crate) async fn start_by(
        directory: &Path,
        node: NodeConfig,
        store: SqliteConfig,
        step: Duration,
        wall: WallClock,
    ) -> Self {
        let (store, writer) = postrider_sqlite::open(&directory.join("p.db"), store).unwrap();
        let switch = Arc::new(Switch {
            fault: Mutex::new(Fault::None),
            faults: AtomicU32::new(0),
            reused: AtomicU32::new(0),
        });
        let writer = Faulty { inner: Box::new(writer), switch: switch.clone(), doubtful: false };
        let policy = UrlPolicy { allow_loopback: true, ..UrlPolicy::default() };
        let dispatch = DispatchConfig { policy: policy.clone(), ..DispatchConfig::default() };
        let resolver = Arc::new(HickoryResolver::from_system().unwrap());
        let dispatcher = Dispatcher::new(dispatch, resolver, Arc::new(TcpDial)).unwrap();
        let config = EngineConfig {
            profiles: Default::default(),
            signing_keys: Default::default(),
            url_policy: policy,
            default_schedule: [step].into(),
            disable_after: Duration::from_secs(432_000),
            cards: Default::default(),
            max_event_bytes: 65_536,
            max_batch_bytes: 262_144,
            node,
            writer: WriterConfig { retention: Duration::from_secs(86_400), disk_reserve: 0, directory: None },
            workers: postrider_engine::Workers::here(),
        };
        let key = DataKey::new(&DATA_KEY);
        let engine = Engine::start_by(wall, config, store, Box::new(writer), dispatcher, key).await.unwrap();
        let arrived = Arc::new(Mutex::new(BTreeMap::new()));
        let refusing = Arc::new(AtomicBool::new(false));
        let port = receiver(arrived.clone(), refusing.clone()).await;
        let mut stand = Self { engine, tenant: TenantNo(0), switch, arrived, refusing, port };
        stand.tenant = stand.tenant("acme").await;
        stand
    }

    /// Makes a tenant with an endpoint at the receiver.
    pub(crate) async fn tenant(&self, id: &str) -> TenantNo {
        let (tenant, _) =
            self.engine.put_tenant(id.parse().unwrap(), &TenantConfig::named(id)).await.unwrap();
        let body = format!(r#"{{"url": "http://127.0.0.1:{}/", "event_types": ["*"]}}"#, self.port);
        let endpoint = EndpointConfig::parse_create(body.as_bytes(), [7; 24]).unwrap();
        self.engine.create_endpoint(tenant.no, endpoint).await.unwrap();
        tenant.no
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.switch.fault.lock() = fault;
    }

    /// Publishes an event under an id of its own.
    pub(crate) async fn publish(&self, id: &str) -> Result<Receipt, Refusal> {
        self.engine.publish(vec![publication(self.tenant, id)]).await.remove(0)
    }

    pub(crate) fn arrivals(&self, id: &str) -> u32 {
        self.arrived.lock().get(id).copied().unwrap_or_default()
    }
}

/// An event of a tenant under an id of its own.
pub(crate) fn publication(tenant: TenantNo, id: &str) -> Publication {
    Publication {
        tenant,
        entitled: true,
        event_type: "card.transaction".into(),
        own_id: Some(id.into()),
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        occurred_at: None,
        data: Bytes::from_static(b"{}"),
        idempotency: None,
        body: Some(KeyHash::body(id.as_bytes())),
        unfit: Vec::new(),
        judged: None,
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes every request with 200, or refuses it, and counts it by its `Webhook-Id`.
async fn receiver(arrived: Arc<Mutex<BTreeMap<String, u32>>>, refusing: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (arrived, refusing) = (arrived.clone(), refusing.clone());
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                loop {
                    let mut part = [0; 4_096];
                    match stream.read(&mut part).await {
                        Ok(n) if n > 0 => buffer.extend_from_slice(&part[..n]),
                        _ => return,
                    }
                    // Requests are small and come one by one: a closing brace ends the body.
                    if !buffer.ends_with(b"}") {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&buffer).into_owned();
                    let id = text.lines().find_map(|l| l.strip_prefix("Webhook-Id: ")).unwrap_or_default();
                    *arrived.lock().entry(id.to_owned()).or_default() += 1;
                    buffer.clear();
                    let status = if refusing.load(Ordering::SeqCst) { "500 No" } else { "200 OK" };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}
