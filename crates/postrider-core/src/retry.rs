//! When a failed delivery is tried again: the default schedule, its jitter, and what the receiver asks for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::node::Directive;
use crate::time::Timestamp;

/// Delays after the first, second ... failed attempt where an endpoint says nothing, in seconds:
/// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
pub const DEFAULT_SCHEDULE_S: [u32; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How far a delay may be off its place in the schedule, either way, in thousandths.
pub const JITTER_PERMILLE: u32 = 200;

/// The longest time that a receiver's `Retry-After` can ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The default schedule.
pub fn default_schedule() -> Arc<[Duration]> {
    DEFAULT_SCHEDULE_S.iter().map(|&s| Duration::from_secs(s.into())).collect()
}

/// A delay moved by up to `permille` thousandths of itself, either way, as `random` (all of its values equally likely)
/// would have it. A `permille` over 1,000 counts as 1,000.
///
/// ```
/// use std::time::Duration;
/// use postrider_core::retry::jittered;
/// let delay = Duration::from_secs(300);
/// assert_eq!(jittered(delay, 200, 0), Duration::from_secs(240));
/// assert_eq!(jittered(delay, 200, u64::MAX), Duration::from_secs(360));
/// ```
pub fn jittered(delay: Duration, permille: u32, random: u64) -> Duration {
    let micros = delay.as_micros();
    let spread = micros * u128::from(permille.min(1_000)) / 1_000;
    // Multiplying and shifting maps 0..2^64 evenly onto 0..=2 * spread; the product stays below 2^128 for every delay
    // up to 2^62 microseconds, 146,000 years.
    let offset = spread.saturating_mul(2).saturating_add(1).saturating_mul(u128::from(random)) >> 64;
    Duration::from_micros(u64::try_from(micros - spread + offset).unwrap_or(u64::MAX))
}

/// Reads the header `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. At most [`MAX_RETRY_AFTER`]; zero for a
/// date that is over. `None` for anything else.
///
/// ```
/// use std::time::Duration;
/// use postrider_core::{retry::parse_retry_after, time::Timestamp};
/// let now = Timestamp::parse("1994-11-06T08:49:00Z").unwrap();
/// assert_eq!(parse_retry_after(b"120", now), Some(Duration::from_secs(120)));
/// assert_eq!(parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
/// assert_eq!(parse_retry_after(b"-1", now), None);
/// ```
pub fn parse_retry_after(value: &[u8], now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // So many digits that they do not fit are still a number, and far over the bound.
        return Some(text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let at = Timestamp::from_secs(i64::try_from(since_epoch.as_secs()).ok()?);
    Some(at.since(now).min(MAX_RETRY_AFTER))
}

/// Reads the header `webhook-delivery` of a response: what the receiver wants to become of the delivery or the endpoint.
///
/// ```
/// use postrider_core::{node::Directive, retry::parse_directive};
/// assert_eq!(parse_directive(b"Abort-Message"), Some(Directive::AbortMessage));
/// assert_eq!(parse_directive(b"later"), None);
/// ```
pub fn parse_directive(value: &[u8]) -> Option<Directive> {
    let value = value.trim_ascii();
    if value.eq_ignore_ascii_case(b"abort-message") {
        Some(Directive::AbortMessage)
    } else if value.eq_ignore_ascii_case(b"disable") {
        Some(Directive::Disable)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_retry_after_values_ask_for_nothing_or_for_the_most() {
        let now = Timestamp::parse("2025-11-13T00:00:00Z").unwrap();
        let secs = |n| Some(Duration::from_secs(n));
        for (value, expected) in [
            ("0", secs(0)),
            (" 7\t", secs(7)),
            ("86400", secs(86_400)),
            ("86401", secs(86_400)),
            ("99999999999999999999999999", secs(86_400)),
            ("Thu, 13 Nov 2025 00:01:00 GMT", secs(60)),
            ("Thursday, 13-Nov-25 00:01:00 GMT", secs(60)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", secs(86_400)),
            ("Wed, 12 Nov 2025 00:00:00 GMT", secs(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("soon", None),
            ("2025-11-13T00:01:00Z", None),
            ("Thu, 32 Nov 2025 00:01:00 GMT", None),
            ("\u{661}", None),
        ] {
            assert_eq!(parse_retry_after(value.as_bytes(), now), expected, "{value}");
        }
        assert_eq!(parse_retry_after(b"\xff", now), None);
        assert_eq!(parse_retry_after(&[b'9'; 10_000], now), secs(86_400));
    }

    #[test]
    fn a_directive_is_one_of_two_words() {
        for (value, expected) in [
            ("abort-message", Some(Directive::AbortMessage)),
            (" DISABLE ", Some(Directive::Disable)),
            ("disable, abort-message", None),
            ("disabled", None),
            ("", None),
        ] {
            assert_eq!(parse_directive(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_default_schedule_spans_about_three_days() {
        let total: Duration = default_schedule().iter().sum();
        assert_eq!(total.as_secs(), 272_105);
    }

    proptest! {
        #[test]
        fn a_jittered_delay_stays_within_its_bounds(
            secs in 0..=604_800_u64, permille in 0..=2_000_u32, random in any::<u64>(), other in any::<u64>(),
        ) {
            let delay = Duration::from_secs(secs);
            let spread = delay * permille.min(1_000) / 1_000;
            let jittered_delay = jittered(delay, permille, random);
            prop_assert!(delay - spread <= jittered_delay && jittered_delay <= delay + spread);
            prop_assert!(jittered(delay, permille, random.min(other)) <= jittered(delay, permille, random.max(other)));
        }

        #[test]
        fn a_date_asks_for_the_time_until_it_and_for_a_day_at_most(now in 0..4_000_000_000_u64, ahead in 0..200_000_u64) {
            let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now + ahead));
            let now = Timestamp::from_secs(i64::try_from(now).unwrap());
            let wait = Some(Duration::from_secs(ahead).min(MAX_RETRY_AFTER));
            prop_assert_eq!(parse_retry_after(date.as_bytes(), now), wait);
            prop_assert_eq!(parse_retry_after(ahead.to_string().as_bytes(), now), wait);
            let late = now + Duration::from_secs(ahead + 1);
            prop_assert_eq!(parse_retry_after(date.as_bytes(), late), Some(Duration::ZERO));
        }

        #[test]
        fn any_delay_and_any_header_are_harmless(delay in any::<u64>(), random in any::<u64>(), value in any::<Vec<u8>>()) {
            jittered(Duration::from_secs(delay), 1_000, random);
            let wait = parse_retry_after(&value, Timestamp::EPOCH);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
            parse_directive(&value);
        }
    }
}
