//! One behaviour each, in a world where everything else works.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::event::Sample;
use postrider_core::filter::{Entrant, Filters, Screen};
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::matching::{self, Candidate};
use postrider_core::node::{
    CHANGING, Directive, Effects, Input, Load, Node, NodeConfig, PageRead, Reply, Restored, State, What,
};
use postrider_core::policy::Policy;
use postrider_core::publication::{Publication, Receipt, Refusal};
use postrider_core::record::{ErrorKind, Health, KeyHash, Reason, Status, Trigger};
use postrider_core::subscription::Pattern;
use postrider_core::tenant::Quotas;
use postrider_core::time::Timestamp;
use postrider_sim::guarantee::Guarantee;
use postrider_sim::store::Row;
use postrider_sim::world::{Answer, Mode, TENANT, World, event, ms, policy, secs};

fn world() -> World {
    World::new(7, NodeConfig { jitter_permille: 0, ..NodeConfig::default() })
}

/// A world with one endpoint.
fn with_endpoint(change: impl FnOnce(&mut postrider_core::policy::Policy)) -> World {
    let mut world = world();
    world.put(1, change);
    run(&mut world, secs(2));
    world
}

fn run(world: &mut World, time: Duration) {
    let until = world.now + time;
    for _ in 0..200_000 {
        if !world.advance_until(until) {
            return;
        }
    }
    world.fail(Guarantee::Alive, "it does not come to rest");
}

fn published(world: &World, call: u64) -> &[Result<Receipt, Refusal>] {
    match world.replies.get(&call) {
        Some(Reply::Published(answers)) => answers,
        other => panic!("{other:?}"),
    }
}

fn only(world: &World) -> &Row {
    assert_eq!(world.store.rows.len(), 1);
    world.store.rows.values().next().unwrap()
}

fn state(world: &World, no: u32) -> State {
    world.node.standing(TENANT, EndpointNo(no)).unwrap().state
}

/// Times between the starts of attempts, in milliseconds.
fn gaps(world: &World) -> Vec<u64> {
    world.starts.windows(2).map(|w| u64::try_from(w[1].0.since(w[0].0).as_millis()).unwrap()).collect()
}

fn keyed(key: u128, body: u128) -> Publication {
    Publication { idempotency: Some(KeyHash(key)), body: Some(KeyHash(body)), ..event(None) }
}

fn owned(id: &str, body: u128) -> Publication {
    Publication { own_id: Some(id.into()), body: Some(KeyHash(body)), ..event(None) }
}

#[test]
fn a_failing_delivery_is_tried_by_its_schedule_and_then_has_failed() {
    let mut w = with_endpoint(|_| {});
    w.mode(1, Mode::Always(Answer::status(500)));
    w.publish(vec![event(None)]);
    run(&mut w, secs(3_000));
    assert_eq!(gaps(&w), [5_005, 300_005, 1_800_005]);
    let row = only(&w);
    assert_eq!((row.status, row.reason), (Status::Failed, Some(Reason::ScheduleExhausted)));
    assert_eq!(w.node.memory(), (0, 0));
}

#[test]
fn delays_lie_within_their_jitter_and_differ() {
    let mut w = World::new(9, NodeConfig::default());
    w.put(1, |p| p.schedule = [secs(100)].into());
    run(&mut w, secs(1));
    let answer = |n: u32| if n.is_multiple_of(2) { Answer::status(500) } else { Answer::ok() };
    for n in 0..60 {
        w.answers(1, [answer(0)]);
        w.publish(vec![event(None)]);
        run(&mut w, secs(200 + n));
    }
    let delays: Vec<u64> = gaps(&w).into_iter().step_by(2).collect();
    assert!(delays.iter().all(|d| (80_000..=120_100).contains(d)), "{delays:?}");
    assert!(delays.iter().any(|d| *d < 90_000) && delays.iter().any(|d| *d > 110_000), "{delays:?}");
}

#[test]
fn retry_after_holds_the_endpoint_and_the_delivery() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer { retry_after: Some(secs(120)), ..Answer::status(503) }]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    w.publish(vec![event(None)]);
    run(&mut w, secs(110));
    assert_eq!(w.starts.len(), 1);
    assert_eq!(w.node.memory(), (0, 0), "what cannot be used soon is not kept in memory");
    run(&mut w, secs(15));
    assert_eq!(w.starts.len(), 3);
    assert!(w.starts[1].0.since(w.starts[0].0) >= secs(120));
}

#[test]
fn retry_after_holds_the_endpoint_for_an_hour_at_most_and_the_delivery_for_longer() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer { retry_after: Some(secs(4 * 3_600)), ..Answer::status(503) }]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    w.publish(vec![event(None)]);
    run(&mut w, secs(3_610));
    assert_eq!(w.starts.len(), 2);
    assert_eq!(w.starts[1].1.delivery.sequence, 2);
    run(&mut w, secs(4 * 3_600));
    assert_eq!(w.starts.len(), 3);
    assert!(w.starts[2].0.since(w.starts[0].0) >= secs(4 * 3_600));
}

#[test]
fn gone_disables_the_endpoint_and_its_pending_work_ends_as_failed() {
    let mut w = with_endpoint(|p| p.max_in_flight = 1);
    w.answers(1, [Answer::status(410)]);
    w.publish((0..2_500).map(|_| event(None)).collect());
    run(&mut w, secs(5));
    assert_eq!(state(&w, 1), State::Disabled { reason: "gone".to_owned() });
    assert_eq!(w.starts.len(), 1);
    for row in w.store.rows.values() {
        assert_eq!((row.status, row.reason), (Status::Failed, Some(Reason::EndpointDisabled)));
    }
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(w.store.rows.values().last().unwrap().status, Status::Skipped);
    // A successful test brings it back.
    let call = w.test(1, &Answer::ok());
    run(&mut w, secs(1));
    assert!(matches!(w.replies[&call], Reply::Tested(_)));
    assert_eq!(state(&w, 1), State::Active);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(w.store.rows.values().last().unwrap().status, Status::Succeeded);
}

#[test]
fn gone_is_only_a_failure_where_it_does_not_disable() {
    let mut w = with_endpoint(|p| p.gone_disables = false);
    w.answers(1, [Answer::status(410)]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(10));
    assert_eq!(only(&w).status, Status::Succeeded);
}

#[test]
fn what_a_receiver_asks_for_is_done() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer { directive: Some(Directive::AbortMessage), ..Answer::status(400) }]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(only(&w).reason, Some(Reason::AbortedByReceiver));
    assert_eq!(state(&w, 1), State::Active);
    w.answers(1, [Answer { directive: Some(Directive::Disable), ..Answer::status(400) }]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(state(&w, 1), State::Disabled { reason: "requested_by_receiver".to_owned() });
}

