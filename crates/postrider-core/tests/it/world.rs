//! Everything around a node: time, the model of the store, receivers, and whoever publishes and edits. After every step it
//! looks whether what the node promised still holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::{
    Attempt, Change, Directive, Effects, Finished, Input, Load, Node, NodeConfig, PageRead, ReplayAsk, Reply,
    State, Wanted, What,
};
use postrider_core::operational::Notice;
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use postrider_core::record::{AttemptRecord, Edit, ErrorKind, Group, KeyHash, Place, TestRecord, Trigger};
use postrider_core::replay::{Replay, ReplayFilter, ReplayState, Statuses};
use postrider_core::subscription::Pattern;
use postrider_core::tenant::Quotas;
use postrider_core::time::Timestamp;

use crate::rng::Rng;
use crate::store::{Row, Store};

/// What a receiver answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) after: Duration,
    pub(crate) error: Option<ErrorKind>,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) directive: Option<Directive>,
}

impl Answer {
    pub(crate) fn ok() -> Self {
        Self { after: ms(5), error: None, status: Some(200), retry_after: None, directive: None }
    }

    pub(crate) fn status(code: u16) -> Self {
        Self { error: Some(ErrorKind::Status), status: Some(code), ..Self::ok() }
    }

    pub(crate) fn error(kind: ErrorKind) -> Self {
        Self { error: Some(kind), status: None, ..Self::ok() }
    }

    pub(crate) fn timeout() -> Self {
        Self { after: secs(15), ..Self::error(ErrorKind::Timeout) }
    }

    pub(crate) fn local() -> Self {
        Self::error(ErrorKind::Local)
    }

    pub(crate) fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

/// How a receiver behaves: what comes first, then this.
pub(crate) struct Receiver {
    pub(crate) script: VecDeque<Answer>,
    pub(crate) mode: Mode,
}

#[derive(Clone, Debug)]
pub(crate) enum Mode {
    Always(Answer),
    /// Fails so often, in thousandths.
    Flaky(u64),
    /// Fails every delivery with this key, takes all others.
    Poison(Box<str>),
    /// Never answers: the attempt stays under way.
    Hang,
    /// Anything, now and then.
    Odd,
}

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
#[derive(Clone)]
pub(crate) struct Habits {
    /// Longest time until a page is read, and again until it arrives.
    pub(crate) read_us: u64,
    pub(crate) commit_us: u64,
    pub(crate) read_fails: u64,
    pub(crate) commit_fails: u64,
    /// All attempts end with a fault of ours.
    pub(crate) network_down: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { read_us: 500, commit_us: 1_000, read_fails: 0, commit_fails: 0, network_down: false }
    }
}

pub(crate) struct InFlight {
    pub(crate) attempt: Attempt,
    pub(crate) answer: Answer,
    pub(crate) started: Timestamp,
}

/// What the process that runs now knows of a delivery.
#[derive(Default, Clone)]
struct Known {
    attempts: u32,
    succeeded_run: Option<u16>,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) node: Node<u64>,
    pub(crate) config: NodeConfig,
    pub(crate) store: Store,
    pub(crate) rng: Rng,
    pub(crate) habits: Habits,
    pub(crate) receivers: BTreeMap<EndpointNo, Receiver>,
    /// Policies in force: of the last group that was built.
    pub(crate) policies: BTreeMap<EndpointNo, Policy>,
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) flying: BTreeMap<u64, InFlight>,
    /// Every start: when, whom, which, what for.
    pub(crate) starts: Vec<(Timestamp, Attempt)>,
    pub(crate) trace: VecDeque<String>,
    pub(crate) keep_trace: bool,
    agenda: BTreeMap<(Timestamp, u64), Due>,
    serial: u64,
    committing: bool,
    writing: Option<Arc<Group>>,
    /// Since which group a policy asks for order without a break.
    ordered_since: BTreeMap<EndpointNo, Position>,
    rate_since: BTreeMap<EndpointNo, usize>,
    known: BTreeMap<Position, Known>,
    /// Calls that are not answered yet.
    pub(crate) open: BTreeSet<u64>,
    crashed_calls: BTreeSet<u64>,
    idle_turns: u32,
    pub(crate) most_memory: usize,
    pub(crate) loads: usize,
    /// Groups in the order in which they were built.
    pub(crate) groups: Vec<Arc<Group>>,
    /// How long heads have blocked their keys while their endpoint could be attempted.
    holding: BTreeMap<Position, Duration>,
    pub(crate) hold_slack: Duration,
    /// Whom operational events are published for, and those whose publication is not answered.
    operator: Option<TenantNo>,
    telling: Option<(u64, Vec<(Timestamp, Position)>)>,
    /// Until when receivers asked not to be called.
    retry_after: BTreeMap<EndpointNo, Timestamp>,
    quotas: BTreeMap<TenantNo, Quotas>,
    crashed: bool,
}

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const TENANT: TenantNo = TenantNo(1);

