//! Clocks that were wrong, outages of ours, and what a start has to find out: time must not be lost, and none be counted
//! that was not there.

use std::time::Duration;

use postrider_core::id::EndpointNo;
use postrider_core::node::NodeConfig;
use postrider_core::policy::Policy;
use postrider_core::record::Status;
use postrider_core::replay::{ReplayState, Statuses};
use postrider_sim::guarantee::Guarantee;
use postrider_sim::world::{Answer, Mode, TENANT, World, event, missed, ms, secs};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn with_endpoint(change: impl FnOnce(&mut Policy)) -> World {
    let mut world = World::new(7, NodeConfig { jitter_permille: 0, ..NodeConfig::default() });
    world.put(1, change);
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

#[test]
fn what_a_wrong_clock_put_off_comes_forward_to_the_longest_wait_that_there_is() {
    for ordered in [false, true] {
        let mut w = with_endpoint(|p| {
            p.ordered = ordered;
            p.schedule = [secs(HOUR)].into();
        });
        w.mode(1, Mode::Always(Answer::status(500)));
        // More than one page of them.
        w.publish((0..600).map(|n| event(Some(&format!("k{n}")))).collect());
        for _ in 0..40 {
            w.answers(1, [Answer::ok()]);
            run(&mut w, ms(100));
        }
        w.put(1, |p| p.target = 2);
        w.mode(1, Mode::Always(Answer::ok()));
        run(&mut w, secs(30));
        w.mode(1, Mode::Poison("late".into()));
        w.publish(vec![event(Some("late")), event(Some("late"))]);
        run(&mut w, secs(5));
        w.crash_at(w.now - secs(300 * DAY));
        w.mode(1, Mode::Always(Answer::ok()));
        run(&mut w, secs(DAY + 60));
        let left: Vec<_> = w.store.rows.values().filter(|row| row.status != Status::Succeeded).collect();
        assert!(left.is_empty(), "ordered {ordered}: {} are left", left.len());
    }
}

#[test]
fn retries_that_are_due_at_one_time_do_not_fill_memory() {
    let mut w = World::new(7, NodeConfig { window_entries: 64, ..NodeConfig::default() });
    for no in [1, 2] {
        w.put(no, |p| {
            p.schedule = [secs(HOUR)].into();
            p.max_in_flight = 1;
        });
        w.mode(no, Mode::Flaky(950));
    }
    run(&mut w, secs(2));
    w.publish((0..400).map(|_| event(None)).collect());
    run(&mut w, secs(1_000));
    // All of them are put off to one time.
    w.crash_at(w.now - secs(300 * DAY));
    for no in [1, 2] {
        w.mode(no, Mode::Always(Answer::ok().after(secs(1))));
    }
    run(&mut w, secs(DAY + 1_000));
    assert!(w.store.rows.values().all(|row| row.status == Status::Succeeded));
    assert!(w.most_memory <= 64 + 2 * 24, "{}", w.most_memory);
}

#[test]
fn a_retry_that_is_not_too_far_off_stays_where_it_is() {
    let mut w = with_endpoint(|p| p.schedule = [secs(HOUR)].into());
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(5));
    let place = w.store.rows.values().next().map(|row| row.place);
    w.crash();
    run(&mut w, secs(60));
    assert_eq!(w.store.rows.values().next().map(|row| row.place), place);
    run(&mut w, secs(HOUR));
    assert_eq!(w.starts.len(), 2);
}

#[test]
fn a_replay_counts_right_though_the_clock_went_back() {
    let mut w = with_endpoint(|p| p.schedule = [].into());
    w.mode(1, Mode::Always(Answer::status(400)));
    w.publish((0..10).map(|_| event(None)).collect());
    run(&mut w, secs(2));
    w.crash_at(w.now - secs(HOUR));
    run(&mut w, secs(2));
    // The first comes back at once, before the replay gets to it; it ended after the replay was made.
    let (id, _) = w.replay(1, missed(), 1);
    w.mode(1, Mode::Always(Answer::status(400)));
    run(&mut w, secs(60));
    let progress = w.store.replays[&id].1;
    assert_eq!((progress.state, progress.done, progress.skipped), (ReplayState::Done, 10, 0));
    let all = postrider_core::replay::ReplayFilter { statuses: Statuses::of(Status::ALL), ..missed() };
    let (id, _) = w.replay(1, all, 1_000);
    run(&mut w, secs(60));
    assert_eq!(w.store.replays[&id].1.done, 10);
    assert!(w.groups.windows(2).all(|pair| pair[0].at <= pair[1].at), "groups bear rising times");
}

#[test]
fn what_is_pending_is_counted_exactly_though_it_changes_while_the_store_counts() {
    for seed in 0..40 {
        let mut w = World::new(seed, NodeConfig::default());
        w.put(1, |p| p.max_in_flight = 2);
        run(&mut w, secs(1));
        w.mode(1, Mode::Always(Answer::ok().after(ms(3))));
        w.publish((0..200).map(|_| event(None)).collect());
        run(&mut w, ms(60));
        w.habits.read_us = 40_000;
        w.crash();
        for _ in 0..10 {
            w.publish((0..3).map(|_| event(None)).collect());
            run(&mut w, ms(7));
        }
        w.put(1, |p| p.enabled = false);
        run(&mut w, secs(1));
        let owed = w.store.pending[&EndpointNo(1)].len() as u64;
        assert!(owed > 20, "{owed}");
        w.check_counts();
        assert_eq!(w.node.pending(TENANT), owed);
    }
}

/// A world in which a key is held back, and our own network is dead for a while.
fn held_back() -> World {
    let mut w = with_endpoint(|p| {
        p.ordered = true;
        p.hold_max = secs(60);
        p.schedule = [secs(HOUR)].into();
    });
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(10));
    w.habits.network_down = true;
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert!(w.node.own_fault());
    w
}

#[test]
fn an_overdue_key_wakes_nobody_while_our_network_is_dead() {
    let mut w = held_back();
    let before = w.inputs;
    run(&mut w, secs(1_000));
    // A trial every five seconds, and what comes of it.
    assert!(w.inputs - before < 1_000, "{} inputs", w.inputs - before);
    assert_eq!(w.starts.iter().filter(|(_, a)| a.event.key.is_some()).count(), 1);
    w.habits.network_down = false;
    run(&mut w, secs(45));
    assert_eq!(w.starts.iter().filter(|(_, a)| a.event.key.is_some()).count(), 1, "50 seconds to go");
    run(&mut w, secs(15));
    assert_eq!(w.starts.iter().filter(|(_, a)| a.event.key.is_some()).count(), 2);
}

#[test]
fn an_outage_of_ours_does_not_count_for_a_held_key_whatever_is_edited_in_it() {
    let mut w = held_back();
    run(&mut w, secs(30));
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(300));
    w.put(1, |p| p.enabled = true);
    run(&mut w, secs(300));
    w.habits.network_down = false;
    run(&mut w, secs(40));
    assert_eq!(w.starts.iter().filter(|(_, a)| a.event.key.is_some()).count(), 1);
    run(&mut w, secs(20));
    assert_eq!(w.starts.iter().filter(|(_, a)| a.event.key.is_some()).count(), 2);
}
