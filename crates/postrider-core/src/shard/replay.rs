//! Replays: jobs that let deliveries which have ended go again, in their order and below live traffic.
//!
//! A job reads a little ahead of what it covers. It lets that go at its own pace, and only as long as few of the endpoint's
//! replayed deliveries wait for their turn: so what is accepted meanwhile finds a free place and a short queue. What goes,
//! and how far the job has come with it, are in one group; so each goes once, whatever crashes. A delivery that may have
//! changed since it was read is read again, and passed over if somebody else has taken it up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::slot::{Entry, Slot, lane_of};
use super::{Shard, UNVERIFIED};
use crate::id::{EndpointNo, Position, TenantNo};
use crate::mutation::{self, Mutation};
use crate::node::common::Common;
use crate::node::outbox::Case;
use crate::node::{PageRead, ReplayAsk, What};
use crate::operational::{Kind, ReplayNotice};
use crate::pace::Pace;
use crate::record::{Disposition, Edit, Ended, Place, Progress, Reason, Trigger, Update};
use crate::replay::{Replay, ReplayProgress, ReplayState};
use crate::time::Timestamp;

/// Jobs of one endpoint that may run at once.
const JOBS_ENDPOINT: usize = 4;
/// Jobs of one tenant that may run at once.
const JOBS_TENANT: usize = 16;
/// The share (as a divisor) of an endpoint's places that its replays may take up, waiting or under way; at least one.
const PLACES_SHARE: u32 = 4;
/// Replayed deliveries of an endpoint that may wait behind keys of theirs that are held back, and so take up no place.
const PARKED: usize = 1_024;
/// Deliveries that a job reads ahead, at most: more than it lets go in half a second are out of date when their turn comes.
const READ_AHEAD: u32 = 64;

/// The answer where a job that is to end does not run.
pub const NOT_RUNNING: &str = "the replay does not run";

/// The replays of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    /// Those that run; the one whose turn it is first.
    jobs: Vec<Job>,
    /// Let go, and not attempted since.
    outstanding: BTreeSet<Position>,
    /// Let go, and waiting behind a key that is held back.
    parked: BTreeSet<Position>,
    /// A job waits for a group to let something go.
    pub(crate) queued: bool,
}

/// A job that runs.
#[derive(Debug)]
struct Job {
    replay: Arc<Replay>,
    progress: ReplayProgress,
    /// What was read and not dealt with, each with the last position that was committed then.
    read: VecDeque<(Ended, Position)>,
    /// Everything up to here was read.
    scanned: Position,
    /// Nothing is left to read.
    complete: bool,
    loading: bool,
    /// It reads on after a group behind this position: what it read last was changing.
    reread_after: Position,
    pace: Pace,
}

impl Job {
    fn new(replay: Arc<Replay>, progress: ReplayProgress, now: Timestamp) -> Self {
        Self {
            pace: Pace::new(replay.per_second, now),
            scanned: progress.cursor,
            complete: progress.cursor >= replay.span.through,
            replay,
            progress,
            read: VecDeque::new(),
            loading: false,
            reread_after: Position::ZERO,
        }
    }

    fn read_ahead(&self) -> usize {
        (self.replay.per_second / 2).clamp(1, READ_AHEAD) as usize
    }

    /// Forgets what was read and not dealt with: it is read again.
    fn rewind(&mut self, common: &mut Common) {
        for (ended, _) in self.read.drain(..) {
            common.let_go_event(&ended.event);
        }
        self.scanned = self.progress.cursor;
        self.complete = self.scanned >= self.replay.span.through;
    }

    fn is_through(&self) -> bool {
        self.complete && self.read.is_empty()
    }
}

impl Replays {
    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.jobs.len()
    }

    /// Forgets what jobs have read and not dealt with.
    pub(crate) fn forget_read(&mut self, common: &mut Common) {
        self.jobs.iter_mut().for_each(|job| job.rewind(common));
    }

    /// A delivery was attempted, or has ended: it is in nobody's way any more.
    pub(crate) fn tried(&mut self, delivery: Position) {
        if !self.outstanding.remove(&delivery) {
            self.parked.remove(&delivery);
        }
    }

    /// A delivery waits behind a key that is held back: it takes up no place until that is over.
    pub(crate) fn park(&mut self, delivery: Position) {
        if self.outstanding.remove(&delivery) {
            self.parked.insert(delivery);
        }
    }
}

impl Slot {
    /// Whether something may be let go now, at whatever pace.
    fn has_place_for_replays(&self, common: &Common) -> bool {
        let places = self.concurrency.limit(self.policy.max_in_flight) / PLACES_SHARE;
        self.running()
            && self.replays.outstanding.len() < places.max(1) as usize
            && self.replays.parked.len() < PARKED
            && self.pending.get() < common.config.backlog_max
    }

