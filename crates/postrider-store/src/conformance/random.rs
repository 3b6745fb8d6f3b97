//! Random lives against the naive model: groups, crashes, closes and maintenance in any order, every read compared.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    Disposition, Edit, Group, KeyHash, Place, Progress, Reason, Start, Status, TestRecord, Trigger, Update,
};
use postrider_core::replay::{Replay, ReplayFilter, Statuses};
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{Builder, Draft, attempt};
use super::configuration::put;
use super::model::{Life, Model, bare};
use crate::{EventQuery, LogQuery, LogRow, Maintenance, PageLimit, Store, Writer};

const SEEDS: u64 = 3;
const GROUPS: u64 = 50;
const ENDPOINTS: u32 = 5;
const KEYS: u64 = 4;

/// A seeded generator (SplitMix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % n
    }
}

/// Groups that depend on a seed alone, and what they make of an empty store.
#[derive(Debug)]
pub struct Journey {
    /// What every read has to answer after the last group.
    pub model: Model,
    builder: Builder,
    random: Random,
}

impl Journey {
    /// The journey of a seed; its first group makes the endpoints.
    pub fn begin(seed: u64) -> Self {
        let mut builder = Builder::default();
        for endpoint in 1..=ENDPOINTS {
            for mut edit in put(endpoint, 1) {
                if let Edit::PutEndpoint { tenant, .. } = &mut edit {
                    *tenant = tenant_of(endpoint);
                }
                builder.edit(edit);
            }
        }
        Self { model: Model::default(), builder, random: Random(seed) }
    }

    /// The next group.
    pub fn group(&mut self) -> Group {
        step(&mut self.builder, &self.model, &mut self.random);
        let group = self.builder.group(self.model.committed.plus(1));
        self.model.commit(&group);
        group
    }

    /// What maintenance there is to be after the last group, if any.
    pub fn maintenance(&mut self) -> Option<Maintenance> {
        let due = self.random.below(12) < 5;
        let later = Duration::from_secs(2 * self.random.below(3));
        due.then(|| Maintenance {
            now: self.now() + later,
            retention: Duration::from_secs(30 * 86_400),
            budget: Duration::from_millis(5),
        })
    }

    /// The time of the next group.
    pub fn now(&self) -> Timestamp {
        self.builder.now
    }
}

/// A few seeds, one after the other in the same database.
pub fn random_lives_agree_with_a_naive_model(harness: &dyn Harness) {
    let mut journey = Journey::begin(0);
    for seed in 0..SEEDS {
        journey.random = Random(seed);
        let (mut store, mut writer) = harness.open();
        for round in 0..GROUPS {
            writer.commit(&journey.group()).unwrap();
            match journey.random.below(12) {
                0 => {
                    drop((store, writer));
                    (store, writer) = harness.open();
                }
                1 => {
                    drop(store);
                    writer.close().unwrap();
                    (store, writer) = harness.open();
                }
                _ => {}
            }
            if let Some(how) = journey.maintenance() {
                maintain(&mut *writer, how);
            }
            if round % 12 == 0 || round == GROUPS - 1 {
                let now = journey.now();
                compare(&*store, &journey.model, &mut journey.random, now);
            }
        }
    }
}

fn maintain(writer: &mut dyn Writer, how: Maintenance) {
    for _ in 0..1_000 {
        if !writer.maintain(how).unwrap() {
            return;
        }
    }
    panic!("maintenance does not end");
}

/// A test of any endpoint, now and then.
fn test(b: &mut Builder, random: &mut Random) {
    if random.below(2) == 0 {
        let endpoint = 1 + random.below(u64::from(ENDPOINTS)) as u32;
        let code = [200, 500][random.below(2) as usize];
        let test = TestRecord {
            position: b.spare_position(),
            tenant: tenant_of(endpoint),
            endpoint: EndpointNo(endpoint),
            event_type: ["card.opened", "card.settled"][random.below(2) as usize].into(),
            data: vec![b't'; random.below(9) as usize].into(),
            at: b.now - Duration::from_millis(random.below(60_000)),
            attempt: attempt(1, 0, Trigger::Test, code, b.now),
        };
        b.test(test);
    }
}

/// The first three endpoints are one tenant's, the others another's.
fn tenant_of(endpoint: u32) -> TenantNo {
    TenantNo(if endpoint <= 3 { 1 } else { 2 })
}

