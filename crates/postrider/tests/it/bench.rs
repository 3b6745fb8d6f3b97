//! The bench tells the truth about what arrived.

use serde_json::Value;

use crate::fake::{Fake, Faults};
use crate::program::{Program, Ran};

async fn bench(fake: &Fake, more: &[&str]) -> Ran {
    let mut args = vec![
        "bench",
        "--json",
        "--url",
        &fake.url,
        "--pairs",
        "1",
        "--seconds",
        "0.3",
        "--warmup",
        "0.05",
        "--connections",
        "4",
        "--endpoints",
        "4",
        "--drain",
        "2",
    ];
    args.extend(more);
    Program::new(&args).env("POSTRIDER_TOKEN", "t").run().await
}

fn through(ran: &Ran) -> Value {
    ran.json()["pairs"][0]["through"].clone()
}

fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_once_is_neither_lost_nor_duplicate() {
    let fake = Fake::start(Faults::default()).await;
    for more in [
        &[][..],
        &["--fanout", "2"],
        &["--batch", "5"],
        &["--rate", "200", "--batch", "2"],
        &["--http", "hyper"],
    ] {
        let ran = bench(&fake, more).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let through = through(&ran);
        assert!(count(&through, "delivered") > 20, "{more:?}: {through}");
        assert_eq!(
            (count(&through, "lost"), count(&through, "duplicates"), count(&through, "strays")),
            (0, 0, 0)
        );
        let direct = &ran.json()["pairs"][0]["direct"];
        assert!(count(direct, "delivered") > 20, "{more:?}: {direct}");
        assert!(ran.json()["ratio"]["median"].as_f64().unwrap() > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_duplicate_deliveries_are_counted() {
    let fake = Fake::start(Faults { lose: Some(10), repeat: Some(7), refuse: None }).await;
    let ran = bench(&fake, &["--rate", "300"]).await;
    assert_eq!(ran.code, 1, "a run that lost something has failed: {ran:?}");
    let through = through(&ran);
    let all = count(&through, "delivered") + count(&through, "lost");
    assert!(count(&through, "lost").abs_diff(all / 10) <= 2, "{through}");
    assert!(count(&through, "duplicates").abs_diff(all / 7 - all / 70) <= 3, "{through}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_are_told_and_not_counted_as_lost() {
    for more in [&["--rate", "200"][..], &["--rate", "200", "--batch", "4"]] {
        let fake = Fake::start(Faults { refuse: Some(4), ..Faults::default() }).await;
        let through = through(&bench(&fake, more).await);
        assert!(count(&through["refused"], "422") > 5, "{more:?}: {through}");
        assert_eq!(count(&through, "lost"), 0, "{more:?}: {through}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_sends_what_was_asked_for_however_slow_the_answers() {
    let fake = Fake::start(Faults::default()).await;
    let ran = bench(&fake, &["--rate", "400"]).await;
    // 0.05 s before the window and 0.3 s in it.
    assert_eq!(count(&through(&ran), "delivered"), 140, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_limit_needs_no_server() {
    let ran = Program::new(&["bench", "--direct-only", "--pairs", "1", "--seconds", "0.2", "--warmup", "0"])
        .run()
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in ["delivered/s", "ack latency p99", "arrival latency max", "D, the cost of one exchange"] {
        assert!(ran.out.contains(expected), "{}", ran.out);
    }
}

#[tokio::test]
async fn impossible_loads_are_usage_errors() {
    for args in [
        &["bench", "--endpoints", "10", "--fanout", "3"][..],
        &["bench", "--rate", "0"],
        &["bench", "--connections", "0"],
        &["bench", "--pid", "1"],
    ] {
        assert_eq!(Program::new(args).run().await.code, 2, "{args:?}");
    }
}
