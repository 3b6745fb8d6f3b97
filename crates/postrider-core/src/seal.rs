//! Secrets at rest: sealed under a data key, each for the one row that it belongs to; and the data key itself, sealed
//! ("wrapped") under the operator's master key.
//!
//! AES-256-GCM (NIST SP 800-38D) with nonces that are passed in and must be random: 2³² texts may be sealed under a key,
//! far more than there are changes of configuration. A sealed text is a format byte, the nonce, what is sealed, and its tag.
//! What it is bound to goes in as associated data, so a text that is moved to another row, or brought back from an earlier
//! version of its own, does not open.
//!
//! ```
//! use postrider_core::id::EndpointNo;
//! use postrider_core::seal::{Binding, DataKey, MasterKey};
//! let master = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
//! let key = DataKey::new(&[7; 32]);
//! let wrapped = key.wrap(&master, [1; 16], [2; 12]);
//! let sealed = key.seal(Binding::endpoint(EndpointNo(9), 3), b"hush", [3; 12]);
//! let again = wrapped.unwrap_by(&master).unwrap();
//! assert_eq!(&**again.open(Binding::endpoint(EndpointNo(9), 3), &sealed).unwrap(), b"hush");
//! assert!(again.open(Binding::endpoint(EndpointNo(9), 4), &sealed).is_err());
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::id::EndpointNo;
use crate::secret::Secret;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes that name a database.
pub const DATABASE_BYTES: usize = 16;

/// The first byte of what is sealed.
const FORMAT: u8 = 1;
/// Bytes of a tag.
const TAG_BYTES: usize = 16;
/// Bytes before what is sealed.
const HEAD_BYTES: usize = 1 + NONCE_BYTES;
/// What goes before a master key when its fingerprint is taken, so that it is the digest of nothing else.
const FINGERPRINT_OF: &[u8] = b"postrider master key\0";

/// Why a sealed text does not open. Says nothing of what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// It has another format byte.
    #[error("it is sealed in format {0}, which this program does not know")]
    Format(u8),
    /// Another key, another row or version, or changed bytes: which of them cannot be told.
    #[error("it was sealed under another key or for another row, or was changed since")]
    Refused,
}

/// What a sealed text is bound to: it opens there and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    purpose: Purpose,
    row: [u8; 16],
}

/// What sealed texts are for. A number is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Purpose {
    DataKey = 0,
    Endpoint = 1,
    Credential = 2,
}

impl Binding {
    /// The secrets of one version of an endpoint.
    pub const fn endpoint(no: EndpointNo, version: u32) -> Self {
        let row = ((no.0 as u128) << 64) | version as u128;
        Self { purpose: Purpose::Endpoint, row: row.to_be_bytes() }
    }

    /// The secret of a caller's HMAC key, by the id of its token.
    pub fn credential(id: &str) -> Self {
        let mut row = [0; 16];
        row.copy_from_slice(&digest::digest(&digest::SHA256, id.as_bytes()).as_ref()[..16]);
        Self { purpose: Purpose::Credential, row }
    }

    const fn data_key(database: [u8; DATABASE_BYTES]) -> Self {
        Self { purpose: Purpose::DataKey, row: database }
    }

    /// The associated data: of one length, so that no two bindings are written alike.
    fn bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = FORMAT;
        bytes[1] = self.purpose as u8;
        bytes[2..].copy_from_slice(&self.row);
        bytes
    }
}

/// The bytes of a key, which stay in one place in memory and are wiped when it is dropped.
#[derive(Clone)]
struct Key(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Key {
    fn of(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut key = Self(Box::default());
        key.0.copy_from_slice(bytes);
        key
    }

    fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes());
        LessSafeKey::new(key.expect("AES-256 takes any 32 bytes for a key"))
    }

    fn seal(&self, binding: Binding, clear: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + clear.len() + TAG_BYTES);
        out.push(FORMAT);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(clear);
        let aad = Aad::from(binding.bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher().seal_in_place_separate_tag(nonce, aad, &mut out[HEAD_BYTES..]);
        out.extend_from_slice(
            tag.expect("what is configured is far below the 64 GiB that GCM seals").as_ref(),
        );
        out
    }

    fn open(&self, binding: Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match sealed.first() {
            Some(&FORMAT) => {}
            Some(&other) => return Err(OpenError::Format(other)),
            None => return Err(OpenError::Refused),
        }
        let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or(OpenError::Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[1..]).map_err(|_| OpenError::Refused)?;
        let mut clear = Zeroizing::new(body.to_vec());
        let opened = self.cipher().open_in_place(nonce, Aad::from(binding.bytes()), &mut clear);
        let length = opened.map_err(|_| OpenError::Refused)?.len();
        clear.truncate(length);
        Ok(clear)
    }
}