/// Some events, and some steps of what there is.
fn step(b: &mut Builder, model: &Model, random: &mut Random) {
    let (at, count) = (b.now, random.below(40));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..random.below(60).min(model.lives.len() as u64) {
        let from = Position(random.below(model.committed.0 + 1));
        let Some((position, life)) = model.lives.range(from..).next() else { continue };
        if seen.insert(*position) {
            let rank = b.spare_position();
            b.update(next_step(life, rank, at, random));
        }
    }
    for i in 0..count {
        if i == count / 2 {
            test(b, random);
        }
        let key = (random.below(3) == 0).then(|| format!("key-{}", random.below(KEYS)));
        let tenant = TenantNo(1 + (random.below(2) as u32));
        let lane = key.as_deref().map(|k| KeyHash::ordering(tenant, k).lane());
        let deliveries = (0..random.below(4))
            .map(|_| {
                let start = match (random.below(8), lane) {
                    (0, _) => Start::Skipped(Reason::BacklogFull),
                    (1..4, Some(lane)) => Start::Held(lane),
                    _ => Start::Due,
                };
                (if tenant.0 == 1 { 1 + random.below(3) as u32 } else { 4 + random.below(2) as u32 }, start)
            })
            .collect();
        b.event(Draft {
            tenant,
            event_type: ["card.opened", "card.settled", "account.topup"][random.below(3) as usize],
            own_id: (random.below(4) == 0).then(|| format!("own-{}-{i}", model.committed.0)),
            idempotency: (random.below(2) == 0).then(|| format!("idem-{}-{i}", model.committed.0)),
            key,
            subject: (random.below(4) == 0).then(|| format!("card-{}", random.below(5))),
            expires_at: None,
            data: vec![b'd'; random.below(3_000) as usize].into(),
            deliveries,
        });
    }
}

fn next_step(life: &Life, rank: Position, at: Timestamp, random: &mut Random) -> Update {
    let row = &life.row;
    let (delivery, from, mut progress) = (row.delivery, row.place, row.progress);
    let moved = |progress: Progress, place| Update {
        delivery,
        from,
        to: Disposition::Pending(place),
        progress,
        attempt: None,
        at,
    };
    if from.is_none() {
        progress = Progress {
            run: progress.run + 1,
            step: 0,
            trigger: Trigger::Replay,
            blocking: false,
            ..progress
        };
        return moved(progress, Place::Due(rank));
    }
    let choice = random.below(10);
    if choice == 0 {
        return Update {
            to: Disposition::Ended(Status::Cancelled, Some(Reason::Requested)),
            ..moved(progress, Place::Due(rank))
        };
    }
    if choice == 1 {
        let place = life.key.map_or(Place::Due(rank), |k| Place::Held(k.lane()));
        return moved(progress, place);
    }
    progress.attempts += 1;
    progress.step += 1;
    let code = [200, 200, 200, 503, 404][random.below(5) as usize];
    let record = attempt(progress.attempts, progress.run, progress.trigger, code, at);
    progress.trigger = Trigger::Schedule;
    let to = match code {
        200 => Disposition::Ended(Status::Succeeded, None),
        404 => Disposition::Ended(Status::Failed, Some(Reason::ScheduleExhausted)),
        _ => {
            progress.blocking = life.key.is_some() && random.below(2) == 0;
            progress.held_ms += random.below(9_000);
            Disposition::Pending(Place::Retry(at + Duration::from_secs(random.below(50))))
        }
    };
    Update { delivery, from, to, progress, attempt: Some(record), at }
}

