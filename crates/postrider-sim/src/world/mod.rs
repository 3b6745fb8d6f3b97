//! Everything around a node: time, the model of the store, receivers, and whoever publishes and edits. After every step it
//! looks whether what the node promised still holds.

mod answer;
mod asks;
mod attempts;
mod check;
mod commits;
mod fairness;
mod tell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::{Attempt, Input, Load, Node, NodeConfig, PageRead, Reply, What};
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use postrider_core::record::{Group, KeyHash};
use postrider_core::replay::{ReplayFilter, Statuses};
use postrider_core::subscription::Pattern;
use postrider_core::tenant::Quotas;
use postrider_core::time::Timestamp;

pub use self::answer::{Answer, Mode, Receiver};
use self::fairness::Fairness;
use crate::guarantee::{Broken, Guarantee};
use crate::mutant::Mutant;
use crate::rng::Rng;
use crate::situation::{Situation, Situations};
use crate::store::Store;

/// When things happen that the node waits for.
enum Due {
    Finish(u64),
    Snapshot(Load),
    Page(Box<PageRead>),
    PageFails(Load),
    Notices,
    Build(Vec<KeyHash>),
    Write(Arc<Group>),
    Committed,
}

/// How store and network behave.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Longest time until a page is read, and again until it arrives.
    pub read_us: u64,
    /// Longest time of a commit.
    pub commit_us: u64,
    /// Pages that cannot be read, in thousandths.
    pub read_fails: u64,
    /// Commits that do not succeed, in thousandths.
    pub commit_fails: u64,
    /// The share of those whose result is unknown, in thousandths: half of them are there.
    pub commit_unknown: u64,
    /// All attempts end with a fault of ours.
    pub network_down: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            read_us: 500,
            commit_us: 1_000,
            read_fails: 0,
            commit_fails: 0,
            commit_unknown: 0,
            network_down: false,
        }
    }
}

/// An attempt under way.
pub struct InFlight {
    /// What was to be sent.
    pub attempt: Attempt,
    /// What the receiver will answer.
    pub answer: Answer,
    /// When it began.
    pub started: Timestamp,
}

/// What the process that runs now knows of a delivery.
#[derive(Default, Clone)]
struct Known {
    attempts: u32,
    succeeded_run: Option<u16>,
}

/// How long a head has blocked its key while its endpoint could be attempted.
#[derive(Default, Clone, Copy)]
struct Held {
    /// At least.
    surely: Duration,
    /// At most.
    perhaps: Duration,
}

/// See the module.
pub struct World {
    /// The clock that the node is told.
    pub now: Timestamp,
    /// The node that runs now.
    pub node: Node<u64>,
    /// Its bounds.
    pub config: NodeConfig,
    /// What is durable.
    pub store: Store,
    /// All chance comes from here.
    pub rng: Rng,
    /// How store and network behave.
    pub habits: Habits,
    /// How receivers behave.
    pub receivers: BTreeMap<EndpointNo, Receiver>,
    /// Policies in force: of the last group that was built.
    pub policies: BTreeMap<EndpointNo, Policy>,
    /// What calls were answered.
    pub replies: BTreeMap<u64, Reply>,
    /// Attempts under way.
    pub flying: BTreeMap<u64, InFlight>,
    /// Every start: when, whom, which, what for.
    pub starts: Vec<(Timestamp, Attempt)>,
    /// Calls that are not answered yet.
    pub open: BTreeSet<u64>,
    /// The most that was in memory.
    pub most_memory: usize,
    /// Pages that were asked for.
    pub loads: usize,
    /// Groups in the order in which they were built.
    pub groups: Vec<Arc<Group>>,
    /// How much later than its bound a key may be let go: attempts of its head under way.
    pub hold_slack: Duration,
    /// What the run came through.
    pub situations: Situations,
    /// What went into the node so far.
    pub inputs: u64,
    /// Crashes so far.
    pub crashes: u64,
    /// Time that passed, whatever the clock did.
    pub elapsed: Duration,
    /// The bug that is planted, if one is.
    pub mutant: Option<Mutant>,
    trace: Trace,
    agenda: BTreeMap<(Timestamp, u64), Due>,
    serial: u64,
    committing: bool,
    writing: Option<Arc<Group>>,
    /// Since which group a policy asks for order without a break.
    ordered_since: BTreeMap<EndpointNo, Position>,
    /// Starts of the last second, where they are limited.
    paced: BTreeMap<EndpointNo, VecDeque<Timestamp>>,
    known: BTreeMap<Position, Known>,
    /// Which deliveries are being attempted.
    airborne: BTreeSet<Position>,
    crashed_calls: BTreeSet<u64>,
    idle_turns: u32,
    /// How long heads have blocked their keys while their endpoint could be attempted.
    holding: BTreeMap<Position, Held>,
    /// Whom operational events are published for, and those whose publication is not answered.
    operator: Option<TenantNo>,
    telling: Option<(u64, Vec<(Timestamp, Position)>)>,
    /// Until when receivers asked not to be called.
    retry_after: BTreeMap<EndpointNo, Timestamp>,
    /// The same, as strictly as a node must heed it: not beyond a restart or a success.
    wishes: BTreeMap<EndpointNo, Timestamp>,
    /// Failed attempts since the last success, and the most that there were since the last group was built.
    failures: BTreeMap<EndpointNo, (u32, u32)>,
    /// Steps of the longest schedule that an endpoint ever had.
    longest: BTreeMap<EndpointNo, usize>,
    commit_begun: Timestamp,
    longest_commit: Duration,
    quotas: BTreeMap<TenantNo, Quotas>,
    fairness: Fairness,
}