#[test]
fn an_endpoint_that_only_fails_is_disabled_in_time() {
    let mut w = with_endpoint(|p| p.disable_after = Some(secs(1_000)));
    w.mode(1, Mode::Always(Answer::status(500)));
    w.publish(vec![event(None)]);
    run(&mut w, secs(900));
    assert_eq!(state(&w, 1), State::Active);
    run(&mut w, secs(2_000));
    assert_eq!(state(&w, 1), State::Disabled { reason: "failing".to_owned() });
    assert_eq!(only(&w).reason, Some(Reason::EndpointDisabled));
}

#[test]
fn five_connection_failures_trip_it_and_probes_go_round_without_using_steps() {
    let mut w = with_endpoint(|p| p.schedule = [secs(1), secs(1)].into());
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..8).map(|_| event(None)).collect());
    run(&mut w, secs(400));
    assert!(matches!(state(&w, 1), State::Tripped { .. }));
    let probes: Vec<_> = w.starts.iter().filter(|(_, a)| a.trigger == Trigger::Probe).collect();
    assert!(probes.len() >= 5, "{}", probes.len());
    let waits: Vec<u64> = probes.windows(2).map(|p| p[1].0.since(p[0].0).as_secs()).collect();
    assert_eq!(waits[..4], [10, 20, 40, 80]);
    assert!(probes.windows(2).all(|p| p[0].1.delivery.position != p[1].1.delivery.position));
    assert!(w.store.rows.values().all(Row::pending), "a probe uses up no step");
    // One success is enough; then it starts small.
    w.mode(1, Mode::Always(Answer::ok().after(secs(1))));
    run(&mut w, secs(400));
    assert_eq!(state(&w, 1), State::Active);
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
}

#[test]
fn one_poisonous_delivery_cannot_keep_an_endpoint_tripped() {
    for ordered in [false, true] {
        let mut w = with_endpoint(|p| p.ordered = ordered);
        w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
        w.publish(vec![event(Some("bad"))]);
        w.publish((0..10).map(|n| event(Some(&format!("good{n}")))).collect());
        run(&mut w, secs(3));
        assert!(matches!(state(&w, 1), State::Tripped { .. }));
        w.mode(1, Mode::Poison("bad".into()));
        run(&mut w, secs(60));
        assert_eq!(state(&w, 1), State::Active, "ordered: {ordered}");
    }
}

#[test]
fn a_tripped_endpoint_is_probed_after_a_restart_and_its_schedules_stood_still() {
    let mut w = with_endpoint(|_| {});
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..6).map(|_| event(None)).collect());
    run(&mut w, secs(60));
    w.crash();
    assert!(matches!(state(&w, 1), State::Tripped { .. }));
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(10));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
}

#[test]
fn a_dead_network_of_ours_charges_nobody() {
    let mut w = with_endpoint(|_| {});
    w.put(2, |p| p.ordered = true);
    run(&mut w, secs(1));
    w.habits.network_down = true;
    w.publish((0..20).map(|n| event(Some(&format!("k{}", n % 3)))).collect());
    run(&mut w, secs(600));
    assert!(w.node.own_fault());
    let tried = w.starts.len();
    assert!(tried < 200, "{tried} attempts while the network is down");
    assert_eq!((state(&w, 1), state(&w, 2)), (State::Active, State::Active));
    assert!(w.store.rows.values().all(|r| r.pending() && r.progress.attempts == 0 && r.progress.step == 0));
    w.habits.network_down = false;
    run(&mut w, secs(10));
    assert!(!w.node.own_fault());
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded && r.progress.attempts == 1));
}

#[test]
fn a_failing_delivery_holds_back_its_key_only_and_for_hold_max() {
    let mut w = with_endpoint(|p| {
        p.ordered = true;
        p.hold_max = secs(600);
        p.schedule = [secs(5), secs(3_000), secs(3_000)].into();
    });
    w.mode(1, Mode::Poison("bad".into()));
    w.publish(vec![event(Some("bad")), event(Some("bad")), event(Some("good")), event(None)]);
    run(&mut w, secs(500));
    let tried =
        |w: &World, sequence| w.starts.iter().filter(|(_, a)| a.delivery.sequence == sequence).count();
    assert_eq!([tried(&w, 1), tried(&w, 2), tried(&w, 3), tried(&w, 4)], [2, 0, 1, 1]);
    run(&mut w, secs(120));
    assert_eq!(tried(&w, 2), 2, "its successor proceeds");
    let head = w.store.rows.values().next().unwrap();
    assert!(head.progress.overtaken && head.pending() && !head.progress.blocking);
    run(&mut w, secs(8_000));
    assert_eq!(tried(&w, 1), 4);
}

#[test]
fn the_hold_runs_only_while_the_endpoint_can_be_attempted() {
    let mut w = with_endpoint(|p| {
        p.ordered = true;
        p.hold_max = secs(600);
        p.schedule = [secs(3_000)].into();
    });
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(300));
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(2_000));
    assert_eq!(w.starts.len(), 1);
    w.put(1, |p| p.enabled = true);
    run(&mut w, secs(290));
    assert_eq!(w.starts.len(), 1, "590 s held");
    run(&mut w, secs(15));
    assert_eq!(w.starts.len(), 2);
}

#[test]
fn a_pause_holds_what_comes_and_a_resume_delivers_it() {
    let mut w = with_endpoint(|_| {});
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    w.publish((0..10).map(|_| event(None)).collect());
    run(&mut w, secs(10));
    assert_eq!((w.starts.len(), w.node.memory()), (0, (0, 0)));
    w.put(1, |p| p.enabled = true);
    run(&mut w, secs(1));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
    w.put(1, |p| (p.enabled, p.pause_skips) = (false, true));
    run(&mut w, secs(1));
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(w.store.rows.values().last().unwrap().reason, Some(Reason::Paused));
}

#[test]
fn what_comes_while_it_is_not_proven_whose_an_endpoint_is_is_skipped_and_what_it_was_owed_waits() {
    let mut w = with_endpoint(|_| {});
    w.mode(1, Mode::Always(Answer::status(500)));
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(w.starts.len(), 1);
    // It moves: nothing goes to a URL of which nothing is proven.
    w.put(1, |p| (p.verified, p.target) = (false, 2));
    w.publish(vec![event(None)]);
    run(&mut w, secs(1_000));
    assert_eq!(w.starts.len(), 1);
    assert_eq!(w.node.standing(TENANT, EndpointNo(1)).unwrap().state, State::Unverified);
    assert_eq!(w.store.rows.values().last().unwrap().reason, Some(Reason::Unverified));
    w.mode(1, Mode::Always(Answer::ok()));
    w.put(1, |p| p.verified = true);
    run(&mut w, secs(1));
    let status: Vec<_> = w.store.rows.values().map(|row| row.status).collect();
    assert_eq!(status, [Status::Succeeded, Status::Skipped]);
}

