//! Signatures of Standard Webhooks, scheme `v1`: HMAC-SHA256 over `id.timestamp.body`, in base64.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::secret::SigningSecret;
use crate::time::Timestamp;

/// How old or how far ahead a timestamp may be where the receiver has no other wish: 5 minutes.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// What every signature of this scheme begins with.
const SCHEME: &str = "v1,";
/// The most signatures of one header that are looked at.
const MAX_SIGNATURES: usize = 16;

/// A secret made ready for signing.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Why a message is not accepted as genuine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is not a number of seconds.
    #[error("webhook-timestamp is not a whole number of seconds since 1970")]
    Timestamp,
    /// The timestamp is too old: a replay, or a clock that is ahead of the sender's.
    #[error("webhook-timestamp is {age_s} s old, {allowed_s} s are allowed; is the clock right?")]
    TooOld {
        /// How old, in seconds.
        age_s: u64,
        /// What is allowed.
        allowed_s: u64,
    },
    /// The timestamp lies too far ahead.
    #[error("webhook-timestamp lies {ahead_s} s ahead, {allowed_s} s are allowed; is the clock right?")]
    TooNew {
        /// How far ahead, in seconds.
        ahead_s: u64,
        /// What is allowed.
        allowed_s: u64,
    },
    /// There is no signature of this scheme.
    #[error("webhook-signature holds no signature that begins with v1 and a comma")]
    NoSignature,
    /// None of the signatures fits.
    #[error(
        "no signature fits: another secret, or the body is not the bytes that came (parsed and written again?)"
    )]
    Mismatch,
}

impl SigningKey {
    /// Makes a secret ready.
    pub fn new(secret: &SigningSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &secret.key()))
    }

    /// Appends `v1,` and the signature of a message to `out`. A header with several has a space between them.
    ///
    /// ```
    /// use postrider_core::{secret::SigningSecret, signature::SigningKey};
    /// let key = SigningKey::new(&SigningSecret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").unwrap());
    /// let mut header = String::new();
    /// key.sign_into(&mut header, "evt_1", 1_763_000_000, b"{}");
    /// assert_eq!(header.len(), 47);
    /// ```
    pub fn sign_into(&self, out: &mut String, id: &str, timestamp_s: i64, body: &[u8]) {
        let tag = self.tag(id, timestamp_s, body);
        out.reserve(SCHEME.len() + 44);
        out.push_str(SCHEME);
        STANDARD.encode_string(tag.as_ref(), out);
    }

    fn tag(&self, id: &str, timestamp_s: i64, body: &[u8]) -> hmac::Tag {
        let mut digits = [0; 20];
        let mut context = hmac::Context::with_key(&self.0);
        context.update(id.as_bytes());
        context.update(b".");
        context.update(decimal(timestamp_s, &mut digits));
        context.update(b".");
        context.update(body);
        context.sign()
    }

    /// Checks a message as a receiver would: its headers as they came, and the time.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signatures: &str,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), VerifyError> {
        let timestamp_s: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
        let (now_s, allowed_s) = (now.as_secs(), tolerance.as_secs());
        let distance = now_s.abs_diff(timestamp_s);
        if distance > allowed_s {
            return Err(if timestamp_s < now_s {
                VerifyError::TooOld { age_s: distance, allowed_s }
            } else {
                VerifyError::TooNew { ahead_s: distance, allowed_s }
            });
        }
        let tag = self.tag(id, timestamp_s, body);
        let mut error = VerifyError::NoSignature;
        for signature in signatures.split(' ').filter_map(|s| s.strip_prefix(SCHEME)).take(MAX_SIGNATURES) {
            error = VerifyError::Mismatch;
            if let Ok(given) = STANDARD.decode(signature)
                && constant_time::verify_slices_are_equal(&given, tag.as_ref()).is_ok()
            {
                return Ok(());
            }
        }
        Err(error)
    }
}