    /// Asks for what jobs let go next.
    pub(crate) fn want_replays(&mut self, common: &mut Common) {
        if self.replays.jobs.is_empty() || !self.has_place_for_replays(common) {
            return;
        }
        let mut wanted = Vec::new();
        for job in &mut self.replays.jobs {
            let enough = job.complete || job.read.len() * 2 > job.read_ahead();
            if !job.loading && !enough && job.reread_after <= common.committed {
                job.loading = true;
                wanted.push((What::Replay(Arc::clone(&job.replay), job.scanned), job.read_ahead()));
            }
        }
        for (what, entries) in wanted {
            self.want(what, entries, common);
        }
    }

    /// When a job can go on, if it needs nothing but time and a group for that.
    pub(crate) fn next_release(&self, common: &Common) -> Option<Timestamp> {
        let place = !self.replays.jobs.is_empty() && self.has_place_for_replays(common);
        let jobs = self.replays.jobs.iter();
        jobs.filter_map(|job| {
            if job.is_through() {
                return Some(Timestamp::EPOCH);
            }
            (place && !job.read.is_empty()).then(|| job.pace.ready_at())
        })
        .min()
    }

    /// What a job asked for was read.
    pub(super) fn replay_page(&mut self, page: PageRead, common: &mut Common) {
        let What::Replay(replay, asked) = &page.load.what else { return };
        let running = self.running();
        let Some(job) = self.replays.jobs.iter_mut().find(|job| Arc::ptr_eq(&job.replay, replay)) else {
            return;
        };
        job.loading = false;
        if job.scanned != *asked || !running {
            // It was rewound meanwhile, or cannot use it now.
            return;
        }
        for ended in page.ended {
            common.hold_event(&ended.event);
            job.read.push_back((ended, page.watermark));
        }
        job.scanned = page.upto;
        job.complete = page.complete;
        if job.read.is_empty() {
            job.progress.cursor = job.scanned;
        }
    }

    /// What a job asked for could not be read.
    pub(super) fn replay_page_failed(&mut self, replay: &Arc<Replay>) {
        for job in self.replays.jobs.iter_mut().filter(|job| Arc::ptr_eq(&job.replay, replay)) {
            job.loading = false;
        }
    }

    /// Goes on with jobs as they were when the process ended.
    pub(super) fn restore_replays(&mut self, replays: Vec<(Arc<Replay>, ReplayProgress)>, now: Timestamp) {
        self.replays
            .jobs
            .extend(replays.into_iter().map(|(replay, progress)| Job::new(replay, progress, now)));
    }

    /// Ends all jobs: the endpoint is given up, or gone.
    pub(super) fn fail_replays(&mut self, reason: Reason, now: Timestamp, common: &mut Common) {
        for job in std::mem::take(&mut self.replays.jobs) {
            end(job, ReplayState::Failed(reason), now, common);
        }
    }

    /// Lets what is due go, one of each job in turn. `next` is the rank of the first of them, `room` how many the group may
    /// still take.
    fn let_go_replayed(
        &mut self,
        next: &mut Position,
        room: &mut usize,
        now: Timestamp,
        common: &mut Common,
    ) {
        let mut jobs = std::mem::take(&mut self.replays.jobs);
        let before: Vec<ReplayProgress> = jobs.iter().map(|job| job.progress).collect();
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for job in &mut jobs {
                goes_on |= self.deal_with_one(job, next, room, now, common);
            }
        }
        for (mut job, before) in jobs.into_iter().zip(before) {
            if job.is_through() {
                end(job, ReplayState::Done, now, common);
                continue;
            }
            if job.progress != before {
                job.progress.updated_at = now;
                write(&job, now, common);
            }
            self.replays.jobs.push(job);
        }
        if !self.replays.jobs.is_empty() {
            self.replays.jobs.rotate_left(1);
        }
    }

    /// Lets the next delivery of a job go, or passes it over. Says whether there was one that could be dealt with.
    fn deal_with_one(
        &mut self,
        job: &mut Job,
        next: &mut Position,
        room: &mut usize,
        now: Timestamp,
        common: &mut Common,
    ) -> bool {
        if *room == 0 || job.pace.ready_at() > now || !self.has_place_for_replays(common) {
            return false;
        }
        let Some((ended, as_of)) = job.read.front() else { return false };
        let position = ended.delivery.position;
        if common.stale(position, *as_of) && !mutation::has(Mutation::StaleReplayTaken) {
            if common.settling.contains_key(&position) {
                job.reread_after = common.committed.plus(1);
            }
            job.rewind(common);
            return false;
        }
        let Some((ended, _)) = job.read.pop_front() else { return false };
        common.let_go_event(&ended.event);
        job.progress.cursor = if job.read.is_empty() { job.scanned } else { position };
        if ended.event.has_expired(now) {
            job.progress.expired += 1;
            return true;
        }
        job.progress.done += 1;
        job.pace.went(now);
        self.replay(ended, *next, now, common);
        *next = next.plus(1);
        *room -= 1;
        true
    }

    /// Begins a new run of a delivery, at this rank.
    fn replay(&mut self, ended: Ended, rank: Position, now: Timestamp, common: &mut Common) {
        let Ended { delivery, run, attempts, event } = ended;
        let progress = Progress {
            run: run.saturating_add(1),
            attempts,
            trigger: Trigger::Replay,
            ..Progress::default()
        };
        let place = Place::Due(rank);
        self.pending.begin(common.building);
        self.settling += 1;
        self.replays.outstanding.insert(delivery.position);
        common.push_update(Update {
            delivery,
            from: None,
            to: Disposition::Pending(place),
            progress,
            attempt: None,
            at: now,
        });
        // Its lane is that of the moment at which it arrives.
        common.arrivals.push(Entry { delivery, event, place, progress, lane: None, gone: false });
    }
}