#[test]
fn a_type_that_its_tenant_may_not_have_is_skipped_where_it_is_named_and_not_covered_by_wildcards() {
    let mut w = with_endpoint(|p| p.patterns = vec![Pattern::parse("card.used").unwrap()]);
    w.put(2, |p| p.patterns = vec![Pattern::parse("card.*").unwrap()]);
    w.put(3, |_| {});
    let both = ["card.used", "card.*"].map(|text| Pattern::parse(text).unwrap());
    w.put(4, |p| p.patterns = both.into());
    run(&mut w, secs(1));
    let withdrawn = Publication { entitled: false, ..event(None) };
    let call = w.publish(vec![withdrawn, event(None)]);
    run(&mut w, secs(1));
    let owed: Vec<usize> = published(&w, call).iter().map(|r| r.as_ref().unwrap().deliveries).collect();
    assert_eq!(owed, [0, 4]);
    let rows = |no: u32| -> Vec<_> {
        let of = w.store.rows.values().filter(|row| row.delivery.endpoint == EndpointNo(no));
        of.map(|row| (row.delivery.sequence, row.reason)).collect()
    };
    for (no, expected) in [
        (1, vec![(1, Some(Reason::NotEntitled)), (2, None)]),
        (2, vec![(1, None)]),
        (3, vec![(1, None)]),
        (4, vec![(1, Some(Reason::NotEntitled)), (2, None)]),
    ] {
        assert_eq!(rows(no), expected, "endpoint {no}");
    }
}

#[test]
fn a_full_backlog_skips_and_keeps_the_sequence_gapless() {
    let mut w = World::new(3, NodeConfig { backlog_max: 3, ..NodeConfig::default() });
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    let call = w.publish((0..5).map(|_| event(None)).collect());
    run(&mut w, secs(1));
    let owed: Vec<usize> = published(&w, call).iter().map(|r| r.as_ref().unwrap().deliveries).collect();
    assert_eq!(owed, [1, 1, 1, 0, 0]);
    let rows: Vec<_> = w.store.rows.values().map(|r| (r.delivery.sequence, r.reason)).collect();
    assert_eq!(rows[2..], [(3, None), (4, Some(Reason::BacklogFull)), (5, Some(Reason::BacklogFull))]);
}

#[test]
fn what_is_pending_for_too_long_ends_as_expired_all_of_it() {
    let mut w = World::new(3, NodeConfig { pending_max: secs(500_000), ..NodeConfig::default() });
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    w.publish((0..3_500).map(|_| event(None)).collect());
    run(&mut w, secs(499_000));
    assert!(w.store.rows.values().all(Row::pending));
    run(&mut w, secs(10_000));
    assert!(w.store.rows.values().all(|r| r.reason == Some(Reason::Expired)));
}

fn filters(text: &str) -> Option<Arc<Filters>> {
    Filters::parse(text).unwrap().map(Arc::new)
}

fn with_data(attributes: &'static str, data: &'static str) -> Publication {
    Publication {
        attributes: Bytes::from_static(attributes.as_bytes()),
        data: Bytes::from_static(data.as_bytes()),
        ..event(None)
    }
}

