//! Who does what in a run: tenants that publish, people who edit and retry, faults and crashes, as chance has it.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::publication::Publication;
use postrider_core::record::{ErrorKind, KeyHash, Status};
use postrider_core::replay::Statuses;
use postrider_core::subscription::Pattern;
use postrider_core::tenant::Quotas;

use crate::options::Options;
use crate::situation::Situation;
use crate::told::OPERATOR;
use crate::world::{Answer, Mode, TENANT, WITHDRAWN, World, event, missed, ms, secs};

/// A tenant without endpoints.
const NOBODY: TenantNo = TenantNo(4);
/// Endpoints of a run, at most.
const ENDPOINTS: usize = 8;
/// Where a clock may stand after a crash, in seconds from where it was.
const JUMPS: [i64; 5] = [-10 * 86_400, -3_600, -30, 3_600, 2 * 86_400];

/// See the module.
pub(crate) struct Scenario {
    options: Options,
    /// Endpoints by number, from 1: whose, and whether it was removed.
    endpoints: Vec<(TenantNo, bool)>,
    /// Keys used, with the hash of the body, and the call that used them.
    keys: Vec<(u64, u64, u64)>,
    /// Calls that published, with the keys of their items.
    pub(crate) calls: Vec<(u64, Vec<Option<u64>>)>,
}

impl Scenario {
    pub(crate) fn begin(options: Options, world: &mut World) -> Self {
        world.habits = options.habits.clone();
        if options.told {
            world.tell(OPERATOR);
        }
        if options.quotas {
            for tenant in 1..=3 {
                let quotas = Quotas { pending: Some(100), events_per_second: Some(30), ..Quotas::default() };
                world.quotas(TenantNo(tenant), quotas);
            }
        }
        let mut scenario = Self { endpoints: Vec::new(), keys: Vec::new(), calls: Vec::new(), options };
        for _ in 0..scenario.options.endpoints {
            scenario.add_endpoint(world);
        }
        scenario
    }

    fn add_endpoint(&mut self, world: &mut World) {
        let tenant = world.rng.pick(&[TENANT, TENANT, TENANT, TenantNo(2), TenantNo(3)]);
        self.endpoints.push((tenant, false));
        let no = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        let ordered = world.rng.chance(self.options.ordered);
        let per_second = world.rng.pick(&[None, None, None, None, None, None, Some(3), Some(20)]);
        let wide = world.rng.pick(&[1, 2, 16]);
        let hold_max = secs(world.rng.pick(&[20, 60, 600]));
        let schedule: &[u64] = world.rng.pick(&[&[1, 2, 20][..], &[5, 300, 1_800], &[5, 8, 8, 40]]);
        let gone_disables = world.rng.chance(700);
        let disable_after = world.rng.chance(50).then_some(secs(1_800));
        let pause_skips = world.rng.chance(200);
        let names_withdrawn = world.rng.chance(300);
        world.put_for(no, tenant, |p| {
            p.ordered = ordered;
            p.per_second = per_second;
            p.max_in_flight = wide;
            p.hold_max = hold_max;
            p.gone_disables = gone_disables;
            p.disable_after = disable_after;
            p.pause_skips = pause_skips;
            if names_withdrawn {
                p.patterns.push(Pattern::Exact(WITHDRAWN.into()));
            }
            p.schedule = schedule.iter().copied().map(secs).collect();
        });
        let mode = self.mode(world);
        world.mode(no, mode);
    }

    fn mode(&self, world: &mut World) -> Mode {
        if world.rng.chance(400) {
            return Mode::Always(Answer::ok().after(ms(world.rng.between(1, 200))));
        }
        let now = world.now;
        match world.rng.below(10) {
            0 => Mode::Flaky(300),
            1 => Mode::Flaky(800),
            2 | 3 => Mode::Poison(format!("k{}", world.rng.below(self.options.keys)).into()),
            4 => Mode::Always(Answer::error(ErrorKind::Connect)),
            5 => Mode::Always(Answer::timeout()),
            6 => Mode::Always(Answer::status(500)),
            7 => Mode::Flapping(now, secs(world.rng.between(1, 60))),
            8 => Mode::SlowStart(now, secs(world.rng.between(1, 30))),
            _ => Mode::Odd,
        }
    }

    fn some_endpoint(&self, world: &mut World) -> Option<(u32, TenantNo)> {
        let at = usize::try_from(world.rng.below(self.endpoints.len() as u64)).unwrap_or(0);
        let (tenant, gone) = *self.endpoints.get(at)?;
        (!gone).then_some((u32::try_from(at).unwrap_or(0) + 1, tenant))
    }

    /// Something happens.
    pub(crate) fn act(&mut self, world: &mut World) {
        if world.rng.chance(self.options.crashes) {
            self.crash(world);
        } else if world.rng.chance(self.options.edits) {
            self.edit(world);
        } else if world.rng.chance(self.options.by_hand) {
            self.by_hand(world);
        } else if world.rng.chance(self.options.replays) {
            self.replay(world);
        } else if world.rng.chance(self.options.faults) {
            self.fault(world);
        } else {
            self.publish(world);
        }
    }

    fn crash(&self, world: &mut World) {
        if !world.rng.chance(self.options.jumps) {
            world.crash();
            return;
        }
        let by = world.rng.pick(&JUMPS);
        let far = secs(by.unsigned_abs());
        let now = if by < 0 { world.now - far } else { world.now + far };
        world.crash_at(now);
    }

