//! What endpoints are called in the platforms' APIs.

use postrider_core::id::{uuid_of, uuid_text};
use postrider_core::token::hash;
use postrider_engine::Endpoint;

/// An endpoint's id as a UUID: of one of our making the one that it stands for; of one that its owner chose, a UUID that follows
/// from it (version 8 of RFC 9562, of the id's SHA-256).
pub(super) fn uuid(endpoint: &Endpoint) -> String {
    uuid_named(endpoint.id.as_str())
}

/// The same, of an endpoint by its id, which may have been removed since.
pub(super) fn uuid_named(id: &str) -> String {
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

/// What a part of an endpoint is called that has no id of its own: a positive number that follows from its name.
pub(super) fn part(name: &str) -> u32 {
    let hash = hash(name);
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) & 0x7FFF_FFFF
}

/// A number as it is written in a path: digits without a leading zero.
pub(super) fn read_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