impl Shard {
    /// Begins or ends a job.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn ask_for_replay(
        &mut self,
        ask: ReplayAsk,
        now: Timestamp,
        common: &mut Common,
    ) -> Result<(), &'static str> {
        match ask {
            ReplayAsk::Start(replay) => self.start_replay(replay, now, common),
            ReplayAsk::Cancel { endpoint, id, .. } => {
                let jobs = self.slots.get_mut(&endpoint).map(|slot| &mut slot.replays.jobs);
                let found = jobs.and_then(|jobs| {
                    let at = jobs.iter().position(|job| job.replay.id == id)?;
                    Some(jobs.remove(at))
                });
                end(found.ok_or(NOT_RUNNING)?, ReplayState::Cancelled, now, common);
                Ok(())
            }
        }
    }

    fn start_replay(
        &mut self,
        replay: Arc<Replay>,
        now: Timestamp,
        common: &mut Common,
    ) -> Result<(), &'static str> {
        let of_tenant = self.replays_of(replay.tenant);
        let slot = self
            .slots
            .get_mut(&replay.endpoint)
            .filter(|slot| !slot.deleted)
            .ok_or("the endpoint does not exist any more")?;
        if slot.disabled.is_some() {
            return Err("the endpoint is disabled: test it successfully first");
        }
        if !slot.policy.verified {
            return Err(UNVERIFIED);
        }
        if slot.replays.running() >= JOBS_ENDPOINT {
            return Err("four replays of this endpoint run: wait for one to end, or cancel one");
        }
        if of_tenant >= JOBS_TENANT {
            return Err("sixteen replays of this tenant run: wait for one to end, or cancel one");
        }
        let progress = ReplayProgress::begun(replay.span, now);
        let job = Job::new(replay, progress, now);
        if job.replay.span.matched == 0 {
            end(job, ReplayState::Done, now, common);
        } else {
            write(&job, now, common);
            slot.replays.jobs.push(job);
        }
        Ok(())
    }

    fn replays_of(&self, tenant: TenantNo) -> usize {
        self.slots.values().filter(|slot| slot.tenant == tenant).map(|slot| slot.replays.running()).sum()
    }

    /// Lets what is due of an endpoint's replays go; see the module.
    pub(crate) fn let_go_replayed(
        &mut self,
        endpoint: EndpointNo,
        next: &mut Position,
        room: &mut usize,
        now: Timestamp,
        common: &mut Common,
    ) {
        let Some(slot) = self.slots.get_mut(&endpoint) else { return };
        slot.replays.queued = false;
        slot.let_go_replayed(next, room, now, common);
    }

    /// A delivery that a job let go is durable: it goes behind what is due, in its lane.
    pub(crate) fn arrive_replayed(
        &mut self,
        mut entry: Entry,
        last: Position,
        now: Timestamp,
        common: &mut Common,
    ) {
        let Some(slot) = self.slots.get_mut(&entry.delivery.endpoint) else { return };
        entry.lane = lane_of(&entry.event, slot.ordered);
        slot.arrive(entry, None, last, now, common);
    }
}

/// Ends a job.
fn end(mut job: Job, state: ReplayState, now: Timestamp, common: &mut Common) {
    job.rewind(common);
    let progress = &mut job.progress;
    if state == ReplayState::Done {
        progress.cursor = job.replay.span.through;
        progress.skipped = job.replay.span.matched.saturating_sub(progress.done + progress.expired);
    }
    progress.state = state;
    progress.updated_at = now;
    write(&job, now, common);
    tell(&job, now, common);
}

/// Tells the operator how a job ended.
fn tell(job: &Job, now: Timestamp, common: &mut Common) {
    let (replay, progress) = (&job.replay, &job.progress);
    let notice = ReplayNotice {
        id: replay.id.clone(),
        state: progress.state.as_str().into(),
        matched: replay.span.matched,
        done: progress.done,
        skipped: progress.skipped,
        expired: progress.expired,
    };
    let reason = progress.state.reason().map_or(progress.state.as_str(), Reason::as_str);
    let case = Case { reason, delivery: None, replay: Some(notice) };
    common.happened(Kind::ReplayFinished, (replay.tenant, replay.endpoint), case, now);
}

/// Has it written down how far a job has come.
fn write(job: &Job, now: Timestamp, common: &mut Common) {
    common.first_update_at.get_or_insert(now);
    common.edits.push(Edit::PutReplay { replay: Arc::clone(&job.replay), progress: job.progress });
}
