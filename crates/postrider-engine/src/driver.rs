//! Drives the node: inputs in under one lock, effects carried out after it; one thread commits, one task wakes it in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::matching::Candidate;
pub(crate) use postrider_core::node::Change;
use postrider_core::node::{Counts, Effects, Input, Load, Node, PageRead, Reply, What};
pub use postrider_core::node::{Standing as EndpointStatus, State as EndpointState};
use postrider_core::record::{Edit, Group};
use postrider_core::tenant::Quotas;
use postrider_core::time::Timestamp;
use postrider_dispatch::Dispatcher;
use postrider_store::{PageLimit, Store, StoreError};
use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, SLEW_EVERY};
use crate::directory::Directory;
use crate::error::ServiceError;
use crate::feed::Waiters;
use crate::reading::Readers;
use crate::start::EngineConfig;
use crate::workers::Workers;

/// How whoever waits for an answer is found.
pub(crate) type Asker = oneshot::Sender<Reply>;

/// How long a caller is asked to wait before trying again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The machines and what they are driven with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Driver(pub(crate) Arc<Shared>);

/// See [`Driver`].
pub(crate) struct Shared {
    pub(crate) machine: Mutex<Machine>,
    pub(crate) writer_wake: Condvar,
    tick_wake: Notify,
    /// Wakes what tells the operator, and ends it.
    pub(crate) teller_wake: Notify,
    pub(crate) teller_stop: Notify,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) directory: Arc<Directory>,
    pub(crate) readers: Readers,
    pub(crate) workers: Workers,
    pub(crate) health: Health,
    pub(crate) waiters: Arc<Waiters>,
    /// Pending deliveries of one endpoint, at most.
    backlog_max: u64,
}

/// The node, and until when its two loops sleep.
pub(crate) struct Machine {
    pub(crate) node: Node<Asker>,
    /// Until when the writer sleeps; the epoch while it works.
    pub(crate) writer_until: Timestamp,
    /// Until when the ticker sleeps.
    tick_until: Timestamp,
    /// Until when what tells the operator sleeps; for ever while it works.
    pub(crate) teller_until: Timestamp,
    pub(crate) stopping: bool,
}

/// What `/readyz` asks about.
#[derive(Default)]
pub(crate) struct Health {
    /// Loops that ended without being asked to.
    pub(crate) dead_loops: Mutex<Vec<&'static str>>,
    /// The store refuses to write.
    pub(crate) failing: AtomicBool,
    /// Less room on the disk than the reserve.
    pub(crate) disk_low: AtomicBool,
    /// Pages that could not be read since the last one that could.
    pub(crate) failed_reads: AtomicU32,
    /// Set when the process cannot go on.
    pub(crate) fatal: AtomicBool,
    pub(crate) fatal_wake: Notify,
}

/// Notes the end of a loop that was not asked to end, also when it panics.
pub(crate) struct Supervised {
    pub(crate) name: &'static str,
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let expected = self.shared.machine.try_lock_for(Duration::from_secs(1)).is_some_and(|m| m.stopping);
        if !expected {
            tracing::error!(name = self.name, "a loop ended unexpectedly");
            self.shared.health.dead_loops.lock().push(self.name);
            self.shared.health.fail();
        }
    }
}

/// Held by what must not stop half-way: a panic there would leave a delivery or an endpoint stuck without a word, so it
/// ends the process, and the next start goes on from the store.
pub(crate) struct MustFinish<'a>(pub(crate) &'a Health);

impl Drop for MustFinish<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a panic in the engine; stopping");
            self.0.fail();
        }
    }
}

impl Health {
    /// The process cannot go on.
    pub(crate) fn fail(&self) {
        self.fatal.store(true, Ordering::Release);
        self.fatal_wake.notify_waiters();
        self.fatal_wake.notify_one();
    }
}

impl Driver {
    pub(crate) fn new(
        node: Node<Asker>,
        clock: Clock,
        store: Arc<dyn Store>,
        dispatcher: Dispatcher,
        directory: Arc<Directory>,
        readers: Readers,
        config: &EngineConfig,
    ) -> Self {
        Self(Arc::new(Shared {
            machine: Mutex::new(Machine {
                node,
                writer_until: Timestamp::EPOCH,
                tick_until: Timestamp::FAR_FUTURE,
                teller_until: Timestamp::FAR_FUTURE,
                stopping: false,
            }),
            writer_wake: Condvar::new(),
            tick_wake: Notify::new(),
            teller_wake: Notify::new(),
            teller_stop: Notify::new(),
            clock,
            store,
            dispatcher,
            directory,
            readers,
            workers: config.workers.clone(),
            health: Health::default(),
            waiters: Arc::default(),
            backlog_max: config.node.backlog_max,
        }))
    }