/// What happened, for people: kept only where somebody will read it.
struct Trace {
    mode: TraceMode,
    lines: VecDeque<String>,
    hash: Fnv,
}

/// What becomes of the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceMode {
    /// Nothing: it costs more than all the rest.
    Off,
    /// The last lines are kept, and all are hashed.
    Kept,
    /// As [`Self::Kept`], and printed when something breaks: for tests.
    Told,
    /// Every line is printed.
    Printed,
}

/// FNV-1a, 64 bits: the same on every machine.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

/// Milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The tenant that most happens to.
pub const TENANT: TenantNo = TenantNo(1);

/// What an endpoint wants that says nothing else.
pub fn policy() -> Policy {
    Policy {
        version: 1,
        patterns: vec![Pattern::All],
        filters: None,
        enabled: true,
        verified: true,
        pause_skips: false,
        ordered: false,
        hold_max: secs(3_600),
        per_second: None,
        max_in_flight: 16,
        schedule: [5, 300, 1_800].map(secs).into(),
        gone_disables: true,
        disable_after: None,
        target: 1,
    }
}

/// A type of event that no tenant may have any more.
pub const WITHDRAWN: &str = "card.withdrawn";

/// Whether deliveries are wanted, and may be made.
pub const fn runs(policy: &Policy) -> bool {
    policy.enabled && policy.verified
}

/// An event of [`TENANT`].
pub fn event(key: Option<&str>) -> Publication {
    Publication {
        tenant: TENANT,
        entitled: true,
        event_type: "card.used".into(),
        own_id: None,
        key: key.map(Into::into),
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        occurred_at: None,
        data: Bytes::from_static(b"{}"),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    }
}

/// Everything that did not arrive.
pub fn missed() -> ReplayFilter {
    ReplayFilter {
        since: None,
        until: None,
        sequence_from: Some(1),
        sequence_to: None,
        statuses: Statuses::MISSED,
        types: Vec::new(),
    }
}

/// When every run begins.
const BEGINNING: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Lines of the trace that are kept.
const TRACE: usize = 400;
/// Lines of the trace that are told when something breaks.
const TOLD: usize = 60;
/// After so long an attempt does not end by itself.
const FOREVER: Duration = secs(1_000_000);
/// With no more steps than this time stands still.
const IDLE_TURNS: u32 = 200;

impl World {
    /// An empty world. For tests: what breaks is told with its trace.
    pub fn new(seed: u64, config: NodeConfig) -> Self {
        Self::traced(seed, config, TraceMode::Told)
    }

    /// An empty world.
    pub fn traced(seed: u64, config: NodeConfig, trace: TraceMode) -> Self {
        let now = BEGINNING;
        let config = NodeConfig { seed, writer: 1, ..config };
        Self {
            now,
            node: Node::new(config.clone(), Position::ZERO, now),
            config,
            store: Store::default(),
            rng: Rng::new(seed),
            habits: Habits::default(),
            receivers: BTreeMap::new(),
            policies: BTreeMap::new(),
            replies: BTreeMap::new(),
            flying: BTreeMap::new(),
            starts: Vec::new(),
            open: BTreeSet::new(),
            most_memory: 0,
            loads: 0,
            groups: Vec::new(),
            hold_slack: secs(120),
            situations: Situations::default(),
            inputs: 0,
            crashes: 0,
            elapsed: Duration::ZERO,
            mutant: None,
            trace: Trace { mode: trace, lines: VecDeque::new(), hash: Fnv(0xCBF2_9CE4_8422_2325) },
            agenda: BTreeMap::new(),
            serial: 0,
            committing: false,
            writing: None,
            ordered_since: BTreeMap::new(),
            paced: BTreeMap::new(),
            known: BTreeMap::new(),
            airborne: BTreeSet::new(),
            crashed_calls: BTreeSet::new(),
            idle_turns: 0,
            holding: BTreeMap::new(),
            operator: None,
            telling: None,
            retry_after: BTreeMap::new(),
            wishes: BTreeMap::new(),
            failures: BTreeMap::new(),
            longest: BTreeMap::new(),
            commit_begun: now,
            longest_commit: Duration::ZERO,
            quotas: BTreeMap::new(),
            fairness: Fairness::default(),
        }
    }

    /// From now on operational events are published for this tenant.
    pub fn tell(&mut self, operator: TenantNo) {
        self.operator = Some(operator);
        self.node.set_operator(operator);
        self.at(ms(1), Due::Notices);
    }

    /// Whether operational events are published.
    pub const fn tells(&self) -> bool {
        self.operator.is_some()
    }

