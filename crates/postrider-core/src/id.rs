//! Identifiers: internal numbers, and public ids that carry the position of what they name.
//!
//! A public id is a UUIDv7 (RFC 9562, section 5.7) written as a prefix and 26 characters of Crockford base32.
//! Its random bits are not random: they carry where the thing is stored, so that reading it needs no index.
//!
//! ```text
//! 48 bits  milliseconds of acceptance      4 bits version   12 bits  ordinal (attempt number, else 0)
//!  2 bits  variant                         8 bits shard     44 bits  position   10 bits  checksum
//! ```

use std::fmt;
use std::str::FromStr;

use crate::fields::{NAME_FORM, is_name};
use crate::time::Timestamp;

/// The place of an event or delivery in its shard's order of acceptance; 1 and up, below 2^44.
/// An event takes one, and each of its deliveries the next.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct Position(pub u64);

impl Position {
    /// Before the first position.
    pub const ZERO: Self = Self(0);
    /// The largest position that an id can carry.
    pub const MAX: Self = Self((1 << 44) - 1);

    /// The position `n` further on.
    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }
}

/// The internal number of a tenant. Never used twice, even where a tenant is made again under its old id.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct TenantNo(pub u32);

/// The internal number of an endpoint. Never used twice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct EndpointNo(pub u32);

/// The number of a shard: 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ShardNo(pub u8);

/// How many shards a database has; fixed when it is created.
pub const SHARDS: u8 = 64;

impl ShardNo {
    /// The shard that a tenant belongs to, all of it.
    pub const fn of(tenant: TenantNo) -> Self {
        // Multiplicative hashing: neighbouring numbers spread over all shards.
        #[allow(clippy::cast_possible_truncation, reason = "the top six bits are kept")]
        Self((tenant.0.wrapping_mul(0x9E37_79B1) >> 26) as u8)
    }
}

/// What a public id names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum IdKind {
    /// `evt_`
    Event,
    /// `dlv_`
    Delivery,
    /// `att_`
    Attempt,
    /// `ep_`
    Endpoint,
    /// `tok_`
    Token,
    /// `rpl_`
    Replay,
}

impl IdKind {
    /// The prefix with its underscore.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Event => "evt_",
            Self::Delivery => "dlv_",
            Self::Attempt => "att_",
            Self::Endpoint => "ep_",
            Self::Token => "tok_",
            Self::Replay => "rpl_",
        }
    }
}

/// A public id: the time of acceptance, shard, position and ordinal of what it names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PublicId {
    /// What it names.
    pub kind: IdKind,
    /// Acceptance, whole milliseconds.
    pub millis: i64,
    /// The owner's shard.
    pub shard: ShardNo,
    /// Where it is stored.
    pub position: Position,
    /// The number of an attempt, 1 to 4,095; else 0.
    pub ordinal: u16,
}

/// Why a text is not an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is not an id of this kind")]
pub struct IdError;

/// The largest ordinal that an id carries; later attempts share it.
pub const MAX_ORDINAL: u16 = 0xFFF;

impl PublicId {
    /// The id of what was accepted `at` and stored at `position`.
    pub fn new(kind: IdKind, at: Timestamp, shard: ShardNo, position: Position) -> Self {
        Self { kind, millis: at.as_millis(), shard, position, ordinal: 0 }
    }

    /// The same place, another kind and ordinal.
    #[must_use]
    pub fn with(self, kind: IdKind, ordinal: u16) -> Self {
        Self { kind, ordinal: ordinal.min(MAX_ORDINAL), ..self }
    }

    /// The UUIDv7 inside.
    pub fn uuid(&self) -> u128 {
        let millis = u128::from(self.millis.unsigned_abs() & 0xFFFF_FFFF_FFFF);
        let body = (u128::from(self.shard.0) << 54) | (u128::from(self.position.0 & Position::MAX.0) << 10);
        (millis << 80)
            | (7 << 76)
            | (u128::from(self.ordinal & MAX_ORDINAL) << 64)
            | (0b10 << 62)
            | body
            | u128::from(self.checksum())
    }

    /// Ten bits over everything else, so that a mistyped or invented id is told from a real one early.
    fn checksum(&self) -> u16 {
        let mut x =
            self.position.0 ^ self.millis.unsigned_abs().rotate_left(24) ^ (u64::from(self.shard.0) << 56);
        x ^= u64::from(self.ordinal) << 44;
        x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        u16::try_from((x ^ (x >> 33)) & 0x3FF).unwrap_or(0)
    }

    /// Reads an id of the given kind.
    ///
    /// # Errors
    /// [`IdError`] for another prefix, another length, a character outside the alphabet, or a wrong checksum.
    pub fn parse(kind: IdKind, text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix(kind.prefix()).ok_or(IdError)?;
        let uuid = from_base32(digits).ok_or(IdError)?;
        let id = Self {
            kind,
            millis: i64::try_from(uuid >> 80).map_err(|_| IdError)?,
            ordinal: u16::try_from((uuid >> 64) & 0xFFF).map_err(|_| IdError)?,
            shard: ShardNo(u8::try_from((uuid >> 54) & 0xFF).map_err(|_| IdError)?),
            position: Position(
                u64::try_from((uuid >> 10) & u128::from(Position::MAX.0)).map_err(|_| IdError)?,
            ),
        };
        if id.uuid() == uuid { Ok(id) } else { Err(IdError) }
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
        f.write_str(std::str::from_utf8(&to_base32(self.uuid())).map_err(|_| fmt::Error)?)
    }
}

