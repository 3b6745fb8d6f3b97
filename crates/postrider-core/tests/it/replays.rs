//! Replays, one behaviour each: what goes again, how often, how fast, and what it leaves alone.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::node::{Directive, NOT_RUNNING, NodeConfig, Reply, State};
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use postrider_core::record::{ErrorKind, Reason, Status, Trigger};
use postrider_core::replay::{ReplayFilter, ReplayProgress, ReplayState, Statuses};
use postrider_core::subscription::Pattern;
use postrider_sim::guarantee::Guarantee;
use postrider_sim::store::Row;
use postrider_sim::world::{Answer, Mode, TENANT, World, event, missed, ms, secs};

/// A world with one endpoint whose deliveries fail at their second attempt, after a second.
fn world(change: impl FnOnce(&mut Policy)) -> World {
    let mut world = World::new(7, NodeConfig { jitter_permille: 0, ..NodeConfig::default() });
    world.put(1, |policy| {
        policy.schedule = [secs(1)].into();
        change(policy);
    });
    run(&mut world, secs(2));
    world
}

fn run(world: &mut World, time: Duration) {
    let until = world.now + time;
    for _ in 0..400_000 {
        if !world.advance_until(until) {
            return;
        }
    }
    world.fail(Guarantee::Alive, "it does not come to rest");
}

/// Has so many deliveries fail for good, one after the other so that the breaker stays closed.
fn fail(world: &mut World, count: usize) {
    for n in 0..count {
        world.mode(1, Mode::Always(Answer::status(400)));
        world.publish(vec![event(Some(&format!("k{}", n % 5)))]);
        run(world, secs(3));
        world.mode(1, Mode::Always(Answer::ok()));
        world.publish(vec![event(None)]);
        run(world, secs(1));
    }
}

fn progress(world: &World, id: &str) -> ReplayProgress {
    world.store.replays[id].1
}

fn counts(world: &World, id: &str) -> (ReplayState, u64, u64, u64) {
    let progress = progress(world, id);
    (progress.state, progress.done, progress.skipped, progress.expired)
}

fn replayed(world: &World) -> Vec<&Row> {
    world.store.rows.values().filter(|row| row.replayed > 0).collect()
}

fn state(world: &World) -> State {
    world.node.standing(TENANT, EndpointNo(1)).unwrap().state
}

#[test]
fn what_did_not_arrive_goes_again_once_in_its_order_and_under_its_old_name() {
    let mut w = world(|_| {});
    fail(&mut w, 8);
    let begun = w.starts.len();
    let (id, call) = w.replay(1, missed(), 100);
    run(&mut w, secs(2));
    assert_eq!(w.replies[&call], Reply::Done);
    assert_eq!(counts(&w, &id), (ReplayState::Done, 8, 0, 0));
    assert_eq!(w.store.replays[&id].0.span.matched, 8);
    let sent: Vec<_> =
        w.starts[begun..].iter().map(|(_, a)| (a.delivery.sequence, a.number, a.run, a.trigger)).collect();
    let expected: Vec<_> = (0..8).map(|n| (2 * n + 1, 3, 1, Trigger::Replay)).collect();
    assert_eq!(sent, expected);
    assert!(w.store.rows.values().all(|row| row.status == Status::Succeeded));
    assert_eq!(w.node.memory(), (0, 0));
    // Nothing is left for another one.
    let (again, _) = w.replay(1, missed(), 100);
    run(&mut w, secs(1));
    assert_eq!(counts(&w, &again), (ReplayState::Done, 0, 0, 0));
}

