//! The bench as its users run it, server included.

use crate::program::Program;

#[tokio::test(flavor = "multi_thread")]
async fn a_short_bench_of_a_server_of_its_own_loses_and_repeats_nothing() {
    for (http, seconds) in [("raw", "1"), ("hyper", "0.3")] {
        let args = ["bench", "--seconds", seconds, "--pairs", "1", "--warmup", "0", "--json", "--http", http];
        let ran = Program::new(&args).run().await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let report = ran.json();
        assert_eq!(report["settings"]["http"], http, "{report}");
        let pair = &report["pairs"][0];
        for side in ["direct", "through"] {
            let figures = &pair[side];
            for count in ["lost", "duplicates", "strays"] {
                assert_eq!(figures[count], 0, "{side}: {figures}");
            }
            assert!(figures["delivered"].as_u64().unwrap() > 0, "{side}: {figures}");
            assert_eq!(figures["refused"], serde_json::json!({}), "{side}: {figures}");
        }
        assert!(report["ratio"]["median"].as_f64().unwrap() > 0.0, "{report}");
    }
}