    fn fault(&self, world: &mut World) {
        match world.rng.below(6) {
            0 => {
                world.habits.network_down = !world.habits.network_down;
                let down = world.habits.network_down;
                world.note(|| format!("network down: {down}"));
            }
            1 => world.habits.commit_fails = world.rng.pick(&[0, 0, 100, 700]),
            2 => world.habits.read_fails = world.rng.pick(&[0, 0, 100, 500]),
            _ => {
                if let Some((no, _)) = self.some_endpoint(world) {
                    let mode = self.mode(world);
                    world.mode(no, mode);
                }
            }
        }
    }

    fn publish(&mut self, world: &mut World) {
        let count = if world.rng.chance(300) { world.rng.between(1, self.options.burst) } else { 1 };
        let tenant = world.rng.pick(&[TENANT, TENANT, TENANT, TenantNo(2), TenantNo(3), NOBODY]);
        let (items, used): (Vec<_>, Vec<_>) = (0..count).map(|_| self.item(tenant, world)).unzip();
        let call = world.publish(items);
        for (key, body) in used.iter().flatten() {
            self.keys.push((*key, *body, call));
        }
        self.calls.push((call, used.into_iter().map(|used| used.map(|(key, _)| key)).collect()));
    }

    /// An event, and the key and body under which it is published.
    fn item(&self, tenant: TenantNo, world: &mut World) -> (Publication, Option<(u64, u64)>) {
        let key = world.rng.chance(800).then(|| format!("k{}", world.rng.below(self.options.keys)));
        let mut item = Publication { tenant, ..event(key.as_deref()) };
        if world.rng.chance(30) {
            (item.event_type, item.entitled) = (WITHDRAWN.into(), false);
        }
        if world.rng.chance(60) {
            item.expires_at = Some(world.now + ms(world.rng.below(20_000)));
        }
        if !world.rng.chance(150) {
            return (item, None);
        }
        let (key, body) = if world.rng.chance(400) && !self.keys.is_empty() {
            let (key, body, call) = world.rng.pick(&self.keys);
            if world.crashed(call) {
                world.saw(Situation::KeyAgainAfterCrash);
            }
            (key, if world.rng.chance(200) { body + 1 } else { body })
        } else {
            (world.rng.next(), world.rng.below(1_000))
        };
        // A key is one tenant's.
        item.tenant = TENANT;
        item.idempotency = Some(KeyHash(u128::from(key)));
        item.body = Some(KeyHash(u128::from(body)));
        (item, Some((key, body)))
    }

    fn edit(&mut self, world: &mut World) {
        if world.rng.chance(50) && self.endpoints.len() < ENDPOINTS {
            self.add_endpoint(world);
            return;
        }
        let Some((no, tenant)) = self.some_endpoint(world) else { return };
        if world.rng.chance(30) {
            if world.flying.values().any(|f| f.attempt.delivery.endpoint == EndpointNo(no)) {
                world.saw(Situation::RemovedInFlight);
            }
            self.endpoints[no as usize - 1].1 = true;
            world.delete(no);
            return;
        }
        let rate = world.rng.pick(&[None, None, Some(3), Some(50)]);
        let wide = world.rng.pick(&[1, 2, 16]);
        let what = world.rng.below(7);
        world.put_for(no, tenant, |p| match what {
            0 | 1 => p.enabled = !p.enabled,
            2 | 3 => p.ordered = !p.ordered,
            4 => p.target += 1,
            5 => p.verified = !p.verified,
            _ => (p.per_second, p.max_in_flight) = (rate, wide),
        });
    }

    fn by_hand(&self, world: &mut World) {
        if world.rng.chance(150) {
            if let Some((no, _)) = self.some_endpoint(world) {
                let answer = if world.rng.chance(700) { Answer::ok() } else { Answer::timeout() };
                world.test(no, &answer);
            }
            return;
        }
        let pending = world.rng.chance(700);
        let from = Position(world.rng.below(world.store.committed.0 + 1));
        let found = world.store.rows.range(from..).find(|(_, row)| row.pending() == pending);
        let Some(position) = found.map(|(position, _)| *position) else { return };
        if world.rng.chance(600) {
            world.retry(position);
        } else {
            world.cancel(position);
        }
    }

    fn replay(&self, world: &mut World) {
        let running: Vec<Box<str>> = world.store.replays.values().map(|(r, _)| r.id.clone()).collect();
        if world.rng.chance(150) && !running.is_empty() {
            let at = usize::try_from(world.rng.below(running.len() as u64)).unwrap_or(0);
            world.cancel_replay(&running[at]);
            return;
        }
        let Some((no, _)) = self.some_endpoint(world) else { return };
        let mut filter = missed();
        if world.rng.chance(400) {
            filter.statuses = Statuses::of(Status::ALL);
        }
        if world.rng.chance(300) {
            filter.sequence_from = Some(world.rng.between(1, 40));
            filter.sequence_to = world.rng.chance(500).then(|| world.rng.between(20, 80));
        }
        if world.rng.chance(200) {
            filter.since = Some(world.now - ms(world.rng.below(30_000)));
        }
        let per_second = world.rng.pick(&[5, 50, 1_000]);
        world.replay(no, filter, per_second);
    }

    /// Everything works again.
    pub(crate) fn heal(&self, world: &mut World) {
        world.note(|| "HEAL".to_owned());
        world.habits.network_down = false;
        world.habits.commit_fails = 0;
        world.habits.read_fails = 0;
        for (no, (tenant, gone)) in (1..).zip(&self.endpoints) {
            world.mode(no, Mode::Always(Answer::ok()));
            if !gone && world.rng.chance(800) {
                world.put_for(no, *tenant, |p| (p.enabled, p.verified) = (true, true));
            }
        }
    }

    /// The longest time that a schedule of the run takes, jitter included.
    pub(crate) fn longest_schedule(world: &World) -> Duration {
        let longest = world.store.policies.values().map(|p| p.schedule.iter().sum::<Duration>()).max();
        longest.unwrap_or_default() * 12 / 10
    }
}
