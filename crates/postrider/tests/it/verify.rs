//! `verify` from the outside: exit codes, and where message and headers come from.

use std::io::Write;

use crate::program::Program;

const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const SIGNATURE: &str = "v1,7O22wotfG/FPm+AkU3qaP2TsKXuydEoVnp0yZ5eqvwA=";
/// The message is of 2026-01-01; so many seconds cover a century.
const TOLERANCE: &str = "3200000000";

#[tokio::test]
async fn a_message_from_flags_and_standard_input_holds() {
    let args = [
        "verify",
        "--secret",
        SECRET,
        "--id",
        "evt_1",
        "--timestamp",
        "1767225600",
        "--signature",
        SIGNATURE,
        "--tolerance",
        TOLERANCE,
    ];
    let ran = Program::new(&args).run().await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "valid: the signature holds\n"), "{ran:?}");
    let changed = Program::new(&args).input("{}").run().await;
    assert_eq!(changed.code, 1);
    assert!(changed.out.starts_with("invalid: no v1 signature matches"), "{changed:?}");
}

#[tokio::test]
async fn headers_come_from_a_file_and_the_verdict_as_json() {
    let mut headers = tempfile::NamedTempFile::new().unwrap();
    write!(
        headers,
        "Webhook-Id: evt_1\r\nWebhook-Timestamp: 1767225600\r\nWebhook-Signature: {SIGNATURE}\r\n"
    )
    .unwrap();
    let file = headers.path().to_str().unwrap();
    let args = ["verify", "--json", "--headers", file, "--tolerance", "1"];
    let ran = Program::new(&args).env("POSTRIDER_SECRET", SECRET).run().await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.json()["valid"], false);
    assert!(ran.json()["reason"].as_str().unwrap().contains("the timestamp is"), "{ran:?}");
}

#[tokio::test]
async fn what_is_missing_is_a_usage_error() {
    let ran = Program::new(&["verify", "--secret", SECRET, "--id", "evt_1"]).run().await;
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("webhook-timestamp is missing; give it with --timestamp"), "{ran:?}");
    let both = Program::new(&["verify", "--secret", SECRET, "--headers", "-"]).run().await;
    assert_eq!(both.code, 2);
}
