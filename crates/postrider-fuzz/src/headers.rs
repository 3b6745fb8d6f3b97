//! Headers of what receivers answer: `Retry-After`, and the word that an answer gives.

use postrider_core::retry::{MAX_RETRY_AFTER, parse_directive, parse_retry_after};
use postrider_core::time::Timestamp;

pub(crate) fn response_header(bytes: &[u8]) {
    let early = parse_retry_after(bytes, Timestamp::from_secs(1_760_000_000));
    let late = parse_retry_after(bytes, Timestamp::from_secs(1_760_000_060));
    assert_eq!(early.is_some(), late.is_some(), "whether it can be read depends on the time");
    assert!(early <= Some(MAX_RETRY_AFTER) && late <= early, "{early:?}, then {late:?}");
    let digits = bytes.trim_ascii();
    if !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) && bytes == digits {
        let seconds = digits.iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        assert_eq!(early.map(|wait| wait.as_secs()), Some(seconds.min(MAX_RETRY_AFTER.as_secs())));
    }
    assert!(parse_directive(bytes).is_none() || bytes.len() >= 7);
}
