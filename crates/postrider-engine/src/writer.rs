//! The one thread that writes: takes what waits, commits it as a group, and does the store's background work between groups.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postrider_core::node::{Effects, Known};
use postrider_core::record::{Group, KeyHash};
use postrider_core::time::Timestamp;
use postrider_store::{KeyHit, Maintenance, StoreError, Writer};

use crate::driver::{Driver, Supervised};

/// How long a step of background work may keep commits waiting.
const MAINTENANCE_BUDGET: Duration = Duration::from_millis(2);
/// How often background work is looked for.
const MAINTENANCE_EVERY: Duration = Duration::from_millis(25);
/// While groups are large, the next one begins no sooner than this after the last: on a disk that syncs fast, groups would
/// otherwise stay small and cost more, in CPU and in bytes written, than they save in time.
const GATHER: Duration = Duration::from_micros(800);
/// Rows from which a group counts as large.
const LARGE_GROUP: usize = 16;
/// How often the room on the disk is looked at.
const DISK_EVERY: Duration = Duration::from_secs(1);
/// How long until a group that could not be written is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// Tries to settle an unknown result before the process gives up and leaves it to the next start.
const REOPEN_TRIES: u32 = 150;

/// How the store is kept.
#[derive(Debug, Clone)]
pub struct WriterConfig {
    /// Finished work older than this is removed.
    pub retention: Duration,
    /// Publications are refused while the disk has less room than this, in bytes.
    pub disk_reserve: u64,
    /// The directory whose disk is looked at; `None` for a database elsewhere.
    pub directory: Option<PathBuf>,
}

/// Runs until the driver stops; returns the writer, to be closed.
pub(crate) fn run(
    driver: &Driver,
    mut writer: Box<dyn Writer>,
    config: &WriterConfig,
) -> Option<Box<dyn Writer>> {
    let _supervised = Supervised { name: "writer", shared: driver.0.clone() };
    let mut upkeep = Upkeep { maintained: Instant::now(), disk: Instant::now() - DISK_EVERY, more: true };
    let mut not_before = None;
    loop {
        upkeep.disk_room(driver, config);
        match wait_for_work(driver, &upkeep) {
            Work::Stop => return Some(writer),
            Work::Maintain => {}
            Work::Commit => {
                if let Some(wait) =
                    not_before.and_then(|at: Instant| at.checked_duration_since(Instant::now()))
                {
                    std::thread::sleep(wait);
                }
                let begun = Instant::now();
                match commit(driver, writer.as_mut()) {
                    Ok(rows) => not_before = (rows >= LARGE_GROUP).then_some(begun + GATHER),
                    Err(error) => {
                        tracing::error!(%error, "the store cannot go on; stopping");
                        driver.0.health.fail();
                        return None;
                    }
                }
            }
        }
        if let Err(error) = upkeep.maintain(driver, writer.as_mut(), config) {
            tracing::error!(%error, "the store's background work failed; stopping");
            driver.0.health.fail();
            return None;
        }
    }
}

enum Work {
    Commit,
    Maintain,
    Stop,
}

fn wait_for_work(driver: &Driver, upkeep: &Upkeep) -> Work {
    let shared = &driver.0;
    let mut machine = shared.machine.lock();
    loop {
        let now = shared.clock.now();
        let due = machine.node.commit_due(now);
        if due.is_some_and(|due| due <= now) {
            machine.writer_until = Timestamp::EPOCH;
            return Work::Commit;
        }
        if machine.stopping {
            machine.writer_until = Timestamp::EPOCH;
            return if machine.node.is_settled() { Work::Stop } else { Work::Commit };
        }
        let pause = upkeep.pause();
        if pause.is_zero() {
            machine.writer_until = Timestamp::EPOCH;
            return Work::Maintain;
        }
        let sleep = due.map_or(pause, |due| due.since(now).min(pause));
        machine.writer_until = now + sleep;
        shared.writer_wake.wait_for(&mut machine, sleep);
    }
}

/// Commits what waits. Returns how many rows that was.
fn commit(driver: &Driver, writer: &mut dyn Writer) -> Result<usize, StoreError> {
    let shared = &driver.0;
    let mut effects = Effects::default();
    let group = {
        let mut machine = shared.machine.lock();
        let now = shared.clock.now();
        let Some(begun) = machine.node.begin(now) else { return Ok(0) };
        if begun.keys.is_empty() {
            machine.node.build(now, &[], &mut effects)
        } else {
            drop(machine);
            let known = look_up(driver, &begun.keys)?;
            shared.machine.lock().node.build(shared.clock.now(), &known, &mut effects)
        }
    };
    driver.carry_out(std::mem::take(&mut effects));
    commit_until_durable(driver, writer, &group)?;
    let mut machine = shared.machine.lock();
    let now = shared.clock.now();
    machine.node.committed(now, &mut effects);
    driver.wake_teller(&machine, &group);
    driver.wake_loops(&mut machine, now);
    drop(machine);
    driver.carry_out(effects);
    shared.waiters.tell(&group.accepted);
    Ok(group.accepted.len() + group.updates.len())
}