/// The key that an operator keeps apart from the database. Nothing shows it but [`Self::to_text`].
#[derive(Clone)]
pub struct MasterKey(Key);

impl MasterKey {
    /// Makes one of random bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Key::of(bytes))
    }

    /// Reads one as it is written: the padded base64 (RFC 4648, section 4) of 32 bytes.
    ///
    /// # Errors
    /// A sentence that says how it is written, and repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be the base64 of 32 bytes; make one with: openssl rand -base64 32";
        // Base64 of three bytes more is taken too, so that a longer text is refused and not cut.
        let mut bytes = Zeroizing::new([0; KEY_BYTES + 3]);
        match STANDARD.decode_slice(text, &mut bytes[..]) {
            Ok(KEY_BYTES) => bytes.first_chunk().map(Self::new).ok_or(FORM),
            _ => Err(FORM),
        }
    }

    /// The text that [`Self::parse`] reads.
    pub fn to_text(&self) -> Secret {
        Secret::of(&[&Zeroizing::new(STANDARD.encode(self.0.bytes()))])
    }

    /// What may be told of it, to say which key is meant.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(FINGERPRINT_OF);
        context.update(self.0.bytes());
        let mut first = [0; Fingerprint::BYTES];
        first.copy_from_slice(&context.finish().as_ref()[..Fingerprint::BYTES]);
        Fingerprint(first)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.fingerprint())
    }
}

/// The first bytes of the SHA-256 of a master key: enough to tell the keys of one operator apart, shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub [u8; Self::BYTES]);

impl Fingerprint {
    /// How many bytes.
    pub const BYTES: usize = 4;
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key of one database, under which its secrets are sealed.
#[derive(Clone)]
pub struct DataKey(Key);

impl DataKey {
    /// Makes one of random bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Key::of(bytes))
    }

    /// Wraps it under a master key, for the database of that name.
    pub fn wrap(
        &self,
        master: &MasterKey,
        database: [u8; DATABASE_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> WrappedKey {
        let sealed = master.0.seal(Binding::data_key(database), self.0.bytes(), nonce);
        WrappedKey { database, wrapped_by: master.fingerprint(), sealed: sealed.into() }
    }

    /// Seals a text. `nonce` must be random, and used this once.
    pub fn seal(&self, binding: Binding, clear: &[u8], nonce: [u8; NONCE_BYTES]) -> Bytes {
        self.0.seal(binding, clear, nonce).into()
    }

    /// Opens a text that was sealed for the same binding.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, binding: Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.0.open(binding, sealed)
    }

    /// A key for HMAC-SHA256 that follows from it and is used for access tokens alone: there may be any number of them.
    pub fn for_access_tokens(&self) -> hmac::Key {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.bytes());
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, b"postrider access tokens\0").as_ref())
    }

    /// The signing secret of the server's own for the endpoints of a profile that have none: the same for as long as the
    /// database lives, and stored nowhere.
    pub fn secret_of(&self, profile: &str) -> Secret {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, self.0.bytes()),
            format!("secret of profile {profile}").as_bytes(),
        );
        Secret::new(HEXLOWER.encode(tag.as_ref()))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// A data key as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedKey {
    /// The random name of its database, to which it is bound.
    pub database: [u8; DATABASE_BYTES],
    /// Which master key opens it.
    pub wrapped_by: Fingerprint,
    /// The key, sealed.
    pub sealed: Bytes,
}

impl WrappedKey {
    /// The data key.
    ///
    /// # Errors
    /// [`OpenError`] for another master key than [`Self::wrapped_by`] says, and for what was changed.
    pub fn unwrap_by(&self, master: &MasterKey) -> Result<DataKey, OpenError> {
        let bytes = master.0.open(Binding::data_key(self.database), &self.sealed)?;
        bytes.as_slice().try_into().map(DataKey::new).map_err(|_| OpenError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data_key(byte: u8) -> DataKey {
        DataKey::new(&[byte; KEY_BYTES])
    }

    fn master_key(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; KEY_BYTES])
    }

    const HERE: EndpointNo = EndpointNo(4);