/// Compares every read with the model, of questions that are drawn where there are too many.
pub fn compare(store: &dyn Store, model: &Model, random: &mut Random, now: Timestamp) {
    assert_eq!(store.committed(), model.committed);
    for endpoint in (1..=ENDPOINTS).map(EndpointNo) {
        compare_pending(store, model, endpoint, random);
    }
    for (position, life) in model.lives.iter().rev().take(120) {
        let entry = store.delivery(*position).unwrap().unwrap();
        assert_eq!(entry.row, life.row);
        assert_eq!(entry.attempts, life.attempts);
        let one = store.pending_one(*position).unwrap();
        assert_eq!(
            one.map(|l| (l.place, l.progress, l.event)),
            life.row.place.map(|p| (p, life.row.progress, Arc::clone(&life.row.event)))
        );
    }
    compare_keys(store, model);
    for _ in 0..20 {
        compare_replay(store, model, random, now);
    }
    for _ in 0..40 {
        let query = random_query(model, random, now);
        compare_log(store, model, &query);
        compare_events(store, model, &query);
    }
    for endpoint in (1..=ENDPOINTS).map(EndpointNo) {
        compare_feed(store, model, endpoint, random);
        let (since, at_most) =
            (now - Duration::from_millis(random.below(20_000)), random.below(200) as usize);
        let mut figures = store.figures(endpoint, since, at_most).unwrap();
        figures.durations.sort_unstable();
        assert_eq!(
            figures,
            model.figures(endpoint, since, at_most),
            "{endpoint:?} since {since:?}, {at_most}"
        );
    }
    let recovery = store.recover().unwrap();
    assert_eq!(recovery.next_position, model.committed.plus(1));
    for endpoint in &recovery.endpoints {
        let last = model
            .lives
            .values()
            .filter(|l| l.row.delivery.endpoint == endpoint.no)
            .map(|l| l.row.delivery.sequence);
        assert_eq!(endpoint.last_sequence, last.max().unwrap_or(0), "last sequence of {:?}", endpoint.no);
        assert_eq!(endpoint.has_pending, model.pending(endpoint.no).next().is_some());
        let blocking: Vec<_> =
            model.pending(endpoint.no).filter(|l| l.row.progress.blocking).map(|l| l.row.delivery).collect();
        assert_eq!(endpoint.blocking.iter().map(|r| r.delivery).collect::<Vec<_>>(), blocking);
    }
}

fn compare_pending(store: &dyn Store, model: &Model, endpoint: EndpointNo, random: &mut Random) {
    let limit =
        PageLimit { entries: 1 + random.below(30) as usize, bytes: 1 + random.below(40_000) as usize };
    let (mut after, mut due) = (Position::ZERO, Vec::new());
    loop {
        let page = store.due(endpoint, after, limit).unwrap();
        assert!(page.entries.len() <= limit.entries && page.watermark == model.committed);
        assert!(page.complete || !page.entries.is_empty(), "a page without entries says that it is the last");
        for loaded in page.entries {
            let Place::Due(rank) = loaded.place else { panic!("not due: {loaded:?}") };
            assert_eq!(loaded.event, model.lives[&loaded.delivery.position].row.event);
            due.push((rank, loaded.delivery));
            after = rank;
        }
        if page.complete {
            break;
        }
    }
    assert_eq!(due, model.due(endpoint), "due work of {endpoint:?}");
    let retries = model.retries(endpoint);
    let (mut after, mut found) = ((Timestamp::EPOCH, Position::ZERO), Vec::new());
    assert_eq!(store.next_retry(endpoint, after).unwrap(), retries.first().map(|r| r.0));
    loop {
        let page = store.retries(endpoint, after, Timestamp::FAR_FUTURE, limit).unwrap();
        for loaded in page.entries {
            let Place::Retry(at) = loaded.place else { panic!("no retry: {loaded:?}") };
            found.push((at, loaded.delivery));
            after = (at, loaded.delivery.position);
        }
        if page.complete {
            break;
        }
    }
    assert_eq!(found, retries, "retries of {endpoint:?}");
    for (tenant, key) in (1..=2).flat_map(|t| (0..KEYS).map(move |k| (TenantNo(t), format!("key-{k}")))) {
        let lane = KeyHash::ordering(tenant, &key).lane();
        let held = store.held(endpoint, lane, Position::ZERO, super::build::ALL).unwrap();
        assert_eq!(held.entries.iter().map(|l| l.delivery).collect::<Vec<_>>(), model.held(endpoint, lane));
    }
    let all: Vec<_> = model
        .pending(endpoint)
        .map(|l| (l.row.delivery, l.row.place, l.row.progress, l.key.map(KeyHash::lane)))
        .collect();
    let rows = store.pending(endpoint, None, 100_000).unwrap();
    let mut rows: Vec<_> =
        rows.into_iter().map(|r| (r.delivery, Some(r.place), r.progress, r.lane)).collect();
    rows.sort_unstable_by_key(|r| r.0.position);
    assert_eq!(rows, all, "pending work of {endpoint:?}");
    assert_eq!(store.count_pending(endpoint, 100_000).unwrap().0, all.len() as u64);
    if let Some(life) = model.pending(endpoint).nth(all.len() / 2) {
        let before = life.row.event.accepted_at;
        let old: Vec<_> = model
            .pending(endpoint)
            .filter(|l| l.row.event.accepted_at < before && l.begun_at < before)
            .map(|l| l.row.delivery)
            .take(10)
            .collect();
        let rows = store.pending(endpoint, Some(before), 10).unwrap();
        assert_eq!(rows.iter().map(|r| r.delivery).collect::<Vec<_>>(), old);
    }
}

