//! The suite that every engine passes, by topic, written against the trait.
//!
//! An engine plugs in with a [`Harness`] of its own and `postrider_store::conformance!(fresh)`, which makes a test of
//! each topic; [`TOPICS`] lists them all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite of tests")]

pub mod attempts;
pub mod build;
pub mod configuration;
pub mod crash;
pub mod deliveries;
pub mod events;
pub mod feed;
pub mod idempotency;
pub mod migrations;
pub mod model;
pub mod notices;
pub mod paging;
pub mod random;
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

/// The cases of one thing that a store does. Each needs a database of its own.
pub type Topic = (&'static str, &'static [Case]);

/// All topics with their cases.
pub const TOPICS: &[Topic] = &[
    (
        "events",
        &[
            ("an event is read back byte for byte", events::an_event_is_read_back_byte_for_byte),
            (
                "events are told whether they are owed to somebody or not",
                events::events_are_told_whether_they_are_owed_to_somebody_or_not,
            ),
        ],
    ),
    (
        "deliveries",
        &[
            ("a delivery goes from retry to success", deliveries::a_delivery_goes_from_retry_to_success),
            (
                "held work stays outside the due order until it is released",
                deliveries::held_work_stays_outside_the_due_order,
            ),
            ("a skipped delivery is never pending", deliveries::a_skipped_delivery_is_never_pending),
            ("a replay keeps the first success", deliveries::a_replay_keeps_the_first_success),
            (
                "several steps of one delivery in one group end as the last says",
                deliveries::several_steps_in_one_group,
            ),
        ],
    ),
    (
        "attempts",
        &[
            ("an attempt is read back as it was", attempts::an_attempt_is_read_back_as_it_was),
            ("the last thousand attempts are told", attempts::the_last_thousand_attempts_are_told),
            ("a test is kept with its attempt", attempts::a_test_is_kept_with_its_attempt),
            (
                "tests lie between the deliveries of the log",
                attempts::tests_lie_between_the_deliveries_of_the_log,
            ),
        ],
    ),
    (
        "feed",
        &[
            ("a feed begins with the oldest that is left", feed::a_feed_begins_with_the_oldest_that_is_left),
            (
                "a feed tells every state and outlives its endpoint",
                feed::a_feed_tells_every_state_and_outlives_its_endpoint,
            ),
        ],
    ),
    (
        "idempotency",
        &[
            ("keys lead to their events and new keys to nothing", idempotency::keys_lead_to_their_events),
            (
                "idempotency keys are known for a day however short the retention",
                idempotency::idempotency_keys_are_known_for_a_day_however_short_the_retention,
            ),
            (
                "a key is its tenant's, and may be used again when its time is over",
                idempotency::a_key_is_its_tenant_s_and_may_be_used_again_when_its_time_is_over,
            ),
            ("keys survive merges, crashes and closes", idempotency::keys_survive_merges_crashes_and_closes),
        ],
    ),
    (
        "paging",
        &[
            (
                "due work comes in order, in pages with a watermark",
                paging::due_work_comes_in_order_in_pages_with_a_watermark,
            ),
            (
                "what shares a moment or a lane is paged by its position",
                paging::what_shares_a_moment_or_a_lane_is_paged_by_its_position,
            ),
            (
                "a page looks at a bounded number of rows and leads on",
                paging::a_page_looks_at_a_bounded_number_of_rows_and_leads_on,
            ),
        ],
    ),
    (
        "configuration",
        &[
            (
                "configuration survives with its versions",
                configuration::configuration_survives_with_its_versions,
            ),
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
        ],
    ),
    (
        "notices",
        &[(
            "notices come when they are due, and go when they are told",
            notices::notices_come_when_they_are_due_and_go_when_they_are_told,
        )],
    ),
    (
        "replays",
        &[
            ("a replay is found again as it was", replays::a_replay_is_found_again_as_it_was),
            ("replays that ended are kept for a while", replays::replays_that_ended_are_kept_for_a_while),
            (
                "what ends after a count is not on its pages",
                replays::what_ends_after_a_count_is_not_on_its_pages,
            ),
            ("a later run has an age of its own", replays::a_later_run_has_an_age_of_its_own),
        ],
    ),
    (
        "retention",
        &[
            (
                "finished work goes and pending work stays",
                retention::finished_work_goes_and_pending_work_stays,
            ),
            ("sequences go on when nothing is left", retention::sequences_go_on_when_nothing_is_left),
        ],
    ),
    ("migrations", &[("opening again changes nothing", migrations::opening_again_changes_nothing)]),
    (
        "crash",
        &[
            ("a marker tells whether a group is in", crash::a_marker_tells_whether_a_group_is_in),
            ("a group that does not follow is refused", crash::a_group_that_does_not_follow_is_refused),
            ("a group in doubt is committed once", crash::a_group_in_doubt_is_committed_once),
            (
                "what blocks and what is held is told at a start",
                crash::what_blocks_and_what_is_held_is_told_at_a_start,
            ),
            (
                "every lane is told at a start, however many",
                crash::every_lane_is_told_at_a_start_however_many,
            ),
            ("sequences go on after everything was closed", crash::sequences_go_on_after_a_close),
            (
                "what was acknowledged is there wherever it is cut off",
                crash::what_was_acknowledged_is_there_wherever_it_is_cut_off,
            ),
        ],
    ),
    ("random", &[("random lives agree with a naive model", random::random_lives_agree_with_a_naive_model)]),
];

/// Runs the cases of a topic, each on a database that `fresh` makes.
pub fn run<H: Harness>(topic: &str, fresh: impl Fn() -> H) {
    let found = TOPICS.iter().find(|(name, _)| *name == topic);
    let (_, cases) = found.unwrap_or_else(|| panic!("there is no topic {topic}"));
    for (name, case) in *cases {
        eprintln_case(name);
        case(&fresh());
    }
}

/// A test of each topic, for the engine whose fresh databases a function makes.
#[macro_export]
macro_rules! conformance {
    ($fresh:path) => {
        $crate::conformance!($fresh: events, deliveries, attempts, feed, idempotency, paging, configuration, notices,
            replays, retention, migrations, crash, random);

        #[test]
        fn every_topic_is_run() {
            assert_eq!($crate::conformance::TOPICS.len(), TESTED.len());
        }
    };
    ($fresh:path: $($topic:ident),+) => {
        const TESTED: &[&str] = &[$(stringify!($topic)),+];
        $(#[test]
        fn $topic() {
            $crate::conformance::run(stringify!($topic), $fresh);
        })+
    };
}

#[allow(clippy::print_stderr, reason = "shown by the test runner when a case fails")]
fn eprintln_case(name: &str) {
    eprintln!("case: {name}");
}
