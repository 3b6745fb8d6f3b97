//! The id under which a request is known: the caller's own if it is sound, else a number of this process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// `X-Request-Id`.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is echoed, in bytes.
const MAX_LENGTH: usize = 128;

/// When this process made its first id: tells its numbers from those of the process before.
static START: LazyLock<u128> = LazyLock::new(|| {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis())
});
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The request's own id if it is 1 to 128 visible ASCII characters, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(HEADER) {
        Some(given)
            if (1..=MAX_LENGTH).contains(&given.len())
                && given.as_bytes().iter().all(u8::is_ascii_graphic) =>
        {
            given.clone()
        }
        _ => {
            let text = format!("{:x}-{:x}", *START, NEXT.fetch_add(1, Ordering::Relaxed));
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_id_is_echoed_and_any_other_replaced() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
            of(&headers)
        };
        assert_eq!(with(b"abc-123"), "abc-123");
        for bad in [&b""[..], b"a b", b"\xff", &[b'x'; 129]] {
            assert_ne!(with(bad).as_bytes(), bad);
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
