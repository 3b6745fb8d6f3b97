//! How an endpoint proves that its owner has it: what it is asked, when, and what its answers mean.
//!
//! [`ChallengeForm`] is what a profile declares; [`Verification`] what is known of one endpoint. It is pure: whoever asks
//! tells it when, and what came of it.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::time::Timestamp;

/// The wait after the first failure; after each further one it is twice as long.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two challenges.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Random bytes that suffice for a challenge of any length.
pub const RANDOM_BYTES: usize = 512;
/// The characters of a challenge.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How a challenge is made and answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeForm {
    /// The method of the request: `GET` or `POST`.
    pub method: &'static str,
    /// The query parameter that carries the challenge; the URL's own query stays.
    pub query: Box<str>,
    /// How many letters and digits the challenge has, at most 128.
    pub characters: u32,
    /// Further headers of the request.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// The status of an answer that may be good.
    pub status: u16,
    /// Where the proof is expected.
    pub proof: Proof,
    /// For how long a challenge that failed is tried again.
    pub retry_for: Duration,
}

/// Where the proof is, and what it must be: the HMAC of the challenge under the endpoint's secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The header of the answer that holds it.
    pub header: Box<str>,
    /// Whether it is HMAC-SHA512, instead of HMAC-SHA256.
    pub sha512: bool,
    /// Whether it is in base64, instead of hex.
    pub base64: bool,
}

/// Whether a receiver may answer what it is sent as a challenge of `characters` characters: letters and digits alone. Whoever
/// signs other texts signs what a sender of webhooks would never ask, under the key that their bodies are signed with.
///
/// ```
/// use postrider_core::challenge::is_challenge;
/// assert!(is_challenge("ABCDEFGHIJabcdefghi7", 20));
/// assert!(!is_challenge(r#"{"amount":1000000}  "#, 20) && !is_challenge("ABC", 20));
/// ```
pub fn is_challenge(text: &str, characters: u32) -> bool {
    usize::try_from(characters).is_ok_and(|n| text.len() == n)
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl ChallengeForm {
    /// A challenge of random bytes, all characters equally likely; `None` if these are too few.
    pub fn value(&self, random: &[u8; RANDOM_BYTES]) -> Option<Box<str>> {
        let length = usize::try_from(self.characters).ok()?;
        // 248 is the largest multiple of 62 that a byte holds.
        let drawn = random.iter().filter(|byte| **byte < 248);
        let value: String = drawn.take(length).map(|b| char::from(ALPHABET[usize::from(*b) % 62])).collect();
        (value.len() == length).then(|| value.into())
    }

    /// Where a challenge is sent: the endpoint's URL with its own query, and the challenge behind it.
    ///
    /// ```
    /// use postrider_core::challenge::{ChallengeForm, Proof};
    /// # let proof = Proof { header: "x-proof".into(), sha512: false, base64: false };
    /// # let form = ChallengeForm { method: "GET", query: "challenge".into(), characters: 20, headers: vec![], status: 200,
    /// #     proof, retry_for: std::time::Duration::ZERO };
    /// assert_eq!(form.url("https://a.example/?b=%20", "X1").unwrap(), "https://a.example/?b=%20&challenge=X1");
    /// ```
    pub fn url(&self, url: &str, challenge: &str) -> Option<String> {
        let mut url = Url::parse(url).ok()?;
        url.query_pairs_mut().append_pair(&self.query, challenge);
        Some(url.into())
    }

    /// The proof that a receiver with the key answers in its header; `None` for what is no challenge of this form, and must not
    /// be signed.
    ///
    /// ```
    /// use postrider_core::challenge::{ChallengeForm, Proof};
    /// # let proof = Proof { header: "x-proof".into(), sha512: false, base64: false };
    /// # let form = ChallengeForm { method: "GET", query: "challenge".into(), characters: 20, headers: vec![], status: 200,
    /// #     proof, retry_for: std::time::Duration::ZERO };
    /// let proof = form.answer(b"key", "ABCDEFGHIJabcdefghi7").unwrap();
    /// assert!(form.check(b"key", "ABCDEFGHIJabcdefghi7", 200, Some(proof.as_bytes())).is_ok());
    /// assert_eq!(form.answer(b"key", r#"{"amount":1000000}  "#), None);
    /// ```
    pub fn answer(&self, key: &[u8], challenge: &str) -> Option<String> {
        let algorithm = if self.proof.sha512 { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
        let key = hmac::Key::new(algorithm, key);
        is_challenge(challenge, self.characters).then(|| {
            let tag = hmac::sign(&key, challenge.as_bytes());
            if self.proof.base64 { STANDARD.encode(tag) } else { HEXLOWER_PERMISSIVE.encode(tag.as_ref()) }
        })
    }

    /// Whether an answer proves that whoever gave it has the key; `proof` is what its header says. The comparison takes as
    /// long for any answer.
    ///
    /// # Errors
    /// What is wrong with it, in words for the endpoint's owner; nothing of the answer is in them.
    pub fn check(
        &self,
        key: &[u8],
        challenge: &str,
        status: u16,
        proof: Option<&[u8]>,
    ) -> Result<(), String> {
        if status != self.status {
            return Err(format!("the receiver answered {status} instead of {}", self.status));
        }
        let header = &self.proof.header;
        let proof = proof.ok_or_else(|| format!("the answer has no header {header}"))?;
        let (encoding, tag) = if self.proof.base64 {
            ("base64", STANDARD.decode(proof).ok())
        } else {
            ("hex", HEXLOWER_PERMISSIVE.decode(proof).ok())
        };
        let (name, algorithm) = if self.proof.sha512 {
            ("HMAC-SHA512", hmac::HMAC_SHA512)
        } else {
            ("HMAC-SHA256", hmac::HMAC_SHA256)
        };
        let key = hmac::Key::new(algorithm, key);
        let fits = tag.is_some_and(|tag| hmac::verify(&key, challenge.as_bytes(), &tag).is_ok());
        let expected =
            || format!("{header} is not the {name} of the challenge under the secret, in {encoding}");
        if fits { Ok(()) } else { Err(expected()) }
    }
}

/// What is known of whose an endpoint is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// When it was proven for the URL that it has.
    #[serde(with = "micros_or_none")]
    verified_at: Option<Timestamp>,
    /// Since when it is asked.
    #[serde(with = "micros")]
    begun_at: Timestamp,
    /// How often it failed since.
    failures: u32,
    last: Option<Tried>,
}

/// What came of a challenge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// When it ended.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// Why it proved nothing, if it did not.
    pub fault: Option<Box<str>>,
}