fn look_up(driver: &Driver, keys: &[KeyHash]) -> Result<Vec<Option<Known>>, StoreError> {
    let known = |hit: KeyHit| Known {
        id: hit.id,
        deliveries: hit.deliveries,
        idempotency: hit.idempotency,
        own_id: hit.own_id,
    };
    let mut tries = 0;
    loop {
        match driver.0.store.find_keys(keys) {
            Ok(hits) => {
                if tries > 0 {
                    driver.0.health.failing.store(false, Ordering::Relaxed);
                }
                return Ok(hits.into_iter().map(|hit| hit.map(known)).collect());
            }
            Err(error) if tries < REOPEN_TRIES => {
                tracing::warn!(%error, "keys could not be looked up; trying again");
                driver.0.health.failing.store(true, Ordering::Relaxed);
                tries += 1;
                std::thread::sleep(RETRY_EVERY);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Commits one group however often it takes. It is the same group each time, so that nothing in memory has to be undone.
fn commit_until_durable(
    driver: &Driver,
    writer: &mut dyn Writer,
    group: &Arc<Group>,
) -> Result<(), StoreError> {
    let health = &driver.0.health;
    let mut tries = 0;
    loop {
        let error = match writer.commit(group) {
            Ok(()) => {
                if tries > 0 {
                    tracing::info!("the store writes again");
                }
                health.failing.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => error,
        };
        if !matches!(error, StoreError::Full(_) | StoreError::Busy(_) | StoreError::Unknown(_)) {
            return Err(error);
        }
        if tries == 0 {
            tracing::error!(%error, "a commit failed; publications are refused until one succeeds");
        }
        tries += 1;
        health.failing.store(true, Ordering::Relaxed);
        refuse_all(driver);
        if stopping(driver) && tries > REOPEN_TRIES {
            return Err(error);
        }
        std::thread::sleep(RETRY_EVERY);
        if matches!(error, StoreError::Unknown(_)) && settle(writer, (group.writer, group.number))? {
            health.failing.store(false, Ordering::Relaxed);
            return Ok(());
        }
    }
}

fn stopping(driver: &Driver) -> bool {
    driver.0.machine.lock().stopping
}

/// Tells everybody who waits that the store cannot write now.
fn refuse_all(driver: &Driver) {
    let mut effects = Effects::default();
    driver.0.machine.lock().node.commit_failing(&mut effects);
    driver.carry_out(effects);
}

/// Finds out whether the commit with this marker is in the database, on a new handle.
fn settle(writer: &mut dyn Writer, marker: (u64, u64)) -> Result<bool, StoreError> {
    let mut tries = 0;
    loop {
        match writer.reopen(marker.0, marker.1) {
            Ok(found) => return Ok(found),
            Err(error @ (StoreError::Unusable(_) | StoreError::InUse(_))) => return Err(error),
            Err(error) if tries >= REOPEN_TRIES => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the database could not be opened again; trying on");
                tries += 1;
                std::thread::sleep(RETRY_EVERY);
            }
        }
    }
}

struct Upkeep {
    maintained: Instant,
    disk: Instant,
    more: bool,
}

impl Upkeep {
    /// How long until background work is looked for again.
    fn pause(&self) -> Duration {
        if self.more { Duration::ZERO } else { MAINTENANCE_EVERY.saturating_sub(self.maintained.elapsed()) }
    }

    fn maintain(
        &mut self,
        driver: &Driver,
        writer: &mut dyn Writer,
        config: &WriterConfig,
    ) -> Result<(), StoreError> {
        if !self.more && self.maintained.elapsed() < MAINTENANCE_EVERY {
            return Ok(());
        }
        self.maintained = Instant::now();
        let how = Maintenance {
            now: driver.0.clock.now(),
            retention: config.retention,
            budget: MAINTENANCE_BUDGET,
        };
        match writer.maintain(how) {
            Ok(more) => self.more = more,
            Err(error @ StoreError::Unknown(_)) => {
                tracing::error!(%error, "background work of the store was cut off; opening the database again");
                // No group is in doubt: there is no marker to look for.
                settle(writer, (0, 0))?;
            }
            Err(error @ (StoreError::Full(_) | StoreError::Busy(_) | StoreError::Slow)) => {
                tracing::warn!(%error, "background work of the store has to wait");
                self.more = false;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn disk_room(&mut self, driver: &Driver, config: &WriterConfig) {
        let Some(directory) = &config.directory else { return };
        if self.disk.elapsed() < DISK_EVERY {
            return;
        }
        self.disk = Instant::now();
        let Ok(stat) = rustix::fs::statvfs(directory) else { return };
        let low = stat.f_bavail.saturating_mul(stat.f_frsize) < config.disk_reserve;
        if driver.0.health.disk_low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!(
                    reserve = config.disk_reserve,
                    "the disk is nearly full; publications are refused"
                );
            } else {
                tracing::info!("the disk has room again");
            }
        }
    }
}
