//! A run: a seed from beginning to end.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use postrider_core::id::EndpointNo;
use postrider_core::node::Reply;
use postrider_core::record::Status;
use postrider_core::replay::ReplayState;

use crate::guarantee::{Broken, Guarantee};
use crate::mutant::Mutant;
use crate::options::Options;
use crate::scenario::Scenario;
use crate::situation::Situations;
use crate::told;
use crate::world::{TraceMode, World, ms, runs, secs};

/// What a run is worth: it goes on until so many events were accepted ...
const EVENTS: usize = 200;
/// ... so much went into the node ...
const INPUTS: u64 = 3_000;
/// ... and more time has passed than its longest schedule takes. But for no longer than so many steps.
const STEPS: u64 = 40_000;
/// How long everything may take to end once the faults have stopped: a receiver may ask for a day.
const END_WITHIN: Duration = secs(40 * 3_600);
/// The steps of that.
const END_STEPS: u32 = 400_000;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went into the node.
    pub inputs: u64,
    /// Events accepted.
    pub events: u64,
    /// Deliveries owed.
    pub deliveries: u64,
    /// Attempts started.
    pub attempts: u64,
    /// Crashes survived.
    pub crashes: u64,
    /// Time that passed in it.
    pub elapsed: Duration,
    /// What it came through.
    pub situations: Situations,
    /// A hash of its trace, where one was kept.
    pub trace: u64,
}

/// Runs a seed with the options that it stands for.
///
/// # Errors
/// The guarantee that did not hold.
pub fn run(seed: u64, mutant: Option<Mutant>, trace: TraceMode) -> Result<Outcome, Broken> {
    run_with(seed, Options::drawn(seed), mutant, trace)
}

/// Runs a seed.
///
/// # Errors
/// The guarantee that did not hold.
pub fn run_with(
    seed: u64,
    options: Options,
    mutant: Option<Mutant>,
    trace: TraceMode,
) -> Result<Outcome, Broken> {
    std::panic::catch_unwind(AssertUnwindSafe(|| go_through(seed, options, mutant, trace))).map_err(
        |payload| {
            let said = match payload.downcast::<Broken>() {
                Ok(broken) => return *broken,
                Err(payload) => match payload.downcast::<String>() {
                    Ok(text) => *text,
                    Err(payload) => {
                        payload.downcast::<&str>().map_or_else(|_| String::new(), |s| (*s).to_owned())
                    }
                },
            };
            Broken { guarantee: Guarantee::Sense, why: format!("it panics: {said}"), trace: Vec::new() }
        },
    )
}

fn go_through(seed: u64, options: Options, mutant: Option<Mutant>, trace: TraceMode) -> Outcome {
    Mutant::plant(mutant);
    let mut world = World::traced(seed, options.node.clone(), trace);
    world.mutant = mutant;
    let mut scenario = Scenario::begin(options, &mut world);
    for step in 0..STEPS {
        let enough = world.store.events.len() >= EVENTS && world.inputs >= INPUTS;
        if enough && world.elapsed > Scenario::longest_schedule(&world) {
            break;
        }
        if world.rng.chance(80) {
            scenario.act(&mut world);
        } else if step % 16 != 0 {
            world.advance_until(world.now + secs(5));
        } else {
            let far = if enough { 600_000 } else { 20_000 };
            let far = world.now + ms(world.rng.between(1, far));
            for _ in 0..400 {
                if !world.advance_until(far) {
                    break;
                }
            }
        }
    }
    scenario.heal(&mut world);
    come_to_rest(&mut world);
    check_answers(&scenario, &world);
    check_verdicts(&world);
    check_replays(&world);
    if world.tells() {
        told::check(&world);
    }
    Outcome {
        inputs: world.inputs,
        events: world.store.events.len() as u64,
        deliveries: world.store.rows.len() as u64,
        attempts: world.starts.len() as u64,
        crashes: world.crashes,
        elapsed: world.elapsed,
        situations: world.situations,
        trace: world.trace_hash(),
    }
}

/// The faults have stopped: everything ends.
fn come_to_rest(world: &mut World) {
    let until = world.now + END_WITHIN;
    let mut steps = 0;
    loop {
        let settled = world.open.is_empty() && world.node.is_settled() && world.flying.is_empty();
        if settled && owed(world) == 0 && !replays_run(world) {
            break;
        }
        steps += 1;
        if !world.advance_until(until) || steps > END_STEPS {
            let why = format!("{} deliveries are still owed, {} calls open", owed(world), world.open.len());
            world.fail(Guarantee::Verdict, &why);
        }
    }
    // Pages may still be on their way.
    let until = world.now + secs(3);
    for _ in 0..1_000 {
        if !world.advance_until(until) {
            break;
        }
    }
    if world.node.memory() != (0, 0) {
        world.fail(Guarantee::Memory, &format!("still in memory: {:?}", world.node.memory()));
    }
    world.check_counts();
}

/// Deliveries that can still end: not those of paused or unverified endpoints.
fn owed(world: &World) -> usize {
    let ending = world.store.pending.iter().filter(|(no, _)| goes_on(world, **no));
    ending.map(|(_, pending)| pending.len()).sum()
}

fn replays_run(world: &World) -> bool {
    let mut replays = world.store.replays.values();
    replays.any(|(replay, p)| p.state == ReplayState::Running && goes_on(world, replay.endpoint))
}

/// Whether an endpoint was removed, or is neither paused nor unverified.
fn goes_on(world: &World, no: EndpointNo) -> bool {
    world.stored_policy(no).is_none_or(runs)
}

fn check_answers(scenario: &Scenario, world: &World) {
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    for (call, keys) in &scenario.calls {
        let Some(Reply::Published(answers)) = world.replies.get(call) else { continue };
        if answers.len() != keys.len() {
            world.fail(Guarantee::Sense, &format!("{} answers to {} events", answers.len(), keys.len()));
        }
        for (answer, key) in answers.iter().zip(keys) {
            if let (Ok(receipt), Some(key)) = (answer, key) {
                let first = ids.entry(*key).or_insert_with(|| receipt.id.clone());
                if *first != receipt.id {
                    world.fail(
                        Guarantee::Idempotency,
                        &format!("one key, two events: {first}, {}", receipt.id),
                    );
                }
            }
        }
    }
}

fn check_verdicts(world: &World) {
    for row in world.store.rows.values().filter(|row| row.status == Status::Pending) {
        if goes_on(world, row.delivery.endpoint) {
            world.fail(Guarantee::Verdict, &format!("{:?} has no verdict", row.delivery));
        }
    }
}

fn check_replays(world: &World) {
    for (replay, p) in world.store.replays.values() {
        let dealt_with = p.done + p.skipped + p.expired;
        let fits = match p.state {
            ReplayState::Done => dealt_with == replay.span.matched && p.cursor == replay.span.through,
            ReplayState::Cancelled | ReplayState::Failed(_) => dealt_with <= replay.span.matched,
            ReplayState::Running => !goes_on(world, replay.endpoint),
        };
        if !fits {
            world.fail(Guarantee::Replays, &format!("{replay:?} ended as {p:?}"));
        }
    }
    for row in world.store.rows.values() {
        let covering = world.store.replays.values().filter(|(replay, _)| {
            let (span, position) = (replay.span, row.delivery.position);
            replay.endpoint == row.delivery.endpoint && position > span.after && position <= span.through
        });
        if row.replayed as usize > covering.count() {
            world.fail(Guarantee::Replays, &format!("{:?} went {} times", row.delivery, row.replayed));
        }
    }
}