impl Verification {
    /// Nothing is known, and it is to be asked from now on.
    ///
    /// ```
    /// # use postrider_core::challenge::{ChallengeForm, Proof, Verification};
    /// # use postrider_core::time::Timestamp;
    /// # use std::time::Duration;
    /// # let proof = Proof { header: "x-proof".into(), sha512: false, base64: false };
    /// # let form = ChallengeForm { method: "GET", query: "challenge".into(), characters: 20, headers: vec![], status: 200,
    /// #     proof, retry_for: Duration::from_secs(600) };
    /// let at = Timestamp::from_secs;
    /// let begun = Verification::begin(at(100));
    /// assert_eq!(begun.due(&form), Some(at(100)));
    /// let failed = begun.tried(at(101), Some("the receiver answered 404 instead of 200".into()));
    /// assert!(!failed.is_verified() && failed.due(&form) == Some(at(102)));
    /// let proven = failed.tried(at(102), None);
    /// assert!(proven.is_verified() && proven.due(&form).is_none());
    /// assert!(!proven.changed(true, at(200)).is_verified());
    /// ```
    pub const fn begin(now: Timestamp) -> Self {
        Self { verified_at: None, begun_at: now, failures: 0, last: None }
    }

    /// Whether it is proven.
    pub const fn is_verified(&self) -> bool {
        self.verified_at.is_some()
    }