pub(crate) fn policy() -> Policy {
    Policy {
        version: 1,
        patterns: vec![Pattern::All],
        filters: None,
        enabled: true,
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

pub(crate) fn event(key: Option<&str>) -> Publication {
    Publication {
        tenant: TENANT,
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
pub(crate) fn missed() -> ReplayFilter {
    ReplayFilter {
        since: None,
        until: None,
        sequence_from: Some(1),
        sequence_to: None,
        statuses: Statuses::MISSED,
        types: Vec::new(),
    }
}

const TRACE: usize = 400;
/// After so long an attempt does not end by itself.
const FOREVER: Duration = secs(1_000_000);

impl World {
    pub(crate) fn new(seed: u64, config: NodeConfig) -> Self {
        let now = Timestamp::from_secs(1_700_000_000);
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
            trace: VecDeque::new(),
            keep_trace: std::env::var_os("TRACE_ALL").is_some(),
            agenda: BTreeMap::new(),
            serial: 0,
            committing: false,
            writing: None,
            ordered_since: BTreeMap::new(),
            rate_since: BTreeMap::new(),
            known: BTreeMap::new(),
            open: BTreeSet::new(),
            crashed_calls: BTreeSet::new(),
            idle_turns: 0,
            most_memory: 0,
            loads: 0,
            groups: Vec::new(),
            holding: BTreeMap::new(),
            hold_slack: secs(120),
            operator: None,
            telling: None,
            retry_after: BTreeMap::new(),
            quotas: BTreeMap::new(),
            crashed: false,
        }
    }

    /// From now on operational events are published for this tenant.
    pub(crate) fn tell(&mut self, operator: TenantNo) {
        self.operator = Some(operator);
        self.node.set_operator(operator);
        self.at(ms(1), Due::Notices);
    }

    pub(crate) fn tells(&self) -> bool {
        self.operator.is_some()
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let line = format!("{:>14.6} {}", self.now.as_micros() as f64 / 1e6 - 1_700_000_000.0, text());
        if self.keep_trace {
            eprintln!("{line}");
        }
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        for line in self.trace.iter().rev().take(60).rev() {
            eprintln!("{line}");
        }
        panic!("at {:.6}: {why}", self.now.as_micros() as f64 / 1e6 - 1_700_000_000.0);
    }

    fn at(&mut self, after: Duration, due: Due) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), due);
    }

    fn soon(&mut self, us: u64) -> Duration {
        Duration::from_micros(1 + self.rng.below(us.max(1)))
    }

    // What others ask of the node.

    fn call(&mut self) -> u64 {
        self.serial += 1;
        self.open.insert(self.serial);
        self.serial
    }

    pub(crate) fn input(&mut self, input: Input<u64>) {
        let mut effects = Effects::default();
        self.node.handle(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    pub(crate) fn publish(&mut self, items: Vec<Publication>) -> u64 {
        let call = self.call();
        let keys: Vec<_> = items.iter().map(|i| i.key.clone()).collect();
        self.note(|| format!("publish {keys:?} ({call})"));
        self.input(Input::Publish(items, call));
        call
    }

    pub(crate) fn put(&mut self, no: u32, change: impl FnOnce(&mut Policy)) -> u64 {
        self.put_for(no, TENANT, change)
    }

    pub(crate) fn put_for(&mut self, no: u32, tenant: TenantNo, change: impl FnOnce(&mut Policy)) -> u64 {
        let no = EndpointNo(no);
        let newest = self.store.policies.range((no, 0)..=(no, u32::MAX)).next_back().map(|(_, p)| p.clone());
        let mut policy = newest.map_or_else(policy, |p| Policy { version: p.version + 1, ..p });
        change(&mut policy);
        self.note(|| {
            format!(
                "put {no:?} v{} enabled={} ordered={} rate={:?} target={} wide={}",
                policy.version,
                policy.enabled,
                policy.ordered,
                policy.per_second,
                policy.target,
                policy.max_in_flight
            )
        });
        self.store.policies.insert((no, policy.version), policy.clone());
        self.receivers
            .entry(no)
            .or_insert(Receiver { script: VecDeque::new(), mode: Mode::Always(Answer::ok()) });
        let edit = Edit::PutEndpoint {
            no,
            tenant,
            id: format!("ep{}", no.0).into(),
            version: policy.version,
            doc: Bytes::new(),
            secrets: Bytes::new(),
            at: Timestamp::EPOCH,
        };
        let call = self.call();
        self.input(Input::Edit(vec![Change { edit, policy: Some(policy) }], call));
        call
    }

    pub(crate) fn quotas(&mut self, tenant: TenantNo, quotas: Quotas) {
        self.note(|| format!("quotas of {tenant:?}: {quotas:?}"));
        self.quotas.insert(tenant, quotas);
        self.node.set_quotas(tenant, quotas, self.now);
    }

    pub(crate) fn delete(&mut self, no: u32) -> u64 {
        self.note(|| format!("delete {no}"));
        let call = self.call();
        let change = Change { edit: Edit::DeleteEndpoint { no: EndpointNo(no) }, policy: None };
        self.input(Input::Edit(vec![change], call));
        call
    }

    pub(crate) fn retry(&mut self, position: Position) -> u64 {
        let call = self.call();
        let Some(wanted) = self.store.wanted(position) else { self.fail("no such delivery") };
        self.note(|| format!("retry {position:?} at {:?} ({call})", wanted.place));
        self.input(Input::Retry(Box::new(wanted), call));
        call
    }

    pub(crate) fn cancel(&mut self, position: Position) -> u64 {
        let call = self.call();
        let Some(wanted) = self.store.wanted(position) else { self.fail("no such delivery") };
        self.note(|| format!("cancel {position:?} at {:?} ({call})", wanted.place));
        self.input(Input::Cancel(Box::new(wanted), call));
        call
    }

    /// Begins a replay of what a filter covers now; its id, and the call.
    pub(crate) fn replay(&mut self, no: u32, filter: ReplayFilter, per_second: u32) -> (Box<str>, u64) {
        let call = self.call();
        let id: Box<str> = format!("rpl{call}").into();
        let endpoint = EndpointNo(no);
        let span = self.store.span(endpoint, &filter);
        let tenant = self.store.endpoints.get(&endpoint).map_or(TENANT, |e| e.tenant);
        self.note(|| format!("replay {id} of {no}: {filter:?} {span:?} at {per_second}/s"));
        let created_at = self.now;
        let replay = Replay { id: id.clone(), tenant, endpoint, filter, span, per_second, created_at };
        self.input(Input::Replay(ReplayAsk::Start(Arc::new(replay)), call));
        (id, call)
    }

    pub(crate) fn cancel_replay(&mut self, id: &str) -> u64 {
        let call = self.call();
        let replay = self.store.replays[id].0.clone();
        self.note(|| format!("cancel {id}"));
        let ask = ReplayAsk::Cancel { tenant: replay.tenant, endpoint: replay.endpoint, id: id.into() };
        self.input(Input::Replay(ask, call));
        call
    }

    /// Withdraws it by what somebody read earlier.
    pub(crate) fn cancel_as_read(&mut self, wanted: Wanted) -> u64 {
        let call = self.call();
        self.input(Input::Cancel(Box::new(wanted), call));
        call
    }

    pub(crate) fn test(&mut self, no: u32, answer: &Answer) -> u64 {
        let call = self.call();
        self.note(|| format!("test {no}"));
        let attempt = Attempt {
            delivery: postrider_core::record::DeliveryRef {
                position: Position::ZERO,
                event: Position::ZERO,
                tenant: TENANT,
                endpoint: EndpointNo(no),
                sequence: 0,
            },
            event: Arc::new(postrider_core::record::Event {
                position: Position::ZERO,
                tenant: TENANT,
                accepted_at: self.now,
                occurred_at: self.now,
                event_type: "test".into(),
                own_id: None,
                key: None,
                subject: None,
                expires_at: None,
                attributes: Bytes::new(),
                data: Bytes::new(),
            }),
            number: 1,
            run: 0,
            trigger: Trigger::Test,
        };
        let record = TestRecord {
            position: Position::ZERO,
            tenant: TENANT,
            endpoint: EndpointNo(no),
            event_type: "test".into(),
            data: Bytes::new(),
            at: self.now,
            attempt: record(&attempt, answer, self.now, self.now),
        };
        self.input(Input::Tested(Box::new(record), call));
        call
    }

    pub(crate) fn mode(&mut self, no: u32, mode: Mode) {
        self.note(|| format!("receiver {no}: {mode:?}"));
        if let Some(receiver) = self.receivers.get_mut(&EndpointNo(no)) {
            receiver.mode = mode;
        }
    }

    pub(crate) fn answers(&mut self, no: u32, script: impl IntoIterator<Item = Answer>) {
        self.receivers.get_mut(&EndpointNo(no)).unwrap().script.extend(script);
    }

    // What the node asks of others.

    fn carry_out(&mut self, effects: Effects<u64>) {
        for (call, reply) in effects.replies {
            self.reply(call, reply);
        }
        for attempt in effects.attempts {
            self.start(attempt);
        }
        for load in effects.loads {
            self.loads += 1;
            self.note(|| format!("  load {:?} {:?} x{}", load.endpoint, load.what, load.entries));
            if load.entries == 0 && load.what != What::Count {
                self.fail("a page of nothing");
            }
            let after = self.soon(self.habits.read_us);
            self.at(after, Due::Snapshot(load));
        }
        self.check();
        self.begin();
    }

    fn reply(&mut self, call: u64, reply: Reply) {
        self.note(|| format!("  reply {call}: {reply:?}"));
        if !self.open.remove(&call) {
            self.fail("an answer to nobody, or a second one");
        }
        if let Reply::Published(answers) = &reply {
            for receipt in answers.iter().flatten() {
                if !self.store.ids.contains(&receipt.id) {
                    self.fail("acknowledged, and not durable");
                }
            }
        }
        self.replies.insert(call, reply);
    }

    fn start(&mut self, attempt: Attempt) {
        let delivery = attempt.delivery;
        let (position, no) = (delivery.position, delivery.endpoint);
        let place = self.store.rows.get(&position).map(|row| row.place);
        self.note(|| {
            format!(
                "  start {position:?} -> {no:?} n{} run {} {:?} key {:?} at {place:?}",
                attempt.number, attempt.run, attempt.trigger, attempt.event.key
            )
        });
        let Some(row) = self.store.rows.get(&position) else { self.fail("attempted before it is durable") };
        if !row.pending() {
            self.fail(&format!("attempted after it ended as {:?}", row.status));
        }
        if self.flying.values().any(|f| f.attempt.delivery.position == position) {
            self.fail("two attempts of one delivery at once");
        }
        let known = self.known.get(&position).cloned().unwrap_or_default();
        if attempt.number != known.attempts + 1 {
            self.fail(&format!("attempt {} after {}", attempt.number, known.attempts));
        }
        if known.succeeded_run == Some(attempt.run) {
            self.fail("attempted after its success");
        }
        if attempt.run != row.progress.run {
            self.fail(&format!("run {} while {:?} is stored", attempt.run, row.progress));
        }
        if *attempt.event != *row.event {
            self.fail("the event of another delivery");
        }
        let policy = self.policies[&no].clone();
        if !policy.enabled {
            self.fail("attempted while paused");
        }
        let at_once = self.flying.values().filter(|f| f.attempt.delivery.endpoint == no).count() + 1;
        if at_once > policy.max_in_flight as usize {
            self.fail(&format!("{at_once} at once to {no:?}"));
        }
        if self.flying.len() + 1 > self.config.max_in_flight {
            self.fail("too many at once on the node");
        }
        self.check_order(&attempt, &policy);
        self.starts.push((self.now, attempt.clone()));
        if let Some(limit) = policy.per_second {
            let since = self.rate_since.get(&no).copied().unwrap_or(0);
            let within = self.starts[since..]
                .iter()
                .rev()
                .take_while(|(at, _)| self.now.since(*at) < secs(1))
                .filter(|(_, a)| a.delivery.endpoint == no)
                .count();
            if within > limit as usize {
                self.fail(&format!("{within} starts within a second, {limit} allowed"));
            }
        }
        let answer = self.answer(&attempt);
        self.serial += 1;
        let id = self.serial;
        let after = answer.after;
        self.flying.insert(id, InFlight { attempt, answer, started: self.now });
        if after < FOREVER {
            self.at(after, Due::Finish(id));
        }
    }

    fn check_order(&self, attempt: &Attempt, policy: &Policy) {
        if !policy.ordered {
            return;
        }
        let row = &self.store.rows[&attempt.delivery.position];
        let no = attempt.delivery.endpoint;
        let since = self.ordered_since.get(&no).copied().unwrap_or_default();
        let Some(lane) = row.lane else { return };
        if row.progress.overtaken || row.order < since {
            return;
        }
        for flying in self.flying.values() {
            let other = &self.store.rows[&flying.attempt.delivery.position];
            if other.delivery.endpoint == no
                && other.lane == Some(lane)
                && !other.progress.overtaken
                && other.order >= since
            {
                self.fail(&format!("two of one key at once: {:?} is under way", other.delivery.position));
            }
        }
        for position in self.store.lanes.get(&(no, lane)).into_iter().flatten() {
            let other = &self.store.rows[position];
            if !other.progress.overtaken
                && other.order >= since
                && other.order < row.order
                // A later run takes its turn anywhere behind the lane's head.
                && other.progress.run == 0
                && other.delivery.position < row.delivery.position
            {
                self.fail(&format!("{position:?} of the same key is still owed ({:?})", other.place));
            }
        }
    }

    fn answer(&mut self, attempt: &Attempt) -> Answer {
        if self.habits.network_down {
            return Answer::local();
        }
        let receiver = self.receivers.get_mut(&attempt.delivery.endpoint).unwrap();
        if let Some(answer) = receiver.script.pop_front() {
            return answer;
        }
        let rng = &mut self.rng;
        match &receiver.mode {
            Mode::Always(answer) => answer.clone(),
            Mode::Flaky(permille) => {
                let after = ms(rng.between(1, 50));
                if rng.chance(*permille) {
                    Answer::status(500).after(after)
                } else {
                    Answer::ok().after(after)
                }
            }
            Mode::Poison(key) if attempt.event.key.as_deref() == Some(&**key) => Answer::status(500),
            Mode::Poison(_) => Answer::ok(),
            Mode::Hang => Answer::timeout().after(FOREVER),
            Mode::Odd => {
                let after = ms(rng.between(1, 3_000));
                let mut answer = match rng.below(12) {
                    0 => Answer::timeout(),
                    1 => Answer::error(ErrorKind::Connect).after(after),
                    2 => Answer::error(ErrorKind::Reset).after(after),
                    3 => Answer::status(503).after(after),
                    4 => Answer::status(400).after(after),
                    5 => Answer::local().after(after),
                    _ => Answer::ok().after(after),
                };
                if answer.error.is_some() && rng.chance(60) {
                    answer.retry_after = Some(secs(rng.between(1, 400)));
                }
                if answer.error.is_some() && rng.chance(20) {
                    answer.directive = Some(Directive::AbortMessage);
                }
                if answer.status.is_some() && answer.error.is_some() && rng.chance(5) {
                    answer.status = Some(410);
                }
                answer
            }
        }
    }

    // Commits.

    fn begin(&mut self) {
        if self.committing || self.node.commit_due(self.now).is_none_or(|due| due > self.now) {
            return;
        }
        let Some(begun) = self.node.begin(self.now) else {
            self.fail("nothing to begin though a commit is due")
        };
        self.committing = true;
        if begun.keys.is_empty() {
            self.build(&[]);
        } else {
            let after = self.soon(self.habits.commit_us);
            self.at(after, Due::Build(begun.keys));
        }
    }

    fn build(&mut self, keys: &[KeyHash]) {
        let known = self.store.find_keys(keys);
        let mut effects = Effects::default();
        let group = self.node.build(self.now, &known, &mut effects);
        self.note(|| {
            format!(
                "  group {:?}-{:?}: {} accepted, {:?}, {:?}",
                group.first,
                group.last,
                group.accepted.len(),
                group.edits.iter().filter(|e| matches!(e, Edit::PutHealth { .. })).collect::<Vec<_>>(),
                group.updates.iter().map(|u| (u.delivery.position.0, u.from, u.to)).collect::<Vec<_>>()
            )
        });
        for edit in &group.edits {
            if let Edit::PutEndpoint { no, version, .. } = edit {
                let policy = self.store.policies[&(*no, *version)].clone();
                let old = self.policies.insert(*no, policy.clone());
                if !policy.ordered {
                    self.ordered_since.remove(no);
                } else if old.as_ref().is_none_or(|o| !o.ordered) {
                    self.ordered_since.insert(*no, group.first);
                }
                if old.is_none_or(|o| o.per_second != policy.per_second) {
                    self.rate_since.insert(*no, self.starts.len());
                }
            }
        }
        self.writing = Some(group.clone());
        self.groups.push(group.clone());
        let after = self.soon(self.habits.commit_us);
        self.at(after, Due::Write(group));
        self.carry_out(effects);
    }

    fn write(&mut self, group: Arc<Group>) {
        if self.rng.chance(self.habits.commit_fails) {
            self.note(|| "  the commit fails".to_owned());
            if self.rng.chance(300) {
                // The result is unknown, and it turns out that the group is in.
                self.apply(&group);
                self.at(ms(200), Due::Committed);
            } else {
                self.at(ms(200), Due::Write(group));
            }
            let mut effects = Effects::default();
            self.node.commit_failing(&mut effects);
            self.carry_out(effects);
            return;
        }
        self.apply(&group);
        let after = self.soon(self.habits.commit_us / 2);
        self.at(after, Due::Committed);
    }

    fn apply(&mut self, group: &Arc<Group>) {
        if let Err(why) = self.store.apply(group) {
            self.fail(&why);
        }
        self.writing = None;
    }

    // Time.

    /// What happens next, if it does before `until`; else that time comes, and the answer is `false`.
    pub(crate) fn advance_until(&mut self, until: Timestamp) -> bool {
        let commit = if self.committing { None } else { self.node.commit_due(self.now) };
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let wake = self.node.next_wake();
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
            if self.idle_turns > 200 {
                self.fail("it wants to be woken again and again");
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
        self.now = at;
        self.idle_turns = 0;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Finish(id) => self.finish(id),
            Due::Snapshot(load) => {
                let after = self.soon(self.habits.read_us);
                if self.rng.chance(self.habits.read_fails) {
                    self.at(after, Due::PageFails(load));
                } else {
                    let page = self.store.read(load);
                    self.at(after, Due::Page(Box::new(page)));
                }
            }
            Due::Page(mut page) => {
                page.next = self.store.next_retry(&page);
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
            Due::PageFails(load) => self.input(Input::PageFailed(load)),
            Due::Notices => self.publish_notices(),
            Due::Build(keys) => self.build(&keys),
            Due::Write(group) => self.write(group),
            Due::Committed => {
                self.note(|| "  committed".to_owned());
                self.committing = false;
                let mut effects = Effects::default();
                self.node.committed(self.now, &mut effects);
                self.carry_out(effects);
            }
        }
    }

    /// As a driver does it: what is due is published under its own id, and removed when that is answered.
    fn publish_notices(&mut self) {
        let Some(operator) = self.operator else { return };
        if let Some((call, rows)) = self.telling.take() {
            match self.replies.remove(&call) {
                None => self.telling = Some((call, rows)),
                Some(Reply::Published(answers)) => {
                    let told = rows.into_iter().zip(answers).filter(|(_, answer)| answer.is_ok());
                    let remove = |((due, position), _)| Edit::RemoveNotice { due, position };
                    let changes = told.map(remove).map(|edit| Change { edit, policy: None }).collect();
                    let call = self.call();
                    self.input(Input::Edit(changes, call));
                }
                Some(_) => {}
            }
        } else if self.open.is_empty() {
            // Nothing of before is on its way: what is there was not removed yet.
            let until = self.node.notices_until(self.now);
            let due = self.store.notices.range(..=(until, Position::MAX)).take(5);
            let due: Vec<_> = due.map(|(place, doc)| (*place, doc.clone())).collect();
            if !due.is_empty() {
                let items = due.iter().map(|((_, position), doc)| {
                    let notice = Notice::from_stored(doc).unwrap();
                    Publication {
                        tenant: operator,
                        event_type: notice.kind.as_str().into(),
                        own_id: Some(notice.event_id(*position).into()),
                        data: doc.clone(),
                        body: Some(KeyHash::body(doc)),
                        ..event(None)
                    }
                });
                let items = items.collect();
                let call = self.publish(items);
                self.telling = Some((call, due.into_iter().map(|(place, _)| place).collect()));
            }
        }
        let busy = self.telling.is_some() || !self.open.is_empty();
        let next = self.store.notices.keys().next().map(|(due, _)| due.since(self.now));
        let wait = if busy { ms(20) } else { next.unwrap_or(secs(1)).max(ms(20)).min(secs(1)) };
        self.at(wait, Due::Notices);
    }

    /// Ends an attempt now.
    pub(crate) fn finish(&mut self, id: u64) {
        let Some(flying) = self.flying.remove(&id) else { return };
        let InFlight { attempt, answer, started } = flying;
        let position = attempt.delivery.position;
        self.note(|| {
            format!(
                "end {position:?} of {:?}: {:?} {:?}",
                attempt.delivery.endpoint, answer.error, answer.status
            )
        });
        if answer.error != Some(ErrorKind::Local) {
            let known = self.known.entry(position).or_default();
            known.attempts += 1;
            if answer.error.is_none() {
                known.succeeded_run = Some(attempt.run);
            } else if let Some(wait) = answer.retry_after {
                let until = self.now + wait.min(secs(3_600));
                let held = self.retry_after.entry(attempt.delivery.endpoint).or_default();
                *held = until.max(*held);
            }
        }
        let finished = Finished {
            delivery: attempt.delivery,
            record: record(&attempt, &answer, started, self.now),
            retry_after: answer.retry_after,
            directive: answer.directive,
        };
        self.input(Input::Finished(Box::new(finished)));
    }

    /// The process dies, and starts again at once with what is durable.
    pub(crate) fn crash(&mut self) {
        self.note(|| "CRASH".to_owned());
        if let Some(group) = self.writing.take()
            && self.rng.chance(500)
        {
            self.apply(&group);
        }
        self.writing = None;
        self.committing = false;
        self.agenda.clear();
        self.flying.clear();
        self.crashed_calls.append(&mut self.open);
        self.known = self
            .store
            .rows
            .iter()
            .map(|(position, row)| {
                let known = Known { attempts: row.progress.attempts, succeeded_run: None };
                (*position, known)
            })
            .collect();
        self.holding = self.store.rows.iter().map(|(p, row)| (*p, ms(row.progress.held_ms))).collect();
        self.now = self.now + ms(1);
        self.config.writer += 1;
        self.node = Node::new(self.config.clone(), self.store.committed, self.now);
        self.crashed = true;
        for (tenant, quotas) in &self.quotas {
            self.node.set_quotas(*tenant, *quotas, self.now);
        }
        self.telling = None;
        if let Some(operator) = self.operator {
            self.tell(operator);
        }
        self.policies.clear();
        for restored in self.store.recover() {
            self.policies.insert(restored.no, restored.policy.clone());
            self.node.restore(restored, self.now);
        }
        let stored: Vec<(EndpointNo, bool)> = self.policies.iter().map(|(no, p)| (*no, p.ordered)).collect();
        for (no, ordered) in stored {
            if !ordered {
                self.ordered_since.remove(&no);
            } else {
                self.ordered_since.entry(no).or_insert(self.store.committed.plus(1));
            }
        }
        self.input(Input::Tick);
    }

    // What must hold.

    fn check(&mut self) {
        let (entries, bytes) = self.node.memory();
        self.most_memory = self.most_memory.max(entries);
        // However full it is, each endpoint gets a few, and one behind each of its heads.
        if entries > self.config.window_entries + 24 * self.store.endpoints.len().max(2) {
            self.fail(&format!("{entries} entries in memory"));
        }
        if (entries == 0) != (bytes == 0) {
            self.fail(&format!("{entries} entries with {bytes} bytes"));
        }
        self.check_pending();
        if self.node.in_flight() != self.flying.len() {
            self.fail(&format!("{} in flight, it says {}", self.flying.len(), self.node.in_flight()));
        }
    }

    /// What a tenant owes is what its endpoints owe.
    fn check_pending(&self) {
        // Some may be on their way to the store.
        let all_known = self.policies.keys().all(|no| self.store.endpoints.contains_key(no));
        let mut sums: BTreeMap<TenantNo, (u64, bool)> = BTreeMap::new();
        for (no, endpoint) in &self.store.endpoints {
            let (sum, exact) = sums.entry(endpoint.tenant).or_insert((0, all_known));
            match self.node.standing(endpoint.tenant, *no) {
                Some(standing) => *sum += standing.pending,
                // A removed one owes on until that is cancelled.
                None => *exact = false,
            }
        }
        for (tenant, (sum, exact)) in sums {
            let total = self.node.pending(tenant);
            if total < sum || (exact && total != sum) {
                self.fail(&format!("{tenant:?} owes {total}, its endpoints {sum}"));
            }
        }
    }

    /// Nothing is under way: then what is counted as pending is pending in the store. After a crash the count was read while
    /// deliveries ended, and is set right only where an endpoint sees that nothing is left.
    pub(crate) fn check_counts(&self) {
        for (no, pending) in &self.store.pending {
            let endpoint = &self.store.endpoints[no];
            let counted = self.node.standing(endpoint.tenant, *no).map(|standing| standing.pending);
            let stored = pending.len() as u64;
            if counted.is_some_and(|counted| counted != stored) && !self.crashed {
                self.fail(&format!("{no:?} owes {stored}, counted are {counted:?}"));
            }
        }
    }

    /// Whether a delivery could be attempted if its endpoint can.
    fn eligible(&self, row: &Row, ordered: bool, at: Timestamp) -> bool {
        if let Place::Retry(due) = row.place
            && due > at
        {
            return false;
        }
        let Some(lane) = row.lane.filter(|_| !row.progress.overtaken) else { return true };
        !self.store.lanes[&(row.delivery.endpoint, lane)].iter().any(|p| {
            let other = &self.store.rows[p];
            // Lanes that exist when ordering is switched off empty in their order; a later run of an old delivery may block
            // newer ones.
            *p != row.delivery.position
                && !other.progress.overtaken
                && (other.progress.blocking || (ordered && other.order < row.order))
        })
    }

    /// Nothing is going on for a while: then nothing may be due that could be attempted.
    fn check_stall(&self, until: Timestamp) {
        let idle = self.flying.is_empty()
            && !self.committing
            && self.agenda.values().all(|due| matches!(due, Due::Notices))
            && !self.node.own_fault()
            && self.config.max_in_flight > 0;
        if !idle {
            return;
        }
        let by = until - ms(1_400);
        self.check_replays(by);
        for (no, positions) in &self.store.pending {
            if positions.is_empty() {
                continue;
            }
            let endpoint = &self.store.endpoints[no];
            if endpoint.deleted {
                self.fail(&format!("{no:?} is deleted, and {} are pending", positions.len()));
            }
            let Some(standing) = self.node.standing(endpoint.tenant, *no) else {
                self.fail(&format!("{no:?} is unknown"))
            };
            let policy = &self.policies[no];
            let held = self.held_until(*no);
            match standing.state {
                State::Disabled { .. } => {
                    self.fail(&format!("{no:?} is disabled, and {} are pending", positions.len()))
                }
                State::Tripped { retry_at } if policy.enabled && retry_at < by => {
                    self.fail(&format!("{no:?} is not probed"));
                }
                State::Active if held <= self.now => {
                    for position in positions {
                        let row = &self.store.rows[position];
                        if self.eligible(row, policy.ordered, self.now) {
                            self.fail(&format!(
                                "{position:?} of {no:?} could be attempted: {:?} {:?}",
                                row.place, row.progress
                            ));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Nothing is going on: then no replay may have something to let go.
    fn check_replays(&self, by: Timestamp) {
        for (replay, progress) in self.store.replays.values() {
            if progress.state != ReplayState::Running {
                continue;
            }
            let no = replay.endpoint;
            let waiting = self.store.pending.get(&no).is_some_and(|pending| !pending.is_empty());
            let state = self.node.standing(replay.tenant, no).map(|standing| standing.state);
            // Where something waits, it may be what the replay let go.
            if state == Some(State::Active) && !waiting && progress.updated_at < by {
                self.fail(&format!("{} stands still: {progress:?}", replay.id));
            }
            if state.is_none_or(|state| matches!(state, State::Disabled { .. })) {
                self.fail(&format!("{} runs without an endpoint: {progress:?}", replay.id));
            }
        }
    }

    /// Until when a receiver asked not to be called; as long as nothing succeeded since.
    fn held_until(&self, no: EndpointNo) -> Timestamp {
        self.retry_after.get(&no).copied().unwrap_or(Timestamp::EPOCH)
    }

    fn check_holds(&mut self, passed: Duration) {
        let mut over = None;
        for position in &self.store.blocking {
            let row = &self.store.rows[position];
            let no = row.delivery.endpoint;
            let (Some(policy), endpoint) = (self.policies.get(&no), &self.store.endpoints[&no]) else {
                continue;
            };
            let active = || self.node.standing(endpoint.tenant, no).is_some_and(|s| s.state == State::Active);
            // Time in which it could not be attempted does not count: the receiver's wish, or a fault of ours.
            let resting = self.retry_after.get(&no).is_some_and(|until| *until + passed > self.now);
            let counts = !resting && !self.node.own_fault();
            if counts && policy.ordered && policy.enabled && !row.progress.overtaken && active() {
                let held = self.holding.entry(*position).or_default();
                *held += passed;
                if *held > policy.hold_max + self.hold_slack {
                    over = Some((*position, *held));
                }
            }
        }
        if let Some((position, held)) = over {
            self.fail(&format!("{position:?} has held back its key for {held:?}"));
        }
    }
}

/// The record of an attempt that ended as it did.
pub(crate) fn record(
    attempt: &Attempt,
    answer: &Answer,
    started: Timestamp,
    now: Timestamp,
) -> AttemptRecord {
    AttemptRecord {
        number: attempt.number,
        run: attempt.run,
        trigger: attempt.trigger,
        started_at: started,
        duration: now.since(started),
        status_code: answer.status,
        error: answer.error.map(|kind| (kind, kind.as_str().into())),
        remote_address: None,
        endpoint_version: 1,
        signed_at: started.as_secs(),
        response_headers: Vec::new(),
        response_body: Bytes::new(),
    }
}
