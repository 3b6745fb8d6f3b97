//! Keys as hashes: 128 bits of SHA-256 over a scope and the key, so that a row costs the same whatever a caller sends.

use aws_lc_rs::digest;

use crate::id::TenantNo;
use crate::record::{KeyHash, LaneKey};

fn hash(scope: &[u8; 4], tenant: TenantNo, key: &[u8]) -> KeyHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(scope);
    context.update(&tenant.0.to_be_bytes());
    context.update(key);
    first_half(context.finish().as_ref())
}

fn first_half(digest: &[u8]) -> KeyHash {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    KeyHash(u128::from_be_bytes(half))
}

impl KeyHash {
    /// An idempotency key of a publication. The tenant's internal number is in it, so that a tenant made again starts afresh.
    pub fn idempotency(tenant: TenantNo, key: &str) -> Self {
        hash(b"evt\0", tenant, key.as_bytes())
    }

    /// A publisher's own event id.
    pub fn own_id(tenant: TenantNo, id: &str) -> Self {
        hash(b"own\0", tenant, id.as_bytes())
    }

    /// An ordering key.
    pub fn ordering(tenant: TenantNo, key: &str) -> Self {
        hash(b"key\0", tenant, key.as_bytes())
    }

    /// What an event is about.
    pub fn subject(tenant: TenantNo, subject: &str) -> Self {
        hash(b"sub\0", tenant, subject.as_bytes())
    }

    /// A request's body.
    pub fn body(body: &[u8]) -> Self {
        first_half(digest::digest(&digest::SHA256, body).as_ref())
    }

    /// The lane of an ordering key.
    pub const fn lane(self) -> LaneKey {
        #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        LaneKey(self.0 as u64)
    }
}