#[test]
fn a_filter_says_what_is_covered() {
    let table: [(&str, ReplayFilter, &[u64]); 5] = [
        ("by sequence", ReplayFilter { sequence_from: Some(3), sequence_to: Some(6), ..missed() }, &[3, 5]),
        (
            "succeeded",
            ReplayFilter { statuses: Statuses::of([Status::Succeeded]), ..missed() },
            &[2, 4, 6, 8],
        ),
        (
            "everything",
            ReplayFilter { statuses: Statuses::of(Status::ALL), ..missed() },
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ),
        ("another type", ReplayFilter { types: vec![Pattern::parse("account.*").unwrap()], ..missed() }, &[]),
        (
            "its type",
            ReplayFilter { types: vec![Pattern::parse("card.*").unwrap()], ..missed() },
            &[1, 3, 5, 7],
        ),
    ];
    for (name, filter, covered) in table {
        let mut w = world(|_| {});
        fail(&mut w, 4);
        let (id, _) = w.replay(1, filter, 1_000);
        run(&mut w, secs(2));
        let sequences: Vec<u64> = replayed(&w).iter().map(|row| row.delivery.sequence).collect();
        assert_eq!(sequences, covered, "{name}");
        assert_eq!(counts(&w, &id), (ReplayState::Done, covered.len() as u64, 0, 0), "{name}");
    }
}

#[test]
fn what_somebody_else_took_up_meanwhile_is_passed_over() {
    let mut w = world(|_| {});
    fail(&mut w, 6);
    let failed: Vec<Position> = w
        .store
        .rows
        .values()
        .filter(|row| row.status == Status::Failed)
        .map(|row| row.delivery.position)
        .collect();
    let (id, _) = w.replay(1, missed(), 1);
    run(&mut w, ms(1_500));
    assert_eq!(progress(&w, &id).done, 2);
    // Retried by hand, one of them in vain: it ended after the replay was made.
    w.answers(1, [Answer::status(400)]);
    w.retry(failed[4]);
    run(&mut w, ms(10));
    w.retry(failed[3]);
    run(&mut w, secs(10));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 4, 2, 0));
    assert!(w.store.rows.values().all(|row| row.replayed <= 1 && row.status == Status::Succeeded));
}

#[test]
fn what_nobody_wants_any_more_is_passed_over_and_counted() {
    let mut w = world(|_| {});
    let until = w.now + secs(60);
    w.mode(1, Mode::Always(Answer::status(400)));
    w.publish(vec![event(None), Publication { expires_at: Some(until), ..event(None) }, event(None)]);
    run(&mut w, secs(100));
    w.mode(1, Mode::Always(Answer::ok()));
    let (id, _) = w.replay(1, missed(), 100);
    run(&mut w, secs(1));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 2, 0, 1));
}

#[test]
fn a_replay_keeps_its_pace() {
    let mut w = world(|_| {});
    fail(&mut w, 40);
    let begun = w.now;
    w.replay(1, missed(), 10);
    run(&mut w, secs(10));
    let starts: Vec<Duration> =
        w.starts.iter().filter(|(_, a)| a.run == 1).map(|(at, _)| at.since(begun)).collect();
    assert_eq!(starts.len(), 40);
    assert!(starts[39] > ms(3_850) && starts[39] < ms(4_200), "{:?}", starts[39]);
}

#[test]
fn a_replay_takes_up_a_quarter_of_the_places_and_leaves_the_others_to_what_comes() {
    let mut w = world(|_| {});
    fail(&mut w, 60);
    w.mode(1, Mode::Always(Answer::ok().after(ms(100))));
    let begun = w.starts.len();
    w.replay(1, missed(), 10_000);
    let mut live = Vec::new();
    for _ in 0..40 {
        live.push((w.now, w.publish(vec![event(None)])));
        let until = w.now + ms(25);
        while w.advance_until(until) {
            let replays = w.flying.values().filter(|f| f.attempt.trigger == Trigger::Replay).count();
            assert!(replays <= 4, "{replays} at once");
        }
    }
    run(&mut w, secs(2));
    for (at, attempt) in w.starts[begun..].iter().filter(|(_, a)| a.run == 0) {
        let waited = at.since(attempt.event.accepted_at);
        assert!(waited < ms(5), "{waited:?} after acceptance");
    }
    assert_eq!(replayed(&w).len(), 60);
}