    /// A line of the trace.
    #[allow(clippy::print_stderr, reason = "asked for")]
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if self.trace.mode == TraceMode::Off {
            return;
        }
        let line = format!("{} {}", self.clock(), text());
        if self.trace.mode == TraceMode::Printed {
            eprintln!("{line}");
        }
        self.trace.hash.write(line.as_bytes());
        if self.trace.lines.len() == TRACE {
            self.trace.lines.pop_front();
        }
        self.trace.lines.push_back(line);
    }

    /// A hash of all that was noted.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash.finish()
    }

    fn clock(&self) -> String {
        let micros = self.now.as_micros() - BEGINNING.as_micros();
        format!("{:>8}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
    }

    /// Ends the run: a guarantee does not hold. The [`Broken`] is what unwinds.
    #[allow(clippy::print_stderr, reason = "what a test is told when it fails")]
    pub fn fail(&self, guarantee: Guarantee, why: &str) -> ! {
        let lines = &self.trace.lines;
        let trace = lines.iter().skip(lines.len().saturating_sub(TOLD)).cloned().collect();
        let broken = Broken { guarantee, why: format!("at {}: {why}", self.clock().trim_start()), trace };
        if self.trace.mode == TraceMode::Told {
            eprintln!("{broken}");
        }
        std::panic::resume_unwind(Box::new(broken))
    }

    /// The run came through this.
    pub const fn saw(&mut self, situation: Situation) {
        self.situations.saw(situation);
    }

    /// Whether a crash kept this call from being answered.
    pub fn crashed(&self, call: u64) -> bool {
        self.crashed_calls.contains(&call)
    }

    /// Whether this bug is planted.
    pub(crate) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn at(&mut self, after: Duration, due: Due) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), due);
    }

    fn soon(&mut self, us: u64) -> Duration {
        Duration::from_micros(1 + self.rng.below(us.max(1)))
    }

    // Time.

    /// What happens next, if it does before `until`; else that time comes, and the answer is `false`.
    pub fn advance_until(&mut self, until: Timestamp) -> bool {
        let commit = if self.committing { None } else { self.node.commit_due(self.now) };
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let wake = if self.has(Mutant::NeverWoken) { Timestamp::FAR_FUTURE } else { self.node.next_wake() };
        let at = [next, Some(wake), commit].into_iter().flatten().min().unwrap_or(Timestamp::FAR_FUTURE);
        if at > until || at == Timestamp::FAR_FUTURE {
            self.pass(until);
            return false;
        }
        self.pass(at);
        if next == Some(at)
            && let Some((_, due)) = self.agenda.pop_first()
        {
            self.idle_turns = 0;
            self.happen(due);
        } else if wake <= at {
            self.idle_turns += 1;
            if self.idle_turns > IDLE_TURNS {
                self.fail(Guarantee::Alive, "it wants to be woken again and again");
            }
            self.input(Input::Tick);
        } else {
            self.begin();
        }
        true
    }

    fn pass(&mut self, at: Timestamp) {
        if at == Timestamp::FAR_FUTURE || at <= self.now {
            return;
        }
        let passed = at.since(self.now);
        if passed > ms(1_500) {
            self.check_stall(at);
        }
        self.check_holds(passed);
        self.check_fairness();
        self.now = at;
        self.elapsed += passed;
        self.idle_turns = 0;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Finish(id) => self.finish(id),
            Due::Snapshot(load) => self.snapshot(load),
            Due::Page(page) => self.page(page),
            Due::PageFails(load) => {
                self.saw(Situation::PageFailed);
                self.fairness.page_failed(self.now);
                self.note(|| format!("  no page {:?} {:?}", load.endpoint, load.what));
                self.input(Input::PageFailed(load));
            }
            Due::Notices => self.publish_notices(),
            Due::Build(keys) => self.build(&keys),
            Due::Write(group) => self.write(group),
            Due::Committed => self.committed(),
        }
    }

    fn snapshot(&mut self, load: Load) {
        let after = self.soon(self.habits.read_us);
        if self.rng.chance(self.habits.read_fails) {
            self.at(after, Due::PageFails(load));
        } else {
            let mut page = self.store.read(load);
            if let Some(mutant) = self.mutant {
                mutant.spoil_page(&mut page);
            }
            self.at(after, Due::Page(Box::new(page)));
        }
    }

    fn page(&mut self, mut page: Box<PageRead>) {
        page.next = self.store.next_retry(&page).filter(|_| !self.has(Mutant::NextRetryForgotten));
        if self.has(Mutant::PageOfBefore) {
            page.watermark = self.store.committed;
        }
        if matches!(page.load.what, What::Due(_)) {
            self.saw(Situation::WindowSpilled);
        }
        self.note(|| {
            format!(
                "  page {:?} {:?} {:?} rows {:?} complete={} upto {:?} next {:?}",
                page.load.endpoint,
                page.load.what,
                page.entries.iter().map(|l| l.delivery.position.0).collect::<Vec<_>>(),
                page.rows.iter().map(|l| l.delivery.position.0).collect::<Vec<_>>(),
                page.complete,
                page.watermark,
                page.next
            )
        });
        self.input(Input::Page(page));
    }
}
