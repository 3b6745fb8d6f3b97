//! What endpoints are called in the platforms' APIs.

use postrider_core::id::{uuid_of, uuid_text};
use postrider_core::token::hash;
use postrider_engine::Endpoint;

/// An endpoint's id as a UUID: of one of our making the one that it stands for; of one that its owner chose, a UUID that follows
/// from it (version 8 of RFC 9562, of the id's SHA-256).
pub(super) fn uuid(endpoint: &Endpoint) -> String {
    let id = endpoint.id.as_str();
    uuid_text(uuid_of(id).unwrap_or_else(|| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash(id)[..16]);
        let fixed = !(0xF << 76) & !(0b11 << 62);
        (u128::from_be_bytes(bytes) & fixed) | (8 << 76) | (0b10 << 62)
    }))
}

/// An endpoint's id as a number, which is counted over the whole server.
pub(super) fn number(endpoint: &Endpoint) -> u32 {
    endpoint.no.0
}