#[test]
fn failures_of_a_replay_are_not_charged_to_the_endpoint_also_after_a_restart() {
    let mut w = world(|p| {
        p.disable_after = Some(secs(5));
        p.schedule = [secs(1), secs(8)].into();
    });
    w.mode(1, Mode::Always(Answer::status(400)));
    for _ in 0..25 {
        w.publish(vec![event(None)]);
        w.answers(1, [Answer::status(400), Answer::ok()]);
        w.publish(vec![event(None)]);
        run(&mut w, ms(200));
    }
    w.put(1, |p| p.target = 2);
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(60));
    let all = ReplayFilter { statuses: Statuses::of(Status::ALL), ..missed() };
    let begun = w.starts.len();
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    let (id, _) = w.replay(1, all, 100);
    run(&mut w, ms(1_800));
    w.crash();
    run(&mut w, secs(60));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 50, 0, 0));
    assert!(w.starts.len() - begun >= 150, "each was tried three times");
    assert!(w.starts[begun..].iter().all(|(_, a)| a.trigger == Trigger::Replay));
    assert!(w.store.rows.values().all(|row| row.reason == Some(Reason::ScheduleExhausted)));
    assert_eq!(state(&w), State::Active);
    let health = &w.store.endpoints[&EndpointNo(1)].health;
    assert_eq!((health.failing_since, health.tripped_at), (None, None));
    // What is published now is charged as ever.
    w.publish((0..6).map(|_| event(None)).collect());
    run(&mut w, secs(2));
    assert!(matches!(state(&w), State::Tripped { .. }));
}

#[test]
fn a_receiver_that_is_gone_or_wants_no_more_is_heard_and_the_replay_fails() {
    for answer in [Answer::status(410), Answer { directive: Some(Directive::Disable), ..Answer::status(400) }]
    {
        let mut w = world(|_| {});
        fail(&mut w, 10);
        w.mode(1, Mode::Always(answer));
        let (id, _) = w.replay(1, missed(), 100);
        run(&mut w, secs(5));
        assert!(matches!(state(&w), State::Disabled { .. }));
        let progress = progress(&w, &id);
        assert_eq!(progress.state, ReplayState::Failed(Reason::EndpointDisabled));
        assert!(progress.done < 10, "{progress:?}");
        assert!(w.store.rows.values().all(|row| !row.pending()));
        // Another one is not taken before a test has succeeded.
        let (_, call) = w.replay(1, missed(), 100);
        run(&mut w, ms(100));
        assert!(matches!(w.replies[&call], Reply::Conflict(_)), "{:?}", w.replies[&call]);
        w.mode(1, Mode::Always(Answer::ok()));
        w.test(1, &Answer::ok());
        run(&mut w, ms(100));
        let (id, _) = w.replay(1, missed(), 100);
        run(&mut w, secs(2));
        assert_eq!(counts(&w, &id), (ReplayState::Done, 10, 0, 0));
    }
}

#[test]
fn a_receiver_s_wish_to_be_left_alone_holds_a_replay_too() {
    let mut w = world(|_| {});
    fail(&mut w, 10);
    w.answers(1, [Answer { retry_after: Some(secs(60)), ..Answer::status(503) }]);
    let (id, _) = w.replay(1, missed(), 1_000);
    run(&mut w, secs(50));
    assert!(progress(&w, &id).done <= 8, "{:?}", progress(&w, &id));
    run(&mut w, secs(30));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 10, 0, 0));
}

#[test]
fn a_paused_endpoint_holds_its_replay_until_it_is_resumed() {
    let mut w = world(|_| {});
    fail(&mut w, 10);
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    let (id, call) = w.replay(1, missed(), 100);
    run(&mut w, secs(60));
    assert_eq!(w.replies[&call], Reply::Done);
    assert_eq!(counts(&w, &id), (ReplayState::Running, 0, 0, 0));
    w.crash();
    run(&mut w, secs(60));
    w.put(1, |p| p.enabled = true);
    run(&mut w, secs(2));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 10, 0, 0));
}