#[test]
fn what_a_filter_keeps_out_is_not_owed_and_takes_no_sequence_number() {
    let mut w = with_endpoint(|p| p.filters = filters(r#"{"data":[{"pointer":"/n","op":"gte","value":2}]}"#));
    w.put(2, |p| p.filters = filters(r#"{"attributes":{"kind":["a"]}}"#));
    w.put(3, |_| {});
    run(&mut w, secs(1));
    w.crash();
    let call = w.publish(vec![
        with_data("", r#"{"n":1}"#),
        with_data(r#"{"kind":"a"}"#, r#"{"n":2.0}"#),
        with_data(r#"{"kind":"b"}"#, "3"),
    ]);
    run(&mut w, secs(1));
    let owed: Vec<usize> =
        published(&w, call).iter().map(|answer| answer.as_ref().unwrap().deliveries).collect();
    assert_eq!(owed, [1, 3, 1]);
    let sequence = |w: &World, no| w.node.standing(TENANT, EndpointNo(no)).unwrap().sequence;
    assert_eq!([1, 2, 3].map(|no| sequence(&w, no)), [1, 1, 3]);
    // A change of the filters holds for what comes after it.
    w.put(1, |p| p.filters = None);
    w.put(3, |p| p.filters = filters(r#"{"data":[{"pointer":"/n","op":"exists","value":true}]}"#));
    w.publish(vec![with_data("", "{}")]);
    run(&mut w, secs(1));
    assert_eq!([1, 2, 3].map(|no| sequence(&w, no)), [2, 1, 3]);
    w.delete(3);
    run(&mut w, secs(1));
    w.publish(vec![with_data("", r#"{"n":1}"#)]);
    run(&mut w, secs(1));
    assert_eq!([1, 2].map(|no| sequence(&w, no)), [3, 1]);
    assert!(w.store.rows.values().all(|row| row.status == Status::Succeeded));
}

#[test]
fn an_event_of_a_type_that_conditions_are_not_for_is_owed_without_being_asked() {
    let mut w = world();
    let text = r#"{"event_types":["account.*"],"attributes":{"k":["a"]}}"#;
    w.put(1, |p| p.filters = filters(text));
    w.put(2, |p| p.filters = filters(r#"{"event_types":["card.*"],"attributes":{"k":["a"]}}"#));
    run(&mut w, secs(1));
    let mut owed = |attributes| {
        let call = w.publish(vec![with_data(attributes, "1")]);
        run(&mut w, secs(1));
        published(&w, call)[0].as_ref().unwrap().deliveries
    };
    assert_eq!(["", r#"{"k":"b"}"#, r#"{"k":"a"}"#].map(&mut owed), [1, 1, 2]);
}

#[test]
fn what_was_judged_before_holds_where_the_endpoint_has_not_changed_since() {
    let mut w = world();
    let wants = |n: u32| filters(&format!(r#"{{"data":[{{"pointer":"/n","op":"gte","value":{n}}}]}}"#));
    w.put(1, |p| p.filters = wants(2));
    w.put(2, |p| p.filters = wants(2));
    w.put(3, |_| {});
    run(&mut w, secs(1));
    let entrant = |no| Entrant {
        no: EndpointNo(no),
        version: 1,
        patterns: [Pattern::All].into(),
        filters: wants(7).unwrap(),
    };
    // The verdicts are not those that would be found, so that they tell who was asked.
    let screen = Arc::new(Screen::of([1, 2].map(entrant).to_vec()));
    let judged = |data: &'static str| Publication {
        judged: Some(screen.judge("card.used", b"", data.as_bytes())),
        ..with_data("", data)
    };
    let owed = |w: &mut World, data| {
        let call = w.publish(vec![judged(data)]);
        run(w, secs(1));
        published(w, call)[0].as_ref().unwrap().deliveries
    };
    assert_eq!([r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":7}"#].map(|data| owed(&mut w, data)), [1, 1, 3]);
    w.put(2, |p| (p.version, p.filters) = (2, wants(3)));
    w.put(4, |p| p.filters = wants(2));
    run(&mut w, secs(1));
    assert_eq!([r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#].map(|data| owed(&mut w, data)), [1, 2, 3]);
    w.put(1, |p| (p.version, p.filters) = (2, None));
    w.delete(2);
    run(&mut w, secs(1));
    assert_eq!([r#"{"n":1}"#, r#"{"n":7}"#].map(|data| owed(&mut w, data)), [2, 3]);
}

#[test]
fn abuse_a82_a_group_ends_where_filters_have_taken_their_time() {
    let mut w = world();
    let condition = r#"{"pointer":"/n","op":"gte","value":0}"#;
    let many = format!(r#"{{"data":[{},{condition}]}}"#, vec![condition; 18].join(","));
    for no in 1..=200 {
        w.put(no, |p| {
            p.filters = filters(&many.replacen("gte", "lt", 1));
            p.enabled = false;
        });
    }
    run(&mut w, secs(1));
    w.groups.clear();
    let call = w.publish((0..64).map(|_| with_data("", r#"{"n":1}"#)).collect());
    let other = w.publish(vec![Publication { tenant: TenantNo(2), ..event(None) }]);
    run(&mut w, secs(1));
    let owed = |answer: &Result<Receipt, Refusal>| answer.as_ref().unwrap().deliveries;
    assert!(published(&w, call).iter().map(owed).all(|owed| owed == 0));
    assert!(published(&w, other)[0].is_ok());
    let events: Vec<usize> = w.groups.iter().map(|g| g.accepted.len()).filter(|n| *n > 0).collect();
    // One look at each of 200 endpoints, and one at each of its 19 conditions: 65,536 are reached with the 17th event.
    assert_eq!(events, [17, 17, 17, 14]);
}

#[test]
fn who_asks_is_told_whom_an_event_would_be_owed_to_and_what_would_become_of_it() {
    let mut w = world();
    let of_type = |text: &str| vec![Pattern::parse(text).unwrap()];
    w.put(1, |p| p.patterns = of_type("card.*"));
    w.put(2, |p| p.patterns = of_type("account.*"));
    w.put(3, |p| {
        p.filters = filters(r#"{"attributes":{"kind":["a"]},"data":[{"pointer":"/n","op":"gt","value":1}]}"#)
    });
    w.put(4, |p| p.enabled = false);
    w.put(5, |p| (p.enabled, p.pause_skips) = (false, true));
    w.put(6, |_| {});
    w.put(7, |_| {});
    w.put_for(8, TenantNo(2), |_| {});
    w.mode(6, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.answers(7, [Answer::status(410)]);
    w.publish((0..8).map(|_| event(None)).collect());
    run(&mut w, secs(3));
    let judge = |w: &World, body: &str| -> Vec<String> {
        let numbers: Vec<EndpointNo> = (1..=9).map(EndpointNo).collect();
        let sample = Sample::parse(body.as_bytes()).unwrap();
        let candidates = w.node.candidates(TENANT, &sample.event_type, &numbers);
        let judged = |candidate: Option<Candidate>| {
            let judged = matching::judge(&sample, true, &[candidate?]);
            Some(format!("{} {}", judged[0].matches, judged[0].reason))
        };
        candidates.into_iter().map(|candidate| judged(candidate).unwrap_or("unknown".into())).collect()
    };
    assert_eq!(
        judge(&w, r#"{"type":"card.used","attributes":{"kind":"a"},"data":{"n":1.5}}"#),
        [
            "true card.* covers card.used",
            "false no event type of it covers card.used",
            "true * covers card.used, and its filters hold",
            "true * covers card.used; it would be held until the endpoint is enabled",
            "true * covers card.used; it would be skipped: paused",
            "true * covers card.used; it would be held until the endpoint can be reached again",
            "true * covers card.used; it would be skipped: endpoint_disabled",
            "unknown",
            "unknown",
        ]
    );
    for (body, third) in [
        (r#"{"type":"card.used"}"#, "false the attribute kind is missing"),
        (
            r#"{"type":"card.used","attributes":{"kind":"b"}}"#,
            "false the attribute kind has none of the values",
        ),
        (r#"{"type":"card.used","attributes":{"kind":"a"},"data":null}"#, "false /n is missing"),
        (r#"{"type":"card.used","attributes":{"kind":"a"},"data":{"n":1.0}}"#, "false /n is not gt"),
    ] {
        assert_eq!(judge(&w, body)[2], third, "{body}");
    }
    // It says what is done: the event is owed to those, and to nobody else.
    let before: Vec<u64> =
        (1..=7).map(|no| w.node.standing(TENANT, EndpointNo(no)).unwrap().sequence).collect();
    let matches: Vec<bool> = judge(&w, r#"{"type":"card.used","attributes":{"kind":"a"},"data":{"n":2}}"#)
        [..7]
        .iter()
        .map(|j| j.starts_with("true"))
        .collect();
    w.publish(vec![with_data(r#"{"kind":"a"}"#, r#"{"n":2}"#)]);
    run(&mut w, secs(1));
    let owed: Vec<bool> = (1..=7)
        .zip(before)
        .map(|(no, before)| w.node.standing(TENANT, EndpointNo(no)).unwrap().sequence > before)
        .collect();
    assert_eq!(owed, matches);
}

fn refused(answers: &[Result<postrider_core::publication::Receipt, Refusal>], quota: &str) -> Vec<bool> {
    let by_quota =
        |refusal: &Refusal| matches!(refusal, Refusal::OverQuota { quota: name, .. } if *name == quota);
    assert!(answers.iter().all(|answer| answer.as_ref().err().is_none_or(by_quota)), "{answers:?}");
    answers.iter().map(Result::is_err).collect()
}

#[test]
fn abuse_a82_a_tenant_that_owes_what_it_may_owe_gets_nothing_more_accepted_until_something_ends() {
    let mut w = with_endpoint(|_| {});
    w.put(2, |_| {});
    w.put_for(3, TenantNo(2), |_| {});
    w.quotas(TENANT, Quotas { pending: Some(5), ..Quotas::default() });
    w.quotas(TenantNo(2), Quotas::default());
    for no in 1..=3 {
        w.mode(no, Mode::Hang);
    }
    run(&mut w, secs(1));
    // An event is taken whole: the third passes the quota by one.
    let call = w.publish(vec![event(None), event(None), event(None), event(None), keyed(7, 1)]);
    run(&mut w, secs(1));
    assert_eq!(refused(published(&w, call), "pending"), [false, false, false, true, true]);
    assert_eq!(w.node.pending(TENANT), 6);
    let other = w.publish((0..10).map(|_| Publication { tenant: TenantNo(2), ..event(None) }).collect());
    run(&mut w, secs(1));
    assert!(published(&w, other).iter().all(Result::is_ok));
    // What a crash finds pending counts too.
    w.crash();
    run(&mut w, secs(1));
    let call = w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert_eq!(refused(published(&w, call), "pending"), [true]);
    for no in 1..=2 {
        w.mode(no, Mode::Always(Answer::ok()));
    }
    let under_way: Vec<u64> = w.flying.keys().copied().collect();
    under_way.into_iter().for_each(|id| w.finish(id));
    run(&mut w, secs(100));
    assert_eq!(w.node.pending(TENANT), 0);
    let call = w.publish(vec![keyed(7, 1)]);
    run(&mut w, secs(1));
    assert!(published(&w, call)[0].is_ok(), "a key that was refused is still free");
}

#[test]
fn abuse_a82_events_beyond_the_rate_are_refused_and_a_known_key_still_gets_its_answer() {
    let mut w = with_endpoint(|_| {});
    w.quotas(TENANT, Quotas { events_per_second: Some(4), ..Quotas::default() });
    let call = w.publish((0..6_u64).map(|n| keyed(n.into(), 1)).collect());
    run(&mut w, ms(10));
    assert_eq!(refused(published(&w, call), "events_per_second"), [false, false, false, false, true, true]);
    let Err(Refusal::OverQuota { retry_after, allowed, .. }) = published(&w, call)[4] else { panic!() };
    assert!(retry_after <= ms(250) && retry_after > ms(240) && allowed == 4, "{retry_after:?}");
    // Known keys cost nothing, in whatever company.
    let again = w.publish(vec![keyed(0, 1), keyed(9, 1), keyed(3, 1), keyed(0, 2)]);
    run(&mut w, ms(10));
    let answers = published(&w, again);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(
        matches!(answers[1], Err(Refusal::OverQuota { .. }))
            && matches!(answers[3], Err(Refusal::Conflict(_)))
    );
    run(&mut w, ms(500));
    let call = w.publish((0..4).map(|_| event(None)).collect());
    run(&mut w, ms(10));
    assert_eq!(refused(published(&w, call), "events_per_second"), [false, false, true, true]);
    // Another quota is in force for what comes next, and a pause earns a second's worth at most.
    w.quotas(TENANT, Quotas { events_per_second: Some(2), ..Quotas::default() });
    run(&mut w, secs(60));
    let call = w.publish((0..3).map(|_| event(None)).collect());
    run(&mut w, ms(10));
    assert_eq!(refused(published(&w, call), "events_per_second"), [false, false, true]);
    w.quotas(TENANT, Quotas::default());
    let call = w.publish((0..100).map(|_| event(None)).collect());
    run(&mut w, secs(1));
    assert_eq!(refused(published(&w, call), "events_per_second"), [false; 100]);
}

#[test]
fn a_deleted_endpoint_is_cancelled_in_steps_and_forgotten() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.mode(1, Mode::Always(Answer::status(500)));
    w.publish((0..3_000).map(|n| event(Some(&format!("k{}", n % 50)))).collect());
    run(&mut w, ms(50));
    w.delete(1);
    run(&mut w, secs(20));
    assert!(w.store.rows.values().all(|r| !r.pending()));
    assert_eq!(w.node.pending(TENANT), 0);
    assert!(w.store.rows.values().any(|r| r.reason == Some(Reason::EndpointDeleted)));
    assert_eq!(w.node.standing(TENANT, EndpointNo(1)), None);
    assert_eq!(w.node.memory(), (0, 0));
}

#[test]
fn idempotency_is_judged_by_keys_and_bodies() {
    let both = |key, id: &str, body| Publication { idempotency: Some(KeyHash(key)), ..owned(id, body) };
    // (first, second, does the second join the first)
    let table: [(&str, Publication, Publication, Option<bool>); 8] = [
        ("same key, same body", keyed(1, 5), keyed(1, 5), Some(true)),
        ("same key, other body", keyed(1, 5), keyed(1, 6), None),
        ("other key", keyed(1, 5), keyed(2, 5), Some(false)),
        ("same id, same body", owned("a", 5), owned("a", 5), Some(true)),
        ("same id, other body", owned("a", 5), owned("a", 6), None),
        ("same key and id", both(1, "a", 5), both(1, "a", 5), Some(true)),
        ("same key, other id", both(1, "a", 5), both(1, "b", 5), None),
        ("other key, same id", both(1, "a", 5), both(2, "a", 5), None),
    ];
    for (name, first, second, joins) in table {
        // In one call, in one group, while the first is under way, and afterwards.
        for wait in [None, Some(0), Some(700), Some(1_000_000)] {
            let mut w = with_endpoint(|_| {});
            let (one, two) = if let Some(wait) = wait {
                let a = w.publish(vec![first.clone()]);
                run(&mut w, Duration::from_micros(wait));
                let b = w.publish(vec![second.clone()]);
                run(&mut w, secs(1));
                (published(&w, a)[0].clone(), published(&w, b)[0].clone())
            } else {
                let call = w.publish(vec![first.clone(), second.clone()]);
                run(&mut w, secs(1));
                (published(&w, call)[0].clone(), published(&w, call)[1].clone())
            };
            let one = one.unwrap();
            match joins {
                None => assert!(matches!(two, Err(Refusal::Conflict(_))), "{name} after {wait:?}: {two:?}"),
                Some(joins) => assert_eq!(two.unwrap().id == one.id, joins, "{name} after {wait:?}"),
            }
            assert_eq!(w.store.rows.len(), if joins == Some(false) { 2 } else { 1 }, "{name} after {wait:?}");
        }
    }
}

#[test]
fn a_key_and_an_id_of_two_events_are_a_conflict() {
    let mut w = with_endpoint(|_| {});
    w.publish(vec![keyed(1, 5), owned("a", 5)]);
    run(&mut w, secs(1));
    let call = w.publish(vec![Publication { idempotency: Some(KeyHash(1)), ..owned("a", 5) }]);
    run(&mut w, secs(1));
    assert!(matches!(published(&w, call)[0], Err(Refusal::Conflict(_))));
}

#[test]
fn an_event_goes_to_all_who_want_it_and_groups_keep_it_whole() {
    let mut w = World::new(5, NodeConfig { group_rows: 25, ..NodeConfig::default() });
    for no in 1..=10 {
        w.put(no, |_| {});
    }
    run(&mut w, secs(1));
    let before = w.store.number.1;
    let call = w.publish((0..9).map(|_| event(None)).collect());
    run(&mut w, ms(20));
    assert!(published(&w, call).iter().all(|r| r.as_ref().unwrap().deliveries == 10));
    run(&mut w, secs(1));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
    assert!(w.groups.iter().filter(|g| g.number > before).all(|g| {
        let rows: usize = g.accepted.iter().map(|a| 1 + a.deliveries.len()).sum();
        rows < 25 + 11 && g.accepted.iter().all(|a| a.deliveries.len() == 10)
    }));
    assert!(w.groups.iter().filter(|g| !g.accepted.is_empty()).count() >= 3);
}

#[test]
fn abuse_a82_pages_that_may_wait_leave_room_for_those_that_deliveries_wait_for() {
    let now = Timestamp::from_secs(1_000_000);
    let mut node: Node<u64> = Node::new(NodeConfig::default(), Position(1_000), now);
    for no in 1..=40 {
        let restored = Restored {
            no: EndpointNo(no),
            tenant: TENANT,
            policy: Policy { enabled: no > 30, ..policy() },
            deleted: false,
            health: Health::default(),
            last_sequence: 9,
            has_pending: true,
            blocking: Vec::new(),
            held: Vec::new(),
            replays: Vec::new(),
        };
        node.restore(restored, now);
    }
    // Of paused endpoints it is only counted what they owe.
    let (mut read, mut waiting) = (Vec::new(), VecDeque::new());
    let mut effects = Effects::default();
    node.handle(now, Input::Tick, &mut effects);
    loop {
        waiting.extend(std::mem::take(&mut effects.loads));
        let patient = waiting.iter().filter(|load: &&Load| load.what.may_wait()).count();
        assert!(patient <= 4 && waiting.len() <= 16, "{patient} of {}", waiting.len());
        let Some(load) = waiting.pop_front() else { break };
        let page = PageRead {
            load: load.clone(),
            entries: Vec::new(),
            rows: Vec::new(),
            ended: Vec::new(),
            upto: Position::ZERO,
            complete: true,
            watermark: Position(1_000),
            next: None,
            count: 0,
        };
        node.handle(now, Input::Page(Box::new(page)), &mut effects);
        read.push(load);
    }
    let counted: BTreeSet<EndpointNo> =
        read.iter().filter(|load| load.what == What::Count).map(|load| load.endpoint).collect();
    assert_eq!(counted.len(), 40);
    let due = |load: &Load| matches!(load.what, What::Due(_));
    assert!(read.iter().filter(|load| due(load)).count() >= 10);
}

#[test]
fn a_group_is_bounded_in_bytes_unless_one_event_is_larger() {
    let mut w = World::new(5, NodeConfig { group_bytes: 4_000, ..NodeConfig::default() });
    w.put(1, |_| {});
    run(&mut w, secs(1));
    let sized = |n: usize| Publication { data: vec![b'x'; n].into(), ..event(None) };
    w.publish(vec![sized(1_000), sized(1_000), sized(1_000), sized(9_000), sized(10)]);
    run(&mut w, secs(1));
    let events: Vec<usize> = w.groups.iter().map(|g| g.accepted.len()).filter(|n| *n > 0).collect();
    assert_eq!(events, [3, 1, 1]);
}

#[test]
fn a_full_inbox_refuses_and_takes_again_when_it_is_empty() {
    let mut w = World::new(5, NodeConfig { inbox_bytes: 2_000, ..NodeConfig::default() });
    let calls: Vec<u64> = (0..20).map(|_| w.publish(vec![event(None)])).collect();
    let refused = |w: &World, call| matches!(w.replies.get(call), Some(Reply::Overloaded(_)));
    assert!(calls.iter().any(|call| refused(&w, call)));
    run(&mut w, secs(1));
    assert!(!refused(&w, &calls[0]));
    let call = w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert!(published(&w, call)[0].is_ok());
}

#[test]
fn while_the_store_cannot_write_everybody_is_told_and_nothing_is_lost_or_sent_early() {
    let mut w = with_endpoint(|_| {});
    w.habits.commit_fails = 1_000;
    let first = w.publish(vec![event(None)]);
    let second = w.publish(vec![event(None)]);
    run(&mut w, ms(500));
    let overloaded = |w: &World, call| matches!(w.replies.get(call), Some(Reply::Overloaded(_)));
    assert!(overloaded(&w, &first) && overloaded(&w, &second));
    let third = w.publish(vec![event(None)]);
    assert!(overloaded(&w, &third));
    w.habits.commit_fails = 0;
    run(&mut w, secs(1));
    // The group that was under way is committed in the end; what waited behind it is not.
    assert_eq!(only(&w).status, Status::Succeeded);
    let call = w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    assert!(published(&w, call)[0].is_ok());
}

#[test]
fn outcomes_that_are_not_durable_stop_dispatch() {
    let mut w = World::new(5, NodeConfig { undurable_max: 10, ..NodeConfig::default() });
    w.put(1, |_| {});
    run(&mut w, secs(1));
    w.publish((0..100).map(|_| event(None)).collect());
    run(&mut w, ms(2));
    w.habits.commit_fails = 1_000;
    run(&mut w, secs(5));
    assert!(w.starts.len() <= 30, "{}", w.starts.len());
    w.habits.commit_fails = 0;
    run(&mut w, secs(5));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
}

#[test]
fn outcomes_wait_for_a_commit_to_ride_with_unless_a_successor_waits() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.publish(vec![event(Some("a"))]);
    run(&mut w, ms(8));
    let due = w.node.commit_due(w.now).unwrap();
    assert!(due > w.now && due <= w.now + ms(20), "{due:?}");
    run(&mut w, secs(1));
    let before = w.starts.len();
    w.publish(vec![event(Some("a")), event(Some("a"))]);
    run(&mut w, ms(12));
    assert_eq!(w.starts.len(), before + 2, "no 20 ms between them");
}

#[test]
fn a_spilled_endpoint_becomes_live_again() {
    let mut w = World::new(5, NodeConfig { window_entries: 64, ..NodeConfig::default() });
    w.put(1, |_| {});
    run(&mut w, secs(1));
    w.publish((0..2_000).map(|_| event(None)).collect());
    run(&mut w, secs(20));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
    assert!(w.most_memory <= 64 + 16, "{}", w.most_memory);
    let order: Vec<u64> = w.starts.iter().map(|(_, a)| a.delivery.sequence).collect();
    assert!(order.is_sorted());
    let loads = w.loads;
    w.publish((0..10).map(|_| event(None)).collect());
    run(&mut w, secs(1));
    assert_eq!(w.loads, loads, "nothing has to be read back");
}

#[test]
fn a_blocked_key_with_ten_thousand_behind_it_leaves_other_keys_flowing_and_memory_small() {
    let mut w = World::new(5, NodeConfig { window_entries: 256, ..NodeConfig::default() });
    w.put(1, |p| {
        p.ordered = true;
        p.schedule = [secs(7_200)].into();
    });
    run(&mut w, secs(1));
    w.mode(1, Mode::Poison("bad".into()));
    for _ in 0..100 {
        w.publish((0..100).map(|_| event(Some("bad"))).collect());
        w.publish(vec![event(Some("good"))]);
    }
    run(&mut w, secs(60));
    let good: Vec<&Row> = w.store.rows.values().filter(|r| r.event.key.as_deref() == Some("good")).collect();
    assert_eq!(good.len(), 100);
    assert!(good.iter().all(|r| r.status == Status::Succeeded));
    assert!(w.most_memory <= 256 + 64, "{}", w.most_memory);
    let call = w.publish(vec![event(Some("other"))]);
    run(&mut w, secs(1));
    assert!(published(&w, call)[0].is_ok());
    assert_eq!(w.store.rows.values().last().unwrap().status, Status::Succeeded);
    // Released, they all go, in order.
    w.mode(1, Mode::Always(Answer::ok().after(ms(1))));
    let head = *w.store.rows.keys().next().unwrap();
    w.retry(head);
    run(&mut w, secs(120));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
    let bad: Vec<u64> = w
        .starts
        .iter()
        .filter(|(_, a)| a.event.key.as_deref() == Some("bad"))
        .map(|(_, a)| a.delivery.sequence)
        .collect();
    assert!(bad.is_sorted());
}

#[test]
fn many_blocked_keys_do_not_stop_a_spilled_endpoint() {
    let mut w = World::new(5, NodeConfig { window_entries: 1_024, ..NodeConfig::default() });
    w.put(1, |p| {
        p.ordered = true;
        p.schedule = [secs(7_200)].into();
    });
    run(&mut w, secs(1));
    w.answers(1, (0..100).map(|n| if n % 10 == 9 { Answer::ok() } else { Answer::status(500) }));
    for n in 0..100 {
        w.publish(vec![event(Some(&format!("k{n}")))]);
        run(&mut w, secs(10));
    }
    assert!(w.store.blocking.len() >= 80);
    for _ in 0..30 {
        w.publish((0..100).map(|n| event(Some(&format!("k{n}")))).collect());
    }
    w.publish((0..100).map(|_| event(Some("free"))).collect());
    run(&mut w, secs(30));
    let free = w.store.rows.values().filter(|r| r.event.key.as_deref() == Some("free"));
    assert!(free.clone().count() == 100 && free.clone().all(|r| r.status == Status::Succeeded));
}

#[test]
fn a_manual_retry_brings_a_pending_delivery_forward() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(1));
    let position = only(&w).delivery.position;
    let call = w.retry(position);
    run(&mut w, secs(1));
    assert_eq!(w.replies[&call], Reply::Done);
    let row = only(&w);
    assert_eq!((row.status, row.progress.run, row.progress.attempts), (Status::Succeeded, 0, 2));
    assert_eq!(w.starts[1].1.trigger, Trigger::Retry);
}

#[test]
fn a_manual_retry_of_one_that_ended_starts_a_new_run_with_a_fresh_schedule() {
    let mut w = with_endpoint(|p| p.schedule = [secs(1)].into());
    w.answers(1, [Answer::status(500), Answer::status(500)]);
    w.publish(vec![event(None)]);
    run(&mut w, secs(5));
    assert_eq!(only(&w).status, Status::Failed);
    let position = only(&w).delivery.position;
    w.answers(1, [Answer::status(500)]);
    w.retry(position);
    run(&mut w, secs(5));
    let row = only(&w);
    assert_eq!((row.status, row.progress.run, row.progress.attempts), (Status::Succeeded, 1, 4));
    w.retry(position);
    run(&mut w, secs(5));
    let row = only(&w);
    assert_eq!((row.status, row.progress.run, row.progress.attempts), (Status::Succeeded, 2, 5));
}

#[test]
fn a_manual_retry_passes_over_schedule_and_breaker_but_not_over_a_lane_or_a_pause() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(1));
    let positions: Vec<Position> = w.store.rows.keys().copied().collect();
    let call = w.retry(positions[1]);
    run(&mut w, ms(100));
    assert!(matches!(w.replies[&call], Reply::Conflict(_)));
    w.put(1, |p| p.enabled = false);
    run(&mut w, secs(1));
    let call = w.retry(positions[0]);
    run(&mut w, ms(100));
    assert!(matches!(w.replies[&call], Reply::Conflict(_)));
    w.put(1, |p| p.enabled = true);
    run(&mut w, ms(100));
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..6).map(|n| event(Some(&format!("{n}")))).collect());
    run(&mut w, secs(2));
    assert!(matches!(state(&w, 1), State::Tripped { .. }));
    w.mode(1, Mode::Always(Answer::ok()));
    let call = w.retry(positions[0]);
    run(&mut w, ms(100));
    assert_eq!(w.replies[&call], Reply::Done);
    assert_eq!(w.store.rows[&positions[0]].status, Status::Succeeded);
    assert_eq!(state(&w, 1), State::Active, "its success closes the breaker");
}

#[test]
fn a_cancelled_delivery_is_not_attempted_and_frees_its_key() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(1));
    let positions: Vec<Position> = w.store.rows.keys().copied().collect();
    let call = w.cancel(positions[0]);
    run(&mut w, secs(1));
    assert_eq!(w.replies[&call], Reply::Done);
    assert_eq!(w.store.rows[&positions[0]].reason, Some(Reason::Requested));
    assert_eq!(w.store.rows[&positions[1]].status, Status::Succeeded);
    let call = w.cancel(positions[0]);
    assert_eq!(w.replies[&call], Reply::Conflict("the delivery is not pending"));
}

#[test]
fn what_was_read_before_it_changed_is_not_acted_upon() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer::status(500)]);
    w.publish(vec![event(None)]);
    run(&mut w, ms(4));
    let position = only(&w).delivery.position;
    let old = w.store.wanted(position).unwrap();
    run(&mut w, secs(1));
    let call = w.cancel_as_read(old);
    assert_eq!(w.replies[&call], Reply::Conflict(CHANGING));
}

#[test]
fn a_change_of_url_closes_the_breaker() {
    let mut w = with_endpoint(|_| {});
    w.mode(1, Mode::Always(Answer::error(ErrorKind::Connect)));
    w.publish((0..6).map(|_| event(None)).collect());
    run(&mut w, secs(30));
    assert!(matches!(state(&w, 1), State::Tripped { .. }));
    w.mode(1, Mode::Always(Answer::ok()));
    w.put(1, |p| p.target = 2);
    run(&mut w, secs(400));
    assert_eq!(state(&w, 1), State::Active);
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
}

#[test]
fn healthy_endpoints_are_served_while_a_thousand_hang() {
    let mut w =
        World::new(5, NodeConfig { max_in_flight: 2_048, window_entries: 16_384, ..NodeConfig::default() });
    for no in 1..=1_010 {
        w.put(no, |_| {});
    }
    run(&mut w, secs(1));
    w.publish(vec![event(None)]);
    run(&mut w, secs(5));
    let healthy = |no: u32| no > 1_000;
    for no in 1..=1_000 {
        w.mode(no, Mode::Hang);
    }
    let begun = w.starts.len();
    for _ in 0..20 {
        w.publish(vec![event(None)]);
        run(&mut w, ms(50));
    }
    run(&mut w, ms(500));
    let served: Vec<Timestamp> =
        w.starts[begun..].iter().filter(|(_, a)| healthy(a.delivery.endpoint.0)).map(|(at, _)| *at).collect();
    assert_eq!(served.len(), 200);
    let owed = w.store.rows.values().filter(|r| healthy(r.delivery.endpoint.0) && r.pending()).count();
    assert_eq!(owed, 0);
}

#[test]
fn a_rate_limit_holds_over_any_second_and_is_used() {
    let mut w = with_endpoint(|p| p.per_second = Some(20));
    w.publish((0..200).map(|_| event(None)).collect());
    run(&mut w, secs(12));
    assert_eq!(w.starts.len(), 200);
    let took = w.starts[199].0.since(w.starts[0].0);
    assert!(took <= secs(11), "{took:?}");
}

#[test]
fn waiting_work_of_rate_limited_endpoints_leaves_room_for_others() {
    let mut w = World::new(5, NodeConfig { window_entries: 256, ..NodeConfig::default() });
    for no in 1..=40 {
        w.put(no, |p| p.per_second = Some(1));
    }
    run(&mut w, secs(2));
    for _ in 0..5 {
        w.publish((0..50).map(|_| event(None)).collect());
    }
    run(&mut w, secs(5));
    w.put_for(41, postrider_core::id::TenantNo(2), |_| {});
    run(&mut w, secs(1));
    let begun = w.now;
    w.publish(
        (0..100).map(|_| Publication { tenant: postrider_core::id::TenantNo(2), ..event(None) }).collect(),
    );
    run(&mut w, secs(2));
    let served =
        w.starts.iter().filter(|(at, a)| *at >= begun && a.delivery.endpoint == EndpointNo(41)).count();
    assert_eq!(served, 100);
}

#[test]
fn ordering_switched_on_waits_for_what_is_under_way() {
    let mut w = with_endpoint(|_| {});
    w.answers(1, [Answer::ok().after(secs(5)), Answer::local().after(secs(6))]);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(1));
    w.put(1, |p| p.ordered = true);
    w.publish(vec![event(Some("k")), event(Some("k"))]);
    run(&mut w, secs(4));
    assert_eq!(w.starts.len(), 2);
    run(&mut w, secs(10));
    assert!(w.store.rows.values().all(|r| r.status == Status::Succeeded));
}

#[test]
fn what_has_expired_is_not_attempted_any_more() {
    let mut w = with_endpoint(|p| p.max_in_flight = 1);
    w.mode(1, Mode::Always(Answer::ok().after(secs(3))));
    let until = |w: &World, time| Publication { expires_at: Some(w.now + time), ..event(None) };
    w.publish(vec![until(&w, secs(1)), until(&w, secs(2)), until(&w, secs(20)), until(&w, ms(0))]);
    run(&mut w, secs(30));
    let ends: Vec<_> = w.store.rows.values().map(|r| (r.status, r.reason)).collect();
    let (taken, expired) = ((Status::Succeeded, None), (Status::Cancelled, Some(Reason::Expired)));
    assert_eq!(ends, [taken, expired, taken, expired]);
    assert_eq!((w.starts.len(), w.node.memory()), (2, (0, 0)));
}

#[test]
fn a_retry_that_would_come_too_late_ends_the_delivery() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.mode(1, Mode::Always(Answer::status(500)));
    let end = w.now + secs(100);
    w.publish(vec![Publication { expires_at: Some(end), ..event(Some("k")) }]);
    run(&mut w, secs(20));
    let row = only(&w);
    assert_eq!((row.status, row.reason), (Status::Cancelled, Some(Reason::Expired)));
    assert_eq!(w.starts.len(), 2, "the third one would be due after 300 s");
    // Its key goes on, and it is not tried again by hand.
    w.mode(1, Mode::Always(Answer::ok()));
    w.publish(vec![event(Some("k"))]);
    run(&mut w, secs(100));
    assert_eq!(w.store.rows.values().last().unwrap().status, Status::Succeeded);
    let call = w.retry(*w.store.rows.keys().next().unwrap());
    run(&mut w, secs(1));
    assert!(matches!(w.replies[&call], Reply::Conflict(_)), "{:?}", w.replies[&call]);
}

#[test]
fn a_key_whose_failing_head_expires_goes_on() {
    let mut w = with_endpoint(|p| p.ordered = true);
    w.mode(1, Mode::Always(Answer::status(503)));
    let end = w.now + secs(400);
    w.publish(vec![Publication { expires_at: Some(end), ..event(Some("k")) }, event(Some("k"))]);
    run(&mut w, secs(20));
    assert_eq!(w.starts.len(), 2, "the second waits for the first");
    // The receiver wants to be left alone for longer than anybody wants the first.
    w.answers(1, [Answer { retry_after: Some(secs(500)), ..Answer::status(503) }]);
    run(&mut w, secs(400));
    w.mode(1, Mode::Always(Answer::ok()));
    run(&mut w, secs(2_000));
    let ends: Vec<_> = w.store.rows.values().map(|r| (r.status, r.reason)).collect();
    assert_eq!(ends, [(Status::Cancelled, Some(Reason::Expired)), (Status::Succeeded, None)]);
}
