//! What the operator is told: what, how often, and that every case is counted whatever crashes.

use std::time::Duration;

use postrider_core::id::EndpointNo;
use postrider_core::node::NodeConfig;
use postrider_core::operational::Kind;
use postrider_core::record::{ErrorKind, Reason, Trigger};
use postrider_sim::guarantee::Guarantee;
use postrider_sim::told::{OPERATOR, check, told};
use postrider_sim::world::{Answer, Mode, World, event, missed, ms, secs};

fn world() -> World {
    let mut world = World::new(7, NodeConfig { jitter_permille: 0, ..NodeConfig::default() });
    world.tell(OPERATOR);
    world.put(1, |policy| policy.schedule = [].into());
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

/// Kind, reason and count of what was told.
fn told_of(world: &World) -> Vec<(Kind, String, u64)> {
    told(world).into_iter().map(|n| (n.kind, n.reason.into_owned(), n.count)).collect()
}

#[test]
fn what_befalls_an_endpoint_is_told_once_with_its_reason() {
    let mut w = world();
    w.put(1, |p| p.schedule = [secs(3_000)].into());
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..6).map(|_| event(None)).collect());
    run(&mut w, secs(100));
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(100));
    w.answers(1, [Answer::status(410)]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(100));
    w.test(1, &Answer::ok());
    run(&mut w, secs(100));
    let (id, _) = w.replay(1, missed(), 100);
    run(&mut w, secs(100));
    let expected = [
        (Kind::EndpointTripped, "connect"),
        (Kind::EndpointRecovered, "delivery_succeeded"),
        (Kind::EndpointDisabled, "gone"),
        (Kind::EndpointRecovered, "test_succeeded"),
        (Kind::ReplayFinished, "done"),
    ];
    assert_eq!(told_of(&w), expected.map(|(kind, reason)| (kind, reason.to_owned(), 1)));
    let replay = told(&w).pop().unwrap().replay.unwrap();
    assert_eq!((replay.id, &*replay.state, replay.matched, replay.done), (id, "done", 6, 6));
    assert!(told(&w).iter().all(|n| n.endpoint == Some(EndpointNo(1))));
}

#[test]
fn the_first_of_a_minute_is_told_at_once_and_the_rest_as_one() {
    let mut w = world();
    w.mode(1, Mode::Always(Answer::status(400)));
    for _ in 0..10 {
        w.publish(vec![event(None)]);
        w.answers(1, [Answer::status(400), Answer::ok()]);
        w.publish(vec![event(None)]);
        run(&mut w, secs(1));
    }
    let failed = |count| (Kind::DeliveryFailed, "schedule_exhausted".to_owned(), count);
    assert_eq!(told_of(&w), [failed(1)]);
    run(&mut w, secs(55));
    assert_eq!(told_of(&w), [failed(1), failed(9)]);
    let rest = told(&w).pop().unwrap();
    assert!(rest.until.since(rest.since) > secs(7), "{rest:?}");
    assert_eq!(w.store.rows[&rest.delivery.unwrap()].reason, Some(Reason::ScheduleExhausted));
    check(&w);
}

#[test]
fn skipped_and_expired_deliveries_are_told() {
    let mut w = World::new(3, NodeConfig { backlog_max: 3, pending_max: secs(500), ..NodeConfig::default() });
    w.tell(OPERATOR);
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    w.publish((0..5).map(|_| event(None)).collect());
    run(&mut w, secs(100));
    let skipped = |count| (Kind::DeliverySkipped, "backlog_full".to_owned(), count);
    assert_eq!(told_of(&w), [skipped(1), skipped(1)]);
    run(&mut w, secs(700));
    let expired = |count| (Kind::DeliveryExpired, "expired".to_owned(), count);
    assert_eq!(told_of(&w)[2..], [expired(1), expired(2)]);
    check(&w);
}

#[test]
fn abuse_a88_an_operator_s_endpoint_that_fails_on_what_it_is_told_causes_nothing_further() {
    let mut w = world();
    w.put_for(50, OPERATOR, |p| p.schedule = [secs(1)].into());
    run(&mut w, secs(1));
    w.mode(50, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.mode(1, Mode::Always(Answer::status(400)));
    for _ in 0..3 {
        w.publish(vec![event(None)]);
        run(&mut w, secs(70));
    }
    run(&mut w, secs(4_000));
    let failed = (Kind::DeliveryFailed, "schedule_exhausted".to_owned(), 1);
    assert_eq!(told_of(&w), [failed.clone(), failed.clone(), failed]);
    assert!(w.store.notices.is_empty());
    let own = w.store.rows.values().filter(|row| row.delivery.tenant == OPERATOR);
    assert!(own.clone().count() == 3 && own.clone().all(|row| row.reason.is_some() || row.pending()));
}

#[test]
fn every_case_is_counted_whenever_it_crashes() {
    for crash_at in (0..200).step_by(3) {
        let mut w = world();
        w.habits.commit_us = 20_000;
        w.mode(1, Mode::Always(Answer::status(400).after(ms(10))));
        w.publish((0..15).map(|_| event(None)).collect());
        run(&mut w, ms(crash_at));
        w.crash();
        run(&mut w, secs(200));
        check(&w);
        assert!(w.store.notices.is_empty());
        assert!(w.starts.iter().all(|(_, a)| a.trigger != Trigger::Test));
    }
}