    #[test]
    fn abuse_a106_what_is_sealed_opens_in_its_own_row_and_version_alone() {
        let key = data_key(1);
        let sealed = key.seal(Binding::endpoint(HERE, 2), b"hush", [9; NONCE_BYTES]);
        assert_eq!(sealed.len(), HEAD_BYTES + 4 + TAG_BYTES);
        assert_eq!(&**key.open(Binding::endpoint(HERE, 2), &sealed).unwrap(), b"hush");
        for (key, binding) in [
            (data_key(2), Binding::endpoint(HERE, 2)),
            (key.clone(), Binding::endpoint(EndpointNo(5), 2)),
            (key.clone(), Binding::endpoint(HERE, 1)),
            (key.clone(), Binding::endpoint(HERE, 3)),
            (key, Binding::data_key(Binding::endpoint(HERE, 2).row)),
        ] {
            assert_eq!(key.open(binding, &sealed), Err(OpenError::Refused), "{binding:?}");
        }
    }

    #[test]
    fn a_text_of_a_later_format_is_named_and_what_is_cut_off_is_refused() {
        let (key, binding) = (data_key(1), Binding::endpoint(HERE, 2));
        let sealed = key.seal(binding, b"hush", [9; NONCE_BYTES]);
        let mut later = sealed.to_vec();
        later[0] = 2;
        assert_eq!(key.open(binding, &later), Err(OpenError::Format(2)));
        for length in 0..sealed.len() {
            assert_eq!(key.open(binding, &sealed[..length]), Err(OpenError::Refused), "{length}");
        }
        // As an old version would have kept it.
        assert_eq!(key.open(binding, br#"{"secret":"s"}"#), Err(OpenError::Format(b'{')));
    }

    #[test]
    fn a_data_key_is_unwrapped_by_its_master_key_in_its_database_alone() {
        let wrapped = data_key(7).wrap(&master_key(1), [3; 16], [4; NONCE_BYTES]);
        assert_eq!(wrapped.wrapped_by, master_key(1).fingerprint());
        let sealed = data_key(7).seal(Binding::endpoint(HERE, 1), b"hush", [5; NONCE_BYTES]);
        let again = wrapped.unwrap_by(&master_key(1)).unwrap();
        assert!(again.open(Binding::endpoint(HERE, 1), &sealed).is_ok());
        assert!(wrapped.unwrap_by(&master_key(2)).is_err());
        let elsewhere = WrappedKey { database: [4; 16], ..wrapped };
        assert!(elsewhere.unwrap_by(&master_key(1)).is_err());
    }

    #[test]
    fn a_master_key_is_the_base64_of_32_bytes() {
        let text = |bytes: usize| STANDARD.encode(vec![1; bytes]);
        for (text, good) in [
            (text(32), true),
            (text(31), false),
            (text(33), false),
            (text(64), false),
            (text(9_000), false),
            (text(32).replace('=', ""), false),
            (text(32) + "\n", false),
            (String::new(), false),
            ("0".repeat(64), false),
        ] {
            assert_eq!(MasterKey::parse(&text).is_ok(), good, "{text}");
        }
        let key = MasterKey::parse(&text(32)).unwrap();
        assert_eq!(key.to_text().reveal(), text(32));
    }

    #[test]
    fn keys_are_told_apart_by_their_fingerprints_and_not_shown() {
        assert_ne!(master_key(1).fingerprint(), master_key(2).fingerprint());
        // SHA-256 of the prefix and 32 bytes 01, by sha256sum.
        assert_eq!(format!("{:?}", master_key(1)), "MasterKey(2257c2bf)");
        assert_eq!(format!("{:?}", data_key(1)), "DataKey(…)");
    }

    /// Test case 16 of the specification of GCM (McGrew and Viega), in our framing, whose associated data differ: so only the
    /// ciphertext is compared, which does not depend on them.
    #[test]
    fn the_cipher_is_that_of_the_specification() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(&hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hex("cafebabefacedbaddecaf888"));
        let clear = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let expected = hex(concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        ));
        let sealed = DataKey::new(&bytes).seal(Binding::endpoint(HERE, 1), &clear, nonce);
        assert_eq!(sealed[HEAD_BYTES..HEAD_BYTES + clear.len()], expected);
    }

    proptest! {
        #[test]
        fn a_single_bit_that_changes_is_noticed(
            clear in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let (key, binding) = (data_key(3), Binding::endpoint(HERE, 1));
            let mut sealed = key.seal(binding, &clear, [1; NONCE_BYTES]).to_vec();
            prop_assert_eq!(&**key.open(binding, &sealed).unwrap(), &clear[..]);
            let at = flip.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(key.open(binding, &sealed).is_err());
        }
    }
}
