//! Wrong tokens: whoever sends many from one address is slowed. Right ones are served whatever else comes from there.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postrider_core::pace::Rate;
use postrider_core::time::Timestamp;
use postrider_engine::limits::Buckets;

/// Wrong tokens that are told as such: twenty at once, then five a second.
const TOLD: Rate = Rate { burst: 20, count: 5, per: Duration::from_secs(1) };
/// Addresses that are remembered at once.
const REMEMBERED: usize = 16_384;

/// See the module.
pub(crate) struct Guesses {
    started: Instant,
    buckets: Mutex<Buckets<Origin>>,
}

/// From where, as far as it costs its owner anything to be elsewhere: an IPv4 address, or an IPv6 network of 64 bits, in which
/// a single host may take any address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Origin {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Origin {
    fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Default for Guesses {
    fn default() -> Self {
        Self { started: Instant::now(), buckets: Mutex::new(Buckets::new(TOLD, REMEMBERED)) }
    }
}

impl Guesses {
    /// A wrong token came from an address.
    ///
    /// # Errors
    /// When the next one will be told as such, if there were too many.
    pub(crate) fn note(&self, peer: IpAddr) -> Result<(), Duration> {
        let passed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.note_at(peer, Timestamp::from_micros(passed))
    }

    fn note_at(&self, peer: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.buckets.lock().take(&Origin::of(peer), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a24_wrong_tokens_are_counted_by_who_can_send_them() {
        let guesses = Guesses::default();
        let now = Timestamp::from_secs(10);
        let told = |peer: &str, now| guesses.note_at(peer.parse().unwrap(), now).is_ok();
        assert_eq!((0..1_000).filter(|_| told("192.0.2.1", now)).count(), 20);
        assert!(!told("::ffff:192.0.2.1", now), "the same, by another name");
        assert!(told("192.0.2.2", now));
        assert_eq!((0..100).filter(|n| told(&format!("2001:db8::{n:x}"), now)).count(), 20);
        assert!(!told("2001:db8::ffff:0:0:1", now) && told("2001:db8:0:1::1", now));
        assert_eq!(guesses.note_at("192.0.2.1".parse().unwrap(), now), Err(Duration::from_millis(200)));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| told("192.0.2.1", later)).count(), 5);
    }
}