#[test]
fn a_tripped_endpoint_with_nothing_but_a_replay_is_probed_and_comes_back() {
    let mut w = world(|_| {});
    fail(&mut w, 12);
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..6).map(|_| event(None)).collect());
    run(&mut w, secs(2));
    assert!(matches!(state(&w), State::Tripped { .. }));
    let positions: Vec<Position> =
        w.store.rows.values().filter(|r| r.pending()).map(|r| r.delivery.position).collect();
    for position in positions {
        w.cancel(position);
    }
    run(&mut w, secs(1));
    let (id, _) = w.replay(1, ReplayFilter { sequence_to: Some(24), ..missed() }, 100);
    run(&mut w, secs(200));
    assert!(progress(&w, &id).done <= 4, "a few candidates: {:?}", progress(&w, &id));
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(400));
    assert_eq!(state(&w), State::Active);
    assert_eq!(counts(&w, &id), (ReplayState::Done, 12, 0, 0));
}

#[test]
fn deliveries_of_a_key_go_again_one_at_a_time_in_their_order_behind_what_waits() {
    let mut w = world(|p| p.ordered = true);
    fail(&mut w, 30);
    w.mode(1, Mode::Always(Answer::ok().after(ms(40))));
    let begun = w.starts.len();
    w.replay(1, missed(), 1_000);
    for _ in 0..20 {
        w.publish(vec![event(Some("k1"))]);
        run(&mut w, ms(20));
    }
    run(&mut w, secs(5));
    for key in 0..5 {
        let key = format!("k{key}");
        let sent: Vec<u64> = w.starts[begun..]
            .iter()
            .filter(|(_, a)| a.trigger == Trigger::Replay && a.event.key.as_deref() == Some(&*key))
            .map(|(_, a)| a.delivery.sequence)
            .collect();
        assert!(sent.is_sorted() && sent.len() == 6, "{key}: {sent:?}");
    }
    assert!(w.store.rows.values().all(|row| row.status == Status::Succeeded));
}

#[test]
fn keys_that_are_held_back_do_not_hold_up_the_replay_of_the_others() {
    let mut w = world(|p| {
        p.ordered = true;
        p.schedule = [secs(1), secs(3_000)].into();
    });
    for n in 0..40 {
        w.answers(
            1,
            [Answer { directive: Some(Directive::AbortMessage), ..Answer::status(400) }, Answer::ok()],
        );
        w.publish(vec![event(Some(&format!("k{}", n % 10))), event(None)]);
        run(&mut w, ms(100));
    }
    w.mode(1, Mode::Poison("k3".into()));
    let (id, _) = w.replay(1, missed(), 1_000);
    run(&mut w, secs(10));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 40, 0, 0));
    let waiting: Vec<&Row> = w.store.rows.values().filter(|row| row.pending()).collect();
    assert!(waiting.len() == 4 && waiting.iter().all(|row| row.event.key.as_deref() == Some("k3")));
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(4_000));
    assert!(w.store.rows.values().all(|row| row.status == Status::Succeeded && row.replayed <= 1));
}

#[test]
fn a_replay_that_is_cancelled_lets_nothing_more_go() {
    let mut w = world(|_| {});
    fail(&mut w, 10);
    let (id, _) = w.replay(1, missed(), 2);
    run(&mut w, secs(2));
    let call = w.cancel_replay(&id);
    run(&mut w, secs(10));
    assert_eq!(w.replies[&call], Reply::Done);
    let (state, done, ..) = counts(&w, &id);
    assert!(state == ReplayState::Cancelled && (4..=5).contains(&done), "{state:?} {done}");
    assert_eq!((replayed(&w).len() as u64, w.node.memory()), (done, (0, 0)));
    let call = w.cancel_replay(&id);
    run(&mut w, secs(1));
    assert_eq!(w.replies[&call], Reply::Conflict(NOT_RUNNING));
}