    /// Hands an input to the node and carries out what follows.
    pub(crate) fn step(&self, input: Input<Asker>) {
        let effects = self.handle(input);
        self.carry_out(effects);
    }

    /// Hands an input to the node; the effects are the caller's to carry out.
    pub(crate) fn handle(&self, input: Input<Asker>) -> Effects<Asker> {
        let _must_finish = MustFinish(&self.0.health);
        let mut effects = Effects::default();
        let mut machine = self.0.machine.lock();
        let now = self.0.clock.now();
        machine.node.handle(now, input, &mut effects);
        self.wake_loops(&mut machine, now);
        effects
    }

    /// Wakes the writer and the ticker if they would sleep too long.
    pub(crate) fn wake_loops(&self, machine: &mut Machine, now: Timestamp) {
        if machine.node.commit_due(now).is_some_and(|due| due < machine.writer_until) {
            machine.writer_until = Timestamp::EPOCH;
            self.0.writer_wake.notify_one();
        }
        let wake = machine.node.next_wake();
        if wake < machine.tick_until {
            machine.tick_until = wake;
            self.0.tick_wake.notify_one();
        }
    }

    pub(crate) fn carry_out(&self, effects: Effects<Asker>) {
        for (asker, reply) in effects.replies {
            // Whoever asked may be gone.
            drop(asker.send(reply));
        }
        for attempt in effects.attempts {
            self.0.workers.spawn(crate::attempt::run(self.clone(), attempt));
        }
        for load in effects.loads {
            let readers = &self.0.readers;
            let desk = if load.what.may_wait() { &readers.background } else { &readers.pages };
            let driver = self.clone();
            desk.run(move || driver.load(load));
        }
    }

    fn load(&self, load: Load) {
        let _must_finish = MustFinish(&self.0.health);
        match self.read(&load) {
            Ok(page) => {
                self.0.health.failed_reads.store(0, Ordering::Relaxed);
                self.step(Input::Page(Box::new(page)));
            }
            Err(error) => {
                tracing::warn!(%error, ?load, "a page could not be read; trying again");
                // That what may wait takes long says nothing of deliveries.
                if !load.what.may_wait() {
                    self.0.health.failed_reads.fetch_add(1, Ordering::Relaxed);
                }
                self.step(Input::PageFailed(load));
            }
        }
    }

    fn read(&self, load: &Load) -> Result<PageRead, StoreError> {
        let store = &self.0.store;
        let limit = PageLimit { entries: load.entries, bytes: load.bytes };
        let mut read = PageRead {
            load: load.clone(),
            entries: Vec::new(),
            rows: Vec::new(),
            ended: Vec::new(),
            upto: Position::ZERO,
            complete: true,
            watermark: store.committed(),
            next: None,
            count: 0,
        };
        let page = match load.what {
            What::Due(after) => store.due(load.endpoint, after, limit)?,
            What::Retries(after, until) => {
                let page = store.retries(load.endpoint, after, until, limit)?;
                let last = page.entries.last().map(|l| (retry_time(l.place), l.delivery.position));
                let last = if page.complete { last.max(Some((until, Position::MAX))) } else { last };
                read.next = store.next_retry(load.endpoint, last.unwrap_or(after))?;
                page
            }
            What::Beyond(after) => {
                store.retries(load.endpoint, (after, Position::MAX), Timestamp::FAR_FUTURE, limit)?
            }
            What::Held(lane, after) => store.held(load.endpoint, lane, after, limit)?,
            What::Any => {
                read.rows = store.pending(load.endpoint, None, load.entries)?;
                return Ok(read);
            }
            What::Before(time) => {
                read.rows = store.pending(load.endpoint, Some(time), load.entries)?;
                return Ok(read);
            }
            What::Count => {
                // Beyond the bound it does not matter how many there are.
                (read.count, read.watermark) =
                    store.count_pending(load.endpoint, self.0.backlog_max.saturating_add(1))?;
                return Ok(read);
            }
            What::Replay(ref replay, after) => {
                let page = store.replay_page(replay, after, limit)?;
                (read.ended, read.upto) = (page.entries, page.upto);
                (read.complete, read.watermark) = (page.complete, page.watermark);
                return Ok(read);
            }
        };
        read.entries = page.entries;
        read.complete = page.complete;
        read.watermark = page.watermark;
        Ok(read)
    }

