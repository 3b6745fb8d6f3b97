//! Bounds on what callers can make us do: how often from where, and at whom. The tables are bounded themselves.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use postrider_core::id::TenantNo;
use postrider_core::pace::{Bucket, Rate};
use postrider_core::time::Timestamp;
use postrider_dispatch::Target;

use crate::Engine;
use crate::error::ServiceError;

/// Requests that a tenant may have sent by hand, to whatever destinations: ten at once, then one every two seconds.
const BY_TENANT: Rate = Rate { burst: 10, count: 1, per: Duration::from_secs(2) };
/// Requests that a host and port may be sent by hand, whoever asks: some tenants may share a host, and none of them is to be
/// made a weapon against it.
const BY_DESTINATION: Rate = Rate { burst: 20, count: 1, per: Duration::from_secs(1) };
/// Tenants, and destinations, that are remembered at once. Whoever is forgotten begins afresh.
const REMEMBERED: usize = 16_384;
/// Entries that are looked at for one to forget.
const LOOKED_AT: usize = 16;

/// A bucket of tokens for each of many keys, at most so many at once.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    most: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// None yet. At most `most` (1 and up) are kept.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, buckets: HashMap::new() }
    }

    /// How long until there is a token for a key; zero if there is one now.
    pub fn wait(&self, key: &K, now: Timestamp) -> Duration {
        self.buckets.get(key).map_or(Duration::ZERO, |bucket| bucket.wait(self.rate, now))
    }

    /// Takes a token for a key.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, key: &K, now: Timestamp) -> Result<(), Duration> {
        if let Some(bucket) = self.buckets.get_mut(key) {
            return bucket.take(self.rate, now);
        }
        if self.buckets.len() >= self.most {
            self.forget_one(now);
        }
        let mut bucket = Bucket::full(self.rate, now);
        let taken = bucket.take(self.rate, now);
        self.buckets.insert(key.clone(), bucket);
        taken
    }

    /// Forgets one that has the most tokens of those that are looked at: it is the least missed.
    fn forget_one(&mut self, now: Timestamp) {
        let some = self.buckets.iter().take(LOOKED_AT);
        let soonest = some.min_by_key(|(_, bucket)| bucket.until_full(self.rate, now));
        if let Some(key) = soonest.map(|(key, _)| key.clone()) {
            self.buckets.remove(&key);
        }
    }
}

/// Requests that somebody asks for by hand, and which the machines do not pace.
pub(crate) struct ByHand(Mutex<(Buckets<TenantNo>, Buckets<Box<str>>)>);

impl Default for ByHand {
    fn default() -> Self {
        Self(Mutex::new((Buckets::new(BY_TENANT, REMEMBERED), Buckets::new(BY_DESTINATION, REMEMBERED))))
    }
}

impl ByHand {
    /// Whether a tenant may have a request sent to a destination now; then it counts for both.
    fn admit(&self, tenant: TenantNo, target: &Target, now: Timestamp) -> Result<(), ServiceError> {
        let destination = format!("{}:{}", target.host(), target.port()).into_boxed_str();
        let (tenants, destinations) = &mut *self.0.lock();
        let too_many = |whom: &str, retry_after| ServiceError::TooMany {
            reason: format!("too many requests were asked for by hand {whom}: wait a little"),
            retry_after,
        };
        // Neither is charged for what the other does not allow.
        let wait = destinations.wait(&destination, now);
        if !wait.is_zero() {
            return Err(too_many("to this host", wait));
        }
        tenants.take(&tenant, now).map_err(|wait| too_many("by this tenant", wait))?;
        destinations.take(&destination, now).map_err(|wait| too_many("to this host", wait))
    }
}

impl Engine {
    /// Asked before every request that a caller brings about beside the queue: a test, a challenge.
    ///
    /// # Errors
    /// [`ServiceError::TooMany`] beyond what its tenant, or all tenants together for that host and port, may ask for.
    pub(crate) fn admit_by_hand(&self, tenant: TenantNo, target: &Target) -> Result<(), ServiceError> {
        self.0.by_hand.admit(tenant, target, self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_dispatch::UrlPolicy;

    const NOW: Timestamp = Timestamp::from_secs(1_763_000_000);

    #[test]
    fn a_table_is_bounded_and_forgets_whom_it_misses_least() {
        let rate = Rate { burst: 2, count: 1, per: Duration::from_secs(60) };
        let mut buckets = Buckets::new(rate, 8);
        // One that used up all, among ever others that took one.
        assert!(buckets.take(&0, NOW).is_ok() && buckets.take(&0, NOW).is_ok());
        for key in 1..1_000 {
            assert!(buckets.take(&key, NOW).is_ok());
            assert!(buckets.buckets.len() <= 8);
        }
        assert_eq!(buckets.take(&0, NOW), Err(Duration::from_secs(60)));
        assert_eq!(buckets.wait(&5_000, NOW), Duration::ZERO);
    }

    #[test]
    fn abuse_a89_requests_by_hand_are_bounded_by_tenant_and_by_destination() {
        let by_hand = ByHand::default();
        let target = |url: &str| Target::parse(url, &UrlPolicy::default()).unwrap();
        let (victim, other_port) =
            (target("https://victim.example/a"), target("https://victim.example:8443/"));
        let admitted =
            |tenant: u32, target: &Target, now| by_hand.admit(TenantNo(tenant), target, now).is_ok();
        // One tenant, whatever the path and the endpoint.
        let first =
            (0..50).filter(|n| admitted(1, &target(&format!("https://victim.example/{n}")), NOW)).count();
        assert_eq!(first, 10);
        // Many tenants at one host; another port is another destination.
        let all = (2..50).filter(|tenant| admitted(*tenant, &victim, NOW)).count();
        assert_eq!(first + all, 20);
        assert!(admitted(40, &other_port, NOW));
        let Err(ServiceError::TooMany { retry_after, .. }) = by_hand.admit(TenantNo(60), &victim, NOW) else {
            panic!()
        };
        assert_eq!(retry_after, Duration::from_secs(1));
        // What was refused has cost nothing.
        let later = NOW + Duration::from_secs(1);
        assert!(admitted(60, &victim, later) && !admitted(61, &victim, later));
    }
}