#[test]
fn a_removed_endpoint_ends_its_replays() {
    let mut w = world(|_| {});
    fail(&mut w, 10);
    let (id, _) = w.replay(1, missed(), 2);
    run(&mut w, secs(2));
    w.delete(1);
    run(&mut w, secs(10));
    assert_eq!(progress(&w, &id).state, ReplayState::Failed(Reason::EndpointDeleted));
    assert_eq!(w.node.standing(TENANT, EndpointNo(1)), None);
    let (_, call) = w.replay(1, missed(), 2);
    run(&mut w, secs(1));
    assert!(matches!(w.replies[&call], Reply::Conflict(_)));
}

#[test]
fn no_more_replays_run_at_once_than_an_endpoint_and_a_tenant_may_have() {
    let mut w = world(|_| {});
    for no in 2..=5 {
        w.put(no, |_| {});
    }
    run(&mut w, secs(1));
    fail(&mut w, 3);
    let refused = |w: &World, call| matches!(w.replies[&call], Reply::Conflict(_));
    let all = ReplayFilter { statuses: Statuses::of(Status::ALL), ..missed() };
    for no in 1..=4 {
        for _ in 0..4 {
            let (_, call) = w.replay(no, all.clone(), 1);
            run(&mut w, ms(20));
            assert!(!refused(&w, call));
        }
        let (_, call) = w.replay(no, all.clone(), 1);
        run(&mut w, ms(20));
        assert!(refused(&w, call), "five of one endpoint");
    }
    let (_, call) = w.replay(5, all.clone(), 1);
    run(&mut w, ms(20));
    assert!(refused(&w, call), "seventeen of one tenant");
    run(&mut w, secs(60));
    assert!(w.store.replays.values().all(|(_, progress)| progress.state == ReplayState::Done));
    let (_, call) = w.replay(5, all, 1);
    run(&mut w, ms(20));
    assert!(!refused(&w, call));
}

#[test]
fn whenever_it_crashes_each_delivery_has_gone_once_and_the_counts_are_right() {
    for crash_at in (0..400).step_by(7) {
        let mut w = world(|_| {});
        w.mode(1, Mode::Always(Answer { directive: Some(Directive::AbortMessage), ..Answer::status(400) }));
        w.publish((0..15).map(|_| event(None)).collect());
        run(&mut w, secs(1));
        w.mode(1, Mode::Always(Answer::ok()));
        let (id, _) = w.replay(1, missed(), 50);
        run(&mut w, ms(crash_at));
        w.crash();
        run(&mut w, secs(20));
        let Some((_, progress)) = w.store.replays.get(&id) else {
            assert!(crash_at < 10, "it was durable after {crash_at} ms");
            continue;
        };
        assert_eq!((progress.state, progress.done), (ReplayState::Done, 15), "crashed after {crash_at} ms");
        assert!(w.store.rows.values().all(|row| row.replayed == 1 && row.status == Status::Succeeded));
    }
}

#[test]
fn a_replay_waits_for_memory_and_its_deliveries_do_not_fill_it() {
    let mut w = World::new(5, NodeConfig { window_entries: 64, ..NodeConfig::default() });
    w.put(1, |p| (p.enabled, p.pause_skips) = (false, true));
    run(&mut w, secs(1));
    w.publish((0..500).map(|_| event(None)).collect());
    run(&mut w, secs(1));
    w.put(1, |p| p.enabled = true);
    run(&mut w, secs(1));
    let (id, _) = w.replay(1, missed(), 1_000);
    run(&mut w, secs(60));
    assert_eq!(counts(&w, &id), (ReplayState::Done, 500, 0, 0));
    assert!(w.most_memory <= 64, "{}", w.most_memory);
}