fn compare_keys(store: &dyn Store, model: &Model) {
    let (mut keys, mut events) = (Vec::new(), Vec::new());
    for a in model.events.values() {
        for key in a.idempotency.map(|i| i.0).into_iter().chain(a.own_id) {
            keys.push(key);
            events.push(a);
        }
        keys.push(KeyHash(a.event.position.0.into()));
        events.push(a);
    }
    for ((hit, key), a) in store.find_keys(&keys).unwrap().into_iter().zip(&keys).zip(events) {
        if key.0 == u128::from(a.event.position.0) {
            assert_eq!(hit, None);
            continue;
        }
        let hit = hit.unwrap();
        assert_eq!((hit.position, hit.id), (a.event.position, a.event.id()));
        assert_eq!((hit.idempotency, hit.own_id), (a.idempotency, a.own_id));
    }
}

fn random_query(model: &Model, random: &mut Random, now: Timestamp) -> LogQuery {
    let mut maybe = |n: u64| random.below(n) == 0;
    let (tenant, endpoint, status, kind, key, subject, event, since, until) =
        (maybe(2), maybe(3), maybe(2), maybe(3), maybe(5), maybe(6), maybe(12), maybe(5), maybe(5));
    let tests = maybe(2);
    let time = |random: &mut Random| now - Duration::from_millis(random.below(20_000));
    let tenant_no = TenantNo(1 + random.below(2) as u32);
    LogQuery {
        tenant: tenant.then_some(tenant_no),
        endpoint: endpoint.then(|| EndpointNo(1 + random.below(u64::from(ENDPOINTS)) as u32)),
        status: status.then(|| Status::ALL[random.below(5) as usize]),
        event_type: kind.then(|| "card.settled".to_owned()),
        key: key.then(|| KeyHash::ordering(tenant_no, &format!("key-{}", random.below(KEYS)))),
        subject: subject.then(|| KeyHash::subject(tenant_no, &format!("card-{}", random.below(5)))),
        event: event
            .then(|| model.events.range(Position(random.below(model.committed.0))..).next().map(|e| *e.0))
            .flatten(),
        since: since.then(|| time(random)),
        until: until.then(|| time(random)),
        tests,
        before: maybe_before(model, random),
        limit: 1 + random.below(60) as usize,
    }
}

/// What a filter covers is counted, and comes in pages, as often as it is asked for.
fn compare_replay(store: &dyn Store, model: &Model, random: &mut Random, now: Timestamp) {
    let endpoint = EndpointNo(1 + random.below(u64::from(ENDPOINTS)) as u32);
    let ended = [Status::Succeeded, Status::Failed, Status::Cancelled, Status::Skipped];
    let mut time = || (random.below(3) == 0).then(|| now - Duration::from_millis(random.below(20_000)));
    let (since, until) = (time(), time());
    let mut sequence = || (random.below(3) == 0).then(|| 1 + random.below(300));
    let (sequence_from, sequence_to) = (sequence(), sequence());
    let statuses = Statuses::of(ended.into_iter().filter(|_| random.below(2) == 0));
    let pattern = ["card.*", "account.topup", "*"][random.below(3) as usize];
    let types = (random.below(2) == 0).then(|| Pattern::parse(pattern).unwrap()).into_iter().collect();
    let filter = ReplayFilter { since, until, sequence_from, sequence_to, statuses, types };
    let span = store.replay_span(endpoint, &filter).unwrap();
    let covered: Vec<_> = model.covered(endpoint, &filter, model.at).iter().map(|l| l.row.delivery).collect();
    assert_eq!((span.matched, span.as_of), (covered.len() as u64, model.at), "{filter:?}");
    let replay = Replay {
        id: "rpl".into(),
        tenant: tenant_of(endpoint.0),
        endpoint,
        filter,
        span,
        per_second: 1,
        created_at: now,
    };
    let limit =
        PageLimit { entries: 1 + random.below(30) as usize, bytes: 1 + random.below(40_000) as usize };
    let (mut after, mut found) = (span.after, Vec::new());
    loop {
        let page = store.replay_page(&replay, after, limit).unwrap();
        assert!(page.entries.len() <= limit.entries && page.watermark == model.committed);
        assert!(page.complete || page.upto > after, "it moves on");
        for ended in page.entries {
            let life = &model.lives[&ended.delivery.position];
            assert_eq!((ended.run, ended.attempts), (life.row.progress.run, life.row.progress.attempts));
            assert_eq!(ended.event, life.row.event);
            assert!(ended.delivery.position > after && ended.delivery.position <= page.upto);
            found.push(ended.delivery);
        }
        after = page.upto;
        if page.complete {
            break;
        }
    }
    assert_eq!(found, covered, "{replay:?}");
    assert_eq!(after, span.through);
}

