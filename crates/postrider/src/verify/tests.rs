//! The signatures were made with the `standardwebhooks` package of the specification's authors.

use super::*;

const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OTHER_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const BODY: &str =
    r#"{"type":"card.created","timestamp":"2026-01-01T00:00:00.000Z","data":{"note":"a \"b\" ü"}}"#;
const SIGNATURE: &str = "v1,0u2y/9Tz0vwHJlLjk1oADC3+e8e2ivxjGONK4x1v/78=";
const SENT: i64 = 1_767_225_600;

fn message(signature: &str) -> Message<'_> {
    Message { id: "evt_1", timestamp: "1767225600", signature, body: BODY.as_bytes() }
}

fn verdict(secret: &str, message: Message<'_>, now: i64) -> String {
    match check(secret, message, DEFAULT_TOLERANCE, Timestamp::from_secs(now)) {
        Ok(()) => "valid".into(),
        Err(reason) => reason,
    }
}

#[test]
fn the_reference_implementations_signatures_hold() {
    for (body, signature) in [
        (BODY, SIGNATURE),
        ("", "v1,7O22wotfG/FPm+AkU3qaP2TsKXuydEoVnp0yZ5eqvwA="),
        ("{\"a\":1}\n", "v1,Ix+XilGH3rFnKTsPj1VBhIDL9sET1rEoBllMlsifYTo="),
    ] {
        let message = Message { body: body.as_bytes(), ..message(signature) };
        assert_eq!(verdict(SECRET, message, SENT), "valid", "{body:?}");
    }
}

#[test]
fn one_signature_of_several_is_enough() {
    let several = format!("v1a,AAAA v1,{} {SIGNATURE}", "A".repeat(43) + "=");
    assert_eq!(verdict(SECRET, message(&several), SENT), "valid");
    assert_eq!(verdict(SECRET.trim_end_matches('='), message(SIGNATURE), SENT), "valid", "unpadded secret");
}

#[test]
fn each_way_to_fail_is_named() {
    let long_ago = "the signature holds, but the timestamp is 301 s old";
    let cases: [(&str, &str, Message<'_>, i64, &str); 14] = [
        ("old", SECRET, message(SIGNATURE), SENT + 301, long_ago),
        ("future", SECRET, message(SIGNATURE), SENT - 301, "301 s far ahead"),
        ("prefix", "AQIDBAUG", message(SIGNATURE), SENT, "does not begin with whsec_"),
        ("base64", "whsec_AQ*", message(SIGNATURE), SENT, "is not base64"),
        ("empty", "whsec_", message(SIGNATURE), SENT, "is empty"),
        ("version", SECRET, message("abc"), SENT, "has no version"),
        ("other version", SECRET, message("v1a,AAAA"), SENT, "no v1 signature in the header"),
        ("signature base64", SECRET, message("v1,?"), SENT, "\"v1,?\" is not base64"),
        ("short", "whsec_AAAA", message(SIGNATURE), SENT, "stands for 3 bytes instead of 24 to 64"),
        (
            "timestamp",
            SECRET,
            Message { timestamp: "2026-01-01", ..message(SIGNATURE) },
            SENT,
            "\"2026-01-01\" is not a whole number",
        ),
        ("other secret", OTHER_SECRET, message(SIGNATURE), SENT, "another secret"),
        ("id", SECRET, Message { id: "evt_2", ..message(SIGNATURE) }, SENT, "another id"),
        (
            "text as key",
            SECRET,
            message("v1,srZI7d8Tx6kZnjLuHknWtc4x5emn/cDFWGAFvonHsxo="),
            SENT,
            "text of the secret as the key",
        ),
        (
            "text without prefix as key",
            SECRET,
            message("v1,NsvPwXfnwi7ZUdwt3Xgg44sqPA9B+DL2L5/vFa9uJvY="),
            SENT,
            "text of the secret as the key",
        ),
    ];
    for (name, secret, message, now, expected) in cases {
        let verdict = verdict(secret, message, now);
        assert!(verdict.contains(expected), "{name}: {verdict}");
    }
}

#[test]
fn a_body_that_was_changed_on_the_way_is_recognised() {
    let pretty = BODY.replace("\":", "\" : ").replace(',', ",\n  ");
    let cases = [
        (format!("{BODY}\r\n"), "whitespace at its end"),
        (pretty, "written again"),
        (
            BODY.replace('ü', "\\u00fc")
                .replace(':', ": ")
                .replace(',', ", ")
                .replace("00: 00: 00", "00:00:00"),
            "written again",
        ),
        (BODY.replace('ü', "\\u00FC"), "written again"),
        (BODY[..40].to_owned(), "not whole JSON"),
        (BODY.replace("card.created", "card.deleted"), "byte for byte"),
    ];
    for (body, expected) in cases {
        let message = Message { body: body.as_bytes(), ..message(SIGNATURE) };
        let verdict = verdict(SECRET, message, SENT);
        assert!(verdict.contains(expected), "{body:?}: {verdict}");
    }
    let lacking =
        Message { body: b"{\"a\":1}", ..message("v1,Ix+XilGH3rFnKTsPj1VBhIDL9sET1rEoBllMlsifYTo=") };
    assert!(verdict(SECRET, lacking, SENT).contains("lacks the newline"));
}

#[test]
fn escapes_that_a_writer_may_choose_are_undone_and_no_others() {
    for (escaped, plain) in [
        (r#"{"a":"\u00fc\ud83d\ude00\/"}"#, "{\"a\":\"ü😀/\"}"),
        (r#""\\u00fc \" \n \u0041 \u001f""#, r#""\\u00fc \" \n \u0041 \u001f""#),
        (r#""\ud83d \u00f \"#, r#""\ud83d \u00f \"#),
        ("", ""),
    ] {
        assert_eq!(String::from_utf8(without_escapes(escaped.as_bytes())).unwrap(), plain, "{escaped}");
    }
}

#[test]
fn headers_are_read_whatever_their_case() {
    let lines = "POST / HTTP/1.1\r\nWebhook-Id: evt_1\r\nWEBHOOK-SIGNATURE:v1,a:b\r\n";
    assert_eq!(header(lines, "webhook-id").as_deref(), Some("evt_1"));
    assert_eq!(header(lines, "webhook-signature").as_deref(), Some("v1,a:b"));
    assert_eq!(header(lines, "webhook-timestamp"), None);
}

#[test]
fn no_reason_repeats_the_secret() {
    for secret in [SECRET, "whsec_!!hunter2", "hunter2"] {
        let verdict = verdict(secret, message("v1,AAAA"), SENT);
        assert!(!verdict.contains(secret) && !verdict.contains("hunter2"), "{verdict}");
    }
}
