//! The demo: what a newcomer runs first, without a terminal.

use crate::program::Program;

#[tokio::test]
async fn the_demo_adds_up_and_its_summary_is_json_for_programs() {
    let ran = Program::new(&["demo", "--seconds", "2", "--rate", "60", "--json"]).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["adds_up"], true, "{summary}");
    assert_eq!((&summary["published"], &summary["accepted"]), (&120.into(), &120.into()));
    assert_eq!(summary["delivered"], summary["owed"]);
    assert_eq!((&summary["pending"], &summary["signatures_failed"]), (&0.into(), &0.into()));
    assert!(summary["refused"].as_u64().unwrap() > 0, "the receiver fails now and then");
}

#[tokio::test]
async fn the_demo_tells_people_how_it_went_and_what_to_try_next() {
    let ran = Program::new(&["demo", "--seconds", "1"]).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for told in ["40 events published, 40 accepted", "0 pending", "It adds up", "postrider serve --dev"] {
        assert!(ran.out.contains(told), "{told}: {}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "no terminal, no escapes: {}", ran.out);
}