fn maybe_before(model: &Model, random: &mut Random) -> Option<Position> {
    (random.below(4) == 0).then(|| Position(random.below(model.committed.0 + 1)))
}

fn compare_log(store: &dyn Store, model: &Model, query: &LogQuery) {
    let (expected, expected_tests) = (model.log(query), model.log_tests(query));
    let (mut found, mut found_tests): (Vec<LogRow>, _) = (Vec::new(), Vec::new());
    let mut page_query = query.clone();
    for _ in 0..10_000 {
        let page = store.log(&page_query).unwrap();
        assert!(page.rows.len() + page.tests.len() <= query.limit);
        let positions = page.rows.iter().map(|r| r.delivery.position);
        let positions: Vec<_> = positions.chain(page.tests.iter().map(|t| t.position)).collect();
        let within = |p: &Position| {
            page_query.before.is_none_or(|b| *p < b) && page.next.is_none_or(|next| *p >= next)
        };
        assert!(positions.iter().all(within), "rows and tests of a page lie between its cursors");
        found.extend(page.rows.into_iter().map(|r| LogRow { event: bare(&r.event), ..r }));
        found_tests.extend(page.tests);
        match page.next {
            Some(next) => {
                assert!(page_query.before.is_none_or(|b| next < b), "the cursor moves");
                page_query.before = Some(next);
            }
            None => break,
        }
    }
    let positions = |rows: &[LogRow]| rows.iter().map(|r| r.delivery.position).collect::<Vec<_>>();
    assert_eq!(positions(&found), positions(&expected), "{query:?}");
    assert_eq!(found, expected);
    assert_eq!(found_tests, expected_tests, "{query:?}");
}

fn compare_events(store: &dyn Store, model: &Model, like: &LogQuery) {
    let mut query = EventQuery {
        tenant: like.tenant.unwrap_or(TenantNo(2)),
        event: like.event,
        event_type: like.event_type.clone(),
        key: like.key,
        subject: like.subject,
        since: like.since,
        until: like.until,
        before: like.before,
        limit: like.limit,
    };
    let expected = model.events(&query);
    let mut found = Vec::new();
    loop {
        let page = store.events(&query).unwrap();
        assert!(page.rows.len() <= query.limit);
        found.extend(page.rows);
        let Some(next) = page.next else { break };
        assert!(query.before.is_none_or(|b| next < b), "the cursor moves");
        query.before = Some(next);
    }
    assert_eq!(found, expected, "{query:?}");
}

fn compare_feed(store: &dyn Store, model: &Model, endpoint: EndpointNo, random: &mut Random) {
    let last = model.feed(endpoint, 0).last().map_or(0, |e| e.delivery.sequence);
    let start = random.below(last + 5);
    let limit =
        PageLimit { entries: 1 + random.below(250) as usize, bytes: 1 + random.below(400_000) as usize };
    let (mut after, mut found) = (start, Vec::new());
    loop {
        let page = store.feed(endpoint, after, limit).unwrap();
        assert_eq!(page.last_sequence, last);
        assert!(page.entries.len() <= limit.entries);
        let Some(end) = page.entries.last() else { break };
        after = end.delivery.sequence;
        found.extend(page.entries);
    }
    assert_eq!(found, model.feed(endpoint, start), "the feed of {endpoint:?} after {start}");
}
