//! Starting from what the store has, and stopping so that nothing is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_core::card::CardPolicy;
use postrider_core::challenge::{ChallengeForm, Verification};
use postrider_core::endpoint::PublicConfig;
use postrider_core::id::{EndpointNo, Position};
use postrider_core::node::{Node, NodeConfig, Restored};
use postrider_core::policy::Policy;
use postrider_core::profile::{ProfileName, Profiles};
use postrider_core::seal::DataKey;
use postrider_core::secret::SigningSecret;
use postrider_core::tenant::{OPERATOR, TenantConfig};
use postrider_dispatch::{Dispatcher, UrlPolicy};
use postrider_store::{Recovery, Store, StoreError, StoredEndpoint, Writer};
use rustc_hash::FxHashMap;

use crate::challenge::Challenges;
use crate::clock::{Clock, WallClock};
use crate::directory::Directory;
use crate::driver::Driver;
use crate::limits::ByHand;
use crate::reading::{Admission, Readers};
use crate::workers::Workers;
use crate::writer::{self, WriterConfig};
use crate::{Engine, Inner, operational, random};

/// How often a stop looks whether attempts in flight have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The profiles that tenants and endpoints may have.
    pub profiles: Arc<Profiles>,
    /// Signing secrets of the server's own, by profile, instead of those that it makes; for endpoints that have none, where the
    /// profile signs all the same.
    pub signing_keys: BTreeMap<ProfileName, SigningSecret>,
    /// Which addresses may be connected to.
    pub url_policy: UrlPolicy,
    /// The retry schedule of endpoints that have none of their own.
    pub default_schedule: Arc<[Duration]>,
    /// After how long of nothing but failures an endpoint is disabled.
    pub disable_after: Duration,
    /// What becomes of card data in the events of tenants that say nothing else.
    pub cards: CardPolicy,
    /// Bytes of one event.
    pub max_event_bytes: usize,
    /// Bytes of one batch.
    pub max_batch_bytes: usize,
    /// The machines' bounds.
    pub node: NodeConfig,
    /// How the store is kept.
    pub writer: WriterConfig,
    /// The threads that speak HTTP.
    pub workers: Workers,
}

impl EngineConfig {
    /// What the machines need to know of an endpoint, with what the operator has to say about it, and what is known of whose
    /// it is.
    pub(crate) fn policy(&self, policy: Policy, profile: &str, known: Option<&Verification>) -> Policy {
        let verified = self.challenge(profile).is_none() || known.is_some_and(Verification::is_verified);
        // Whether is the profile's to say, when the operator's.
        Policy { verified, disable_after: policy.disable_after.map(|_| self.disable_after), ..policy }
    }

    /// What a profile asks endpoints to prove whose they are.
    pub(crate) fn challenge(&self, profile: &str) -> Option<&Arc<ChallengeForm>> {
        self.profiles.get(profile)?.challenge()
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store has something that this version cannot use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no randomness or no thread.
    #[error("the system failed: {0}")]
    System(String),
}

/// The thread that writes; gives the writer back when it ends.
pub(crate) type WriterThread = std::thread::JoinHandle<Option<Box<dyn Writer>>>;

impl Engine {
    /// Starts with what the store has, and the key to its secrets. Needs a tokio runtime, on which its tasks run.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this version cannot read.
    pub async fn start(
        config: EngineConfig,
        store: Arc<dyn Store>,
        writer: Box<dyn Writer>,
        dispatcher: Dispatcher,
        key: DataKey,
    ) -> Result<Self, StartError> {
        Self::start_by(WallClock::default(), config, store, writer, dispatcher, key).await
    }

    /// The same by another wall clock: what schedules are drawn towards, and what attempts are signed with.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_by(
        wall: WallClock,
        config: EngineConfig,
        store: Arc<dyn Store>,
        writer: Box<dyn Writer>,
        dispatcher: Dispatcher,
        key: DataKey,
    ) -> Result<Self, StartError> {
        let read = store.clone();
        let recovery = tokio::task::spawn_blocking(move || read.recover())
            .await
            .map_err(|error| StartError::System(error.to_string()))??;
        let directory =
            Arc::new(Directory::load(&recovery, key, &config.profiles, &config.signing_keys, &config.cards)?);
        let clock = Clock::new(wall);
        let random = random::bytes::<16>().map_err(|error| StartError::System(error.to_string()))?;
        let (a, b) = random.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
        let mut node_config = config.node.clone();
        // A positive marker, so that it fits every store's integers.
        node_config.writer = number(a) >> 1;
        node_config.seed = number(b);
        let node = restore(node_config, &config, recovery, &directory, &clock)?;
        let readers = Readers::start().map_err(|error| StartError::System(error.to_string()))?;
        let driver = Driver::new(node, clock, store.clone(), dispatcher, directory.clone(), readers, &config);

        let for_thread = driver.clone();
        let writer_config = config.writer.clone();
        let thread = std::thread::Builder::new()
            .name("postrider-writer".to_owned())
            .spawn(move || writer::run(&for_thread, writer, &writer_config))
            .map_err(|error| StartError::System(error.to_string()))?;
        tokio::spawn(driver.clone().tick());
        // Loads and attempts that the restored state asks for.
        driver.step(postrider_core::node::Input::Tick);
        let writer = parking_lot::Mutex::new(Some(thread));
        let engine = Self(Arc::new(Inner {
            driver,
            directory,
            store,
            config,
            by_hand: ByHand::default(),
            challenges: Challenges::default(),
            admission: Admission::default(),
            writer,
        }));
        engine.watch_all();
        tokio::spawn(operational::run(engine.clone()));
        Ok(engine)
    }