    /// What came of the last challenge.
    pub const fn last(&self) -> Option<&Tried> {
        self.last.as_ref()
    }

    /// When it is to be asked of our own accord; `None` once it is proven, or was asked for long enough.
    pub fn due(&self, form: &ChallengeForm) -> Option<Timestamp> {
        if self.is_verified() {
            return None;
        }
        let Some(doublings) = self.failures.checked_sub(1) else { return Some(self.begun_at) };
        let wait = FIRST_WAIT.saturating_mul(1 << doublings.min(16)).min(LONGEST_WAIT);
        let due = self.last.as_ref().map_or(self.begun_at, |last| last.at) + wait;
        (due <= self.begun_at + form.retry_for).then_some(due)
    }

    /// A challenge ended. One that fails takes no proof back that was given: it is asked again for people to see.
    #[must_use]
    pub fn tried(&self, now: Timestamp, fault: Option<Box<str>>) -> Self {
        let failed = fault.is_some();
        Self {
            verified_at: if failed { self.verified_at } else { Some(now) },
            begun_at: self.begun_at,
            failures: self.failures.saturating_add(u32::from(failed)),
            last: Some(Tried { at: now, fault }),
        }
    }

    /// The endpoint was changed. What was proven of another URL says nothing of this one, and what was not proven may be now.
    #[must_use]
    pub fn changed(&self, moved: bool, now: Timestamp) -> Self {
        if moved { Self::begin(now) } else { self.asked_again(now) }
    }

    /// Somebody wants it asked again: where it is not proven, for as long as at the beginning.
    #[must_use]
    pub fn asked_again(&self, now: Timestamp) -> Self {
        if self.is_verified() {
            return self.clone();
        }
        Self { last: self.last.clone(), ..Self::begin(now) }
    }

    /// The document for the store, as JSON.
    pub fn to_doc(&self) -> Bytes {
        serde_json::to_vec(self).expect("numbers and texts are written to memory").into()
    }

    /// What [`Self::to_doc`] wrote; `None` for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Option<Self> {
        serde_json::from_slice(doc).ok()
    }
}

/// Times as microseconds.
mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }
}