/// An id that names nothing stored by position (an endpoint, a token): a UUIDv7 whose random bits are given.
pub fn random_id(kind: IdKind, at: Timestamp, random: u128) -> String {
    let millis = u128::from(at.as_millis().unsigned_abs() & 0xFFFF_FFFF_FFFF);
    let uuid =
        (millis << 80) | (7 << 76) | (random & (0xFFF << 64)) | (0b10 << 62) | (random & ((1 << 62) - 1));
    let digits = to_base32(uuid);
    format!("{}{}", kind.prefix(), String::from_utf8_lossy(&digits))
}

/// The UUID that an id of our making stands for, whatever its kind.
///
/// ```
/// use postrider_core::id::{IdKind, random_id, uuid_of};
/// use postrider_core::time::Timestamp;
/// let id = random_id(IdKind::Endpoint, Timestamp::from_secs(1), 7);
/// assert_eq!(uuid_of(&id).map(|uuid| uuid >> 80), Some(1_000));
/// assert_eq!(uuid_of("my-endpoint"), None);
/// ```
pub fn uuid_of(id: &str) -> Option<u128> {
    from_base32(id.split_once('_')?.1)
}

/// A UUID as text (RFC 9562, section 4).
///
/// ```
/// assert_eq!(postrider_core::id::uuid_text(0x0197_f00d << 96 | 0x1f), "0197f00d-0000-0000-0000-00000000001f");
/// ```
pub fn uuid_text(uuid: u128) -> String {
    let hex = format!("{uuid:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Crockford's base32 alphabet, lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn to_base32(value: u128) -> [u8; 26] {
    let mut out = [0; 26];
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = ALPHABET[((value >> (125 - 5 * i)) & 31) as usize];
    }
    out
}

fn from_base32(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 26 || !matches!(bytes[0], b'0'..=b'7') {
        return None;
    }
    bytes.iter().try_fold(0_u128, |value, b| {
        let digit = ALPHABET.iter().position(|a| a == b)?;
        Some((value << 5) | digit as u128)
    })
}

/// A tenant's public id: 1 to 128 of `A-Za-z0-9._:-`, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TenantId(std::sync::Arc<str>);

/// An endpoint's public id: the same characters as a tenant's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(std::sync::Arc<str>);

/// A subject's public id (a card's, an account's): the same characters as a tenant's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubjectId(std::sync::Arc<str>);

fn named(text: &str) -> Result<std::sync::Arc<str>, &'static str> {
    if is_name(text) { Ok(text.into()) } else { Err(NAME_FORM) }
}

macro_rules! named_id {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                named(text).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
named_id!(TenantId);
named_id!(EndpointId);
named_id!(SubjectId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_position_and_survives_a_round_trip() {
        let at = Timestamp::from_millis(1_763_000_000_123);
        let id = PublicId::new(IdKind::Delivery, at, ShardNo(63), Position::MAX).with(IdKind::Attempt, 7);
        let text = id.to_string();
        assert!(text.starts_with("att_") && text.len() == 30, "{text}");
        assert_eq!(PublicId::parse(IdKind::Attempt, &text), Ok(id));
        assert_eq!((id.uuid() >> 76) & 0xF, 7, "version");
        assert_eq!((id.uuid() >> 62) & 0b11, 0b10, "variant");
    }

    #[test]
    fn a_changed_character_or_another_prefix_is_refused() {
        let id = PublicId::new(IdKind::Event, Timestamp::from_secs(1_700_000_000), ShardNo(1), Position(42))
            .to_string();
        assert!(PublicId::parse(IdKind::Delivery, &id).is_err());
        assert!(PublicId::parse(IdKind::Event, "evt_zzzzzzzzzzzzzzzzzzzzzzzzzz").is_err());
        let accepted = (4..id.len())
            .filter(|&i| {
                let mut bytes = id.clone().into_bytes();
                bytes[i] = if bytes[i] == b'7' { b'5' } else { b'7' };
                PublicId::parse(IdKind::Event, &String::from_utf8(bytes).unwrap()).is_ok()
            })
            .count();
        assert!(accepted <= 1, "{accepted}");
    }

    #[test]
    fn abuse_a12_odd_names_are_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "a\u{202e}b", "%00", "../x", "a\0", &"x".repeat(129)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
        assert!("acme:eu.1_x-Y".parse::<TenantId>().is_ok());
    }

    #[test]
    fn every_shard_gets_tenants() {
        let used: std::collections::BTreeSet<u8> = (0..1_000).map(|n| ShardNo::of(TenantNo(n)).0).collect();
        assert_eq!(used.len(), usize::from(SHARDS));
    }
}
