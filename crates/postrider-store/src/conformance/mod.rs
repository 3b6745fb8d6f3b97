//! The suite that every engine passes, by topic, written against the trait.
//!
//! An engine's tests call each function of the topics with a [`Harness`] of their own; [`for_each`] lists them all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite of tests")]

pub mod build;
pub mod configuration;
pub mod lives;
pub mod model;
pub mod notices;
pub mod random;
pub mod reads;
pub mod recovery;
pub mod replays;
pub mod retention;

use std::sync::Arc;

use crate::{Store, Writer};

/// A database that can be opened again and again.
pub trait Harness {
    /// Opens the database as the last one left it; the handles before were dropped (a crash) or closed.
    fn open(&self) -> (Arc<dyn Store>, Box<dyn Writer>);
}

/// One case of the suite.
pub type Case = (&'static str, fn(&dyn Harness));

/// All cases with their names. Each needs a database of its own.
pub const CASES: &[Case] = &[
    ("an event is read back byte for byte", lives::an_event_is_read_back_byte_for_byte),
    (
        "due work comes in order, in pages with a watermark",
        lives::due_work_comes_in_order_in_pages_with_a_watermark,
    ),
    ("a delivery goes from retry to success", lives::a_delivery_goes_from_retry_to_success),
    (
        "held work stays outside the due order until it is released",
        lives::held_work_stays_outside_the_due_order,
    ),
    ("a skipped delivery is never pending", lives::a_skipped_delivery_is_never_pending),
    ("a replay keeps the first success", lives::a_replay_keeps_the_first_success),
    ("several steps of one delivery in one group end as the last says", lives::several_steps_in_one_group),
    ("keys lead to their events and new keys to nothing", lives::keys_lead_to_their_events),
    ("a test is kept with its attempt", lives::a_test_is_kept_with_its_attempt),
    (
        "events are told whether they are owed to somebody or not",
        reads::events_are_told_whether_they_are_owed_to_somebody_or_not,
    ),
    ("tests lie between the deliveries of the log", reads::tests_lie_between_the_deliveries_of_the_log),
    ("a feed begins with the oldest that is left", reads::a_feed_begins_with_the_oldest_that_is_left),
    ("configuration survives with its versions", configuration::configuration_survives_with_its_versions),
    (
        "verifications survive until their endpoint is removed",
        configuration::verifications_survive_until_their_endpoint_is_removed,
    ),
    ("numbers are never used twice", configuration::numbers_are_never_used_twice),
    (
        "a removed endpoint is told while it owes something",
        configuration::a_removed_endpoint_is_told_while_it_owes,
    ),
    ("event types survive", configuration::event_types_survive),
    ("subjects are found by their id", configuration::subjects_are_found_by_their_id),
    ("a marker tells whether a group is in", recovery::a_marker_tells_whether_a_group_is_in),
    ("a group that does not follow is refused", recovery::a_group_that_does_not_follow_is_refused),
    (
        "what blocks and what is held is told at a start",
        recovery::what_blocks_and_what_is_held_is_told_at_a_start,
    ),
    ("every lane is told at a start, however many", recovery::every_lane_is_told_at_a_start_however_many),
    ("sequences go on after everything was closed", recovery::sequences_go_on_after_a_close),
    (
        "notices come when they are due, and go when they are told",
        notices::notices_come_when_they_are_due_and_go_when_they_are_told,
    ),
    ("a replay is found again as it was", replays::a_replay_is_found_again_as_it_was),
    ("replays that ended are kept for a while", replays::replays_that_ended_are_kept_for_a_while),
    ("what ends after a count is not on its pages", replays::what_ends_after_a_count_is_not_on_its_pages),
    ("a later run has an age of its own", replays::a_later_run_has_an_age_of_its_own),
    ("finished work goes and pending work stays", retention::finished_work_goes_and_pending_work_stays),
    (
        "idempotency keys are known for a day however short the retention",
        retention::idempotency_keys_are_known_for_a_day_however_short_the_retention,
    ),
    ("random lives agree with a naive model", random::random_lives_agree_with_a_naive_model),
];

/// Runs every case, each on a database that `fresh` makes.
pub fn for_each<H: Harness>(fresh: impl Fn() -> H) {
    for (name, case) in CASES {
        let harness = fresh();
        eprintln_case(name);
        case(&harness);
    }
}

#[allow(clippy::print_stderr, reason = "shown by the test runner when a case fails")]
fn eprintln_case(name: &str) {
    eprintln!("case: {name}");
}