    /// Stops: no new attempts, those in flight get `grace` to end, outcomes are written, the store is closed. What is
    /// pending is taken up by the next start.
    pub async fn stop(&self, grace: Duration) {
        let driver = self.driver().clone();
        self.0.challenges.stop();
        driver.0.machine.lock().node.stop_dispatch();
        let deadline = Instant::now() + grace;
        while driver.0.machine.lock().node.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        driver.0.machine.lock().stopping = true;
        driver.stop_loops();
        let Some(thread) = self.0.writer.lock().take() else { return };
        let closed = tokio::task::spawn_blocking(move || match thread.join() {
            Ok(Some(writer)) => writer.close(),
            _ => Ok(()),
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the store was not closed cleanly; nothing is lost"),
            Err(error) => tracing::error!(%error, "the writer ended abnormally"),
        }
    }
}

fn restore(
    node_config: NodeConfig,
    config: &EngineConfig,
    recovery: Recovery,
    directory: &Directory,
    clock: &Clock,
) -> Result<Node<crate::driver::Asker>, StartError> {
    warn_of_missing(&recovery, config);
    let now = clock.now();
    let committed = Position(recovery.next_position.0.saturating_sub(1));
    let mut node = Node::new(node_config, committed, now);
    node.set_last_commit(recovery.last_commit);
    for stored in recovery.tenants.iter().filter(|tenant| tenant.id != OPERATOR) {
        let tenant = TenantConfig::from_stored(&stored.doc)
            .map_err(|fault| StoreError::Unusable(format!("tenant {} cannot be read: {fault}", stored.id)))?;
        node.set_quotas(stored.no, tenant.quotas, now);
    }
    if let Some(operator) = recovery.tenants.iter().find(|tenant| tenant.id == OPERATOR) {
        node.set_operator(operator.no);
    }
    let mut replays: FxHashMap<EndpointNo, Vec<_>> = FxHashMap::default();
    for stored in recovery.replays {
        replays.entry(stored.replay.endpoint).or_default().push((stored.replay, stored.progress));
    }
    for stored in recovery.endpoints {
        let replays = replays.remove(&stored.no).unwrap_or_default();
        let restored = Restored { replays, ..restored(stored, config)? };
        if !restored.deleted {
            directory.screens().put(restored.tenant, restored.no, &restored.policy);
        }
        node.restore(restored, now);
    }
    Ok(node)
}

/// Tells of profiles that are there no more and that endpoints have, or sign as: nothing is delivered to these.
fn warn_of_missing(recovery: &Recovery, config: &EngineConfig) {
    let mut missing: BTreeMap<ProfileName, (usize, &str)> = BTreeMap::new();
    for stored in recovery.endpoints.iter().filter(|stored| !stored.deleted) {
        let Ok(parsed) = PublicConfig::from_stored(&stored.doc) else { continue };
        let also = parsed.also_sign().iter().map(|also| &also.profile);
        for name in std::iter::once(parsed.profile()).chain(also) {
            if config.profiles.get(name.as_str()).is_none() {
                missing.entry(name.clone()).or_insert((0, &stored.id)).0 += 1;
            }
        }
    }
    for (profile, (endpoints, one)) in missing {
        tracing::warn!(
            %profile,
            endpoints,
            one,
            "nothing is delivered to endpoints whose profile is there no more: put its declaration back into profiles_dir"
        );
    }
}

fn restored(stored: StoredEndpoint, config: &EngineConfig) -> Result<Restored, StartError> {
    let policy = if stored.deleted {
        // Its secrets are gone, so its configuration is not whole any more; what it is owed is only cancelled.
        policy_of_removed(stored.version)
    } else {
        // Secrets that do not open are a matter of their endpoint alone, and of its attempts.
        let parsed = PublicConfig::from_stored(&stored.doc).map_err(|fault| {
            StoreError::Unusable(format!("endpoint {} cannot be read: {fault}", stored.id))
        })?;
        let known = Verification::from_stored(&stored.verification);
        let policy = parsed.policy(stored.version, &config.profiles, &config.default_schedule);
        config.policy(policy, parsed.profile().as_str(), known.as_ref())
    };
    let blocking = stored
        .blocking
        .iter()
        .filter_map(|row| row.lane.map(|lane| (row.delivery, row.place, row.progress, lane)))
        .collect();
    Ok(Restored {
        no: stored.no,
        tenant: stored.tenant,
        policy,
        deleted: stored.deleted,
        health: stored.health,
        last_sequence: stored.last_sequence,
        has_pending: stored.has_pending,
        blocking,
        held: stored.held,
        replays: Vec::new(),
    })
}

/// What the machines need to know of an endpoint that was removed: nothing is delivered to it, nothing new is owed to it.
fn policy_of_removed(version: u32) -> Policy {
    Policy {
        version,
        patterns: Vec::new(),
        filters: None,
        enabled: true,
        verified: true,
        pause_skips: false,
        ordered: false,
        hold_max: Duration::ZERO,
        per_second: None,
        max_in_flight: 1,
        schedule: Arc::from([]),
        gone_disables: false,
        disable_after: None,
        target: 0,
    }
}