/// The same where there may be none.
mod micros_or_none {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::time::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_micros).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> ChallengeForm {
        ChallengeForm {
            method: "GET",
            query: "challenge".into(),
            characters: 20,
            headers: Vec::new(),
            status: 200,
            proof: Proof { header: "x-verify-token".into(), sha512: false, base64: false },
            retry_for: Duration::from_secs(600),
        }
    }

    #[test]
    fn abuse_a94_challenges_are_letters_and_digits_and_nothing_else_is_one() {
        let mut random = [0; RANDOM_BYTES];
        for (n, byte) in random.iter_mut().enumerate() {
            *byte = u8::try_from(n * 37 % 256).unwrap();
        }
        let value = form().value(&random).unwrap();
        assert!(is_challenge(&value, 20), "{value}");
        let longest = ChallengeForm { characters: 128, ..form() };
        assert!(is_challenge(&longest.value(&random).unwrap(), 128));
        assert_eq!(form().value(&[255; RANDOM_BYTES]), None);
        for text in [
            "",
            "ABCDEFGHIJabcdefghi",
            "ABCDEFGHIJabcdefghi77",
            "ABCDEFGHIJabcdefghi ",
            "éééééééééé",
            "{\"a\":1}_____________",
        ] {
            assert!(!is_challenge(text, 20), "{text}");
        }
    }

    #[test]
    fn abuse_a37_a_query_of_the_urls_own_is_kept_and_extended() {
        for (url, expected) in [
            ("https://a.example/hook", "https://a.example/hook?challenge=X"),
            ("https://a.example/?challenge=mine", "https://a.example/?challenge=mine&challenge=X"),
            ("https://a.example/?a=%2B+b&c", "https://a.example/?a=%2B+b&c&challenge=X"),
            ("https://a.example/?", "https://a.example/?challenge=X"),
            ("https://a.example/?a=1&", "https://a.example/?a=1&&challenge=X"),
        ] {
            assert_eq!(form().url(url, "X").as_deref(), Some(expected));
        }
        assert_eq!(form().url("nowhere", "X"), None);
    }

    #[test]
    fn a_proof_is_the_hmac_of_the_challenge_under_the_secret() {
        // printf %s ABCDEFGHIJabcdefghi7 | openssl dgst -sha256 -hmac hush
        let (key, challenge) = (b"hush", "ABCDEFGHIJabcdefghi7");
        let sign = |algorithm| hmac::sign(&hmac::Key::new(algorithm, key), challenge.as_bytes());
        let hex = HEXLOWER_PERMISSIVE.encode(sign(hmac::HMAC_SHA256).as_ref());
        let check = |status, proof: &str| form().check(key, challenge, status, Some(proof.as_bytes()));
        assert_eq!(check(200, &hex), Ok(()));
        assert_eq!(check(200, &hex.to_ascii_uppercase()), Ok(()));
        let other = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"other"), challenge.as_bytes());
        for (status, proof, said) in [
            (404, &*hex, "answered 404 instead of 200"),
            (204, &hex, "answered 204 instead of 200"),
            (200, challenge, "is not the HMAC-SHA256"),
            (200, &hex[..62], "is not the HMAC-SHA256"),
            (200, "", "is not the HMAC-SHA256"),
            (200, &HEXLOWER_PERMISSIVE.encode(other.as_ref()), "is not the HMAC-SHA256"),
            (200, &STANDARD.encode(sign(hmac::HMAC_SHA256).as_ref()), "in hex"),
        ] {
            let fault = check(status, proof).unwrap_err();
            assert!(fault.contains(said), "{proof}: {fault}");
        }
        assert!(form().check(key, challenge, 200, None).unwrap_err().contains("no header x-verify-token"));
        let proof = Proof { sha512: true, base64: true, ..form().proof };
        let stronger = ChallengeForm { proof, ..form() };
        let tag = STANDARD.encode(sign(hmac::HMAC_SHA512).as_ref());
        assert_eq!(stronger.check(key, challenge, 200, Some(tag.as_bytes())), Ok(()));
        assert!(stronger.check(key, challenge, 200, Some(hex.as_bytes())).is_err());
    }

    #[test]
    fn a_challenge_that_fails_is_tried_again_at_growing_intervals_for_ten_minutes() {
        let at = Timestamp::from_secs;
        let mut known = Verification::begin(at(0));
        let mut asked = Vec::new();
        while let Some(due) = known.due(&form()) {
            asked.push(due.as_secs());
            known = known.tried(due, Some("no".into()));
        }
        assert_eq!(asked[..8], [0, 1, 3, 7, 15, 31, 63, 123]);
        assert_eq!(asked.last(), Some(&543));
        assert_eq!(Verification::from_stored(&known.to_doc()), Some(known.clone()));
        // An edit and a person begin it anew; what is known stays visible.
        for again in [known.changed(false, at(900)), known.asked_again(at(900))] {
            assert_eq!((again.due(&form()), again.last()), (Some(at(900)), known.last()));
        }
        assert_eq!(known.changed(true, at(900)).last(), None);
    }

    #[test]
    fn what_is_proven_stays_so_until_the_url_changes() {
        let at = Timestamp::from_secs;
        let proven = Verification::begin(at(0)).tried(at(1), None);
        assert_eq!(proven.changed(false, at(2)), proven);
        assert_eq!(proven.asked_again(at(2)), proven);
        let failed = proven.tried(at(3), Some("the receiver is down".into()));
        assert!(failed.is_verified() && failed.due(&form()).is_none());
        assert_eq!(failed.last().unwrap().fault.as_deref(), Some("the receiver is down"));
        assert_eq!(Verification::from_stored(&failed.to_doc()), Some(failed.clone()));
        let moved = failed.changed(true, at(4));
        assert_eq!((moved.is_verified(), moved.due(&form())), (false, Some(at(4))));
        assert_eq!(Verification::from_stored(b"{}"), None);
    }
}