/// Writes a number in decimal to the end of a buffer that holds any.
fn decimal(number: i64, digits: &mut [u8; 20]) -> &[u8] {
    let (mut at, mut rest) = (digits.len(), number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with the Python package `standardwebhooks` 1.1.0: `Webhook(secret).sign(id, datetime, body)`.
    const VECTORS: [(&str, &str, i64, &str, &str); 4] = [
        // The one that the official libraries are tested with themselves.
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            "evt_06b0example0000000000000000",
            1_763_000_000,
            r#"{"type":"card.frozen","timestamp":"2025-11-13T02:13:20.000Z","data":{"card":"c1"}}"#,
            "v1,ZESVAcN29ZnVtNnXFU1eR3waIOukFB5TMw4j8z06YcA=",
        ),
        (
            "whsec_//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eDf3t3c29rZ2NfW1dTT0tHQz87NzMvKycjHxsXEw8LBwA==",
            "a:B_c-1",
            1,
            "",
            "v1,93QeLpwZ1Iibrak/0sAwVnAdyWw5q0D5b5uZ7qcbwV4=",
        ),
        (
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "msg",
            253_402_300_799,
            "{\"name\":\"Zoë 😀\",\"amount\":42.50}\n",
            "v1,veEwNWeqQ50OQ2gdTBjg8eD3pdq8ijtuzOFThTUl9Ks=",
        ),
    ];

    fn key(byte: u8) -> SigningKey {
        SigningKey::new(&SigningSecret::generate([byte; 24]))
    }

    fn signed(key: &SigningKey, id: &str, at: i64, body: &[u8]) -> String {
        let mut out = String::new();
        key.sign_into(&mut out, id, at, body);
        out
    }

    #[test]
    fn signatures_are_those_of_the_official_library() {
        for (secret, id, at, body, expected) in VECTORS {
            let key = SigningKey::new(&SigningSecret::parse(secret).unwrap());
            assert_eq!(signed(&key, id, at, body.as_bytes()), expected, "{id}");
        }
    }

    #[test]
    fn a_message_that_is_not_genuine_is_told_why() {
        let (key, other) = (key(1), key(2));
        let now = Timestamp::from_secs(1_000);
        let good = signed(&key, "id", 1_000, b"body");
        let both = format!("{} {good}", signed(&other, "id", 1_000, b"body"));
        let late = signed(&key, "id", 699, b"body");
        let early = signed(&key, "id", 1_301, b"body");
        for (id, at, signatures, body, expected) in [
            ("id", "1000", &*good, "body", Ok(())),
            ("id", "1000", &*both, "body", Ok(())),
            ("id", "1000", &*format!("v1a,x v1,!! {good}"), "body", Ok(())),
            ("id", "699", &*late, "body", Err(VerifyError::TooOld { age_s: 301, allowed_s: 300 })),
            ("id", "1301", &*early, "body", Err(VerifyError::TooNew { ahead_s: 301, allowed_s: 300 })),
            ("id", "now", &*good, "body", Err(VerifyError::Timestamp)),
            ("id", "1001", &*good, "body", Err(VerifyError::Mismatch)),
            ("di", "1000", &*good, "body", Err(VerifyError::Mismatch)),
            ("id", "1000", &*good, "body ", Err(VerifyError::Mismatch)),
            ("id", "1000", "v1,", "body", Err(VerifyError::Mismatch)),
            ("id", "1000", &good[3..], "body", Err(VerifyError::NoSignature)),
            ("id", "1000", "", "body", Err(VerifyError::NoSignature)),
        ] {
            let verdict = key.verify(id, at, signatures, body.as_bytes(), now, DEFAULT_TOLERANCE);
            assert_eq!(verdict, expected, "{at} {signatures}");
        }
        let min = i64::MIN.to_string();
        assert!(matches!(
            key.verify("id", &min, &good, b"", now, DEFAULT_TOLERANCE),
            Err(VerifyError::TooOld { .. })
        ));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key(1)), "SigningKey(…)");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(
            id in "[a-zA-Z0-9_:-]{1,30}", at in -10_000..10_000_i64, body in any::<Vec<u8>>(), flip in any::<prop::sample::Index>(),
        ) {
            let key = key(3);
            let header = signed(&key, &id, at, &body);
            let verify = |body: &[u8]| {
                key.verify(&id, &at.to_string(), &header, body, Timestamp::from_secs(at), Duration::ZERO)
            };
            prop_assert_eq!(verify(&body), Ok(()));
            let mut changed = body.clone();
            if changed.is_empty() { changed.push(0) } else { changed[flip.index(body.len())] ^= 1 }
            prop_assert_eq!(verify(&changed), Err(VerifyError::Mismatch));
        }

        #[test]
        fn numbers_are_written_as_the_library_writes_them(number in any::<i64>()) {
            for number in [number, number % 1_000, i64::MIN, i64::MAX, 0] {
                prop_assert!(decimal(number, &mut [0; 20]) == number.to_string().as_bytes());
            }
        }
    }
}