    /// Asks the node for something, and waits for the answer.
    pub(crate) async fn ask(&self, input: impl FnOnce(Asker) -> Input<Asker>) -> Result<Reply, ServiceError> {
        let (asker, answer) = oneshot::channel();
        self.step(input(asker));
        answer.await.map_err(|_| ServiceError::Internal)
    }

    /// Makes changes of configuration durable.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] while the store cannot write.
    pub(crate) async fn edit(&self, changes: Vec<Change>) -> Result<(), ServiceError> {
        done(self.ask(|asker| Input::Edit(changes, asker)).await?)
    }

    /// How an endpoint stands.
    pub(crate) fn state(&self, tenant: TenantNo, endpoint: EndpointNo) -> Option<EndpointStatus> {
        self.0.machine.lock().node.standing(tenant, endpoint)
    }

    /// Some endpoints of a tenant as they stand to an event of this type.
    pub(crate) fn candidates(
        &self,
        tenant: TenantNo,
        event_type: &str,
        endpoints: &[EndpointNo],
    ) -> Vec<Option<Candidate>> {
        self.0.machine.lock().node.candidates(tenant, event_type, endpoints)
    }

    /// Limits what a tenant may take up.
    pub(crate) fn set_quotas(&self, tenant: TenantNo, quotas: Quotas) {
        let mut machine = self.0.machine.lock();
        machine.node.set_quotas(tenant, quotas, self.0.clock.now());
    }

    /// Counts since the start, and attempts under way.
    pub(crate) fn counts(&self) -> (Counts, usize, (usize, usize)) {
        let machine = self.0.machine.lock();
        (machine.node.counts(), machine.node.in_flight(), machine.node.memory())
    }

    /// Wakes the node whenever it wants to; ends when the driver stops.
    pub(crate) async fn tick(self) {
        let _supervised = Supervised { name: "ticker", shared: self.0.clone() };
        let mut slew_at = Instant::now() + SLEW_EVERY;
        loop {
            let (wake, now) = {
                let mut machine = self.0.machine.lock();
                if machine.stopping {
                    return;
                }
                machine.tick_until = machine.node.next_wake();
                (machine.tick_until, self.0.clock.now())
            };
            let sleep = wake.since(now).min(slew_at.saturating_duration_since(Instant::now()));
            if !sleep.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    () = self.0.tick_wake.notified() => continue,
                }
            }
            if Instant::now() >= slew_at {
                self.0.clock.slew();
                slew_at = Instant::now() + SLEW_EVERY;
            }
            if wake <= self.0.clock.now() {
                self.step(Input::Tick);
                // A node that wants another tick at once still lets others run.
                tokio::task::yield_now().await;
            }
        }
    }

    /// A group is durable: what it has for the operator may be due before the next is looked for.
    pub(crate) fn wake_teller(&self, machine: &Machine, group: &Group) {
        let due = |edit: &Edit| matches!(edit, Edit::PutNotice { due, .. } if *due < machine.teller_until);
        if group.edits.iter().any(due) {
            self.0.teller_wake.notify_one();
        }
    }

    /// Wakes the loops, so that they see that the driver stops.
    pub(crate) fn stop_loops(&self) {
        self.0.writer_wake.notify_all();
        self.0.tick_wake.notify_one();
        self.0.teller_stop.notify_one();
    }
}

fn retry_time(place: postrider_core::record::Place) -> Timestamp {
    match place {
        postrider_core::record::Place::Retry(at) => at,
        _ => Timestamp::EPOCH,
    }
}

/// Reads an answer that should be [`Reply::Done`].
pub(crate) fn done(reply: Reply) -> Result<(), ServiceError> {
    match reply {
        Reply::Done => Ok(()),
        Reply::Conflict(why) => Err(ServiceError::Conflict(why.to_owned())),
        Reply::Overloaded(why) => {
            Err(ServiceError::Overloaded { reason: why.to_owned(), retry_after: RETRY_AFTER })
        }
        Reply::Published(_) | Reply::Tested(_) => Err(ServiceError::Internal),
    }
}
