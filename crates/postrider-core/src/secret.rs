//! Secrets: texts that are never shown by accident.

use std::fmt;

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A credential in clear. `Debug` shows nothing of it, there is no `Display`, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes a text as secret. A `String` with room to spare may be moved to get rid of it, and leaves a copy behind that
    /// is not wiped: [`Self::of`] does not.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Puts a secret together of its parts, in one place.
    pub fn of(parts: &[&str]) -> Self {
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| text.push_str(part));
        Self::new(text)
    }

    /// The text in clear, for those few places that need it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}
impl Eq for Secret {}

/// A signing secret, in the form that its endpoint's [profile](crate::profile::SecretRule) asks for. That of Standard Webhooks
/// is `whsec_` and the base64 (RFC 4648, section 4, padded) of 24 to 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningSecret(Secret);

impl SigningSecret {
    /// What it begins with.
    pub const PREFIX: &'static str = "whsec_";
    /// The shortest key, in bytes; also the length of a generated one.
    pub const MIN_BYTES: usize = 24;
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The longest text, in bytes.
    pub const MAX_TEXT: usize = 512;

    /// Takes a text of any form.
    ///
    /// # Errors
    /// A sentence for one that is empty, too long, or holds control characters.
    pub fn of_text(text: Secret) -> Result<Self, &'static str> {
        let fits = (1..=Self::MAX_TEXT).contains(&text.reveal().len())
            && !text.reveal().chars().any(char::is_control);
        if fits { Ok(Self(text)) } else { Err("must be 1 to 512 bytes without control characters") }
    }

    /// Makes one of Standard Webhooks of random bytes.
    ///
    /// ```
    /// use postrider_core::secret::SigningSecret;
    /// let secret = SigningSecret::generate([7; 24]);
    /// assert_eq!(secret.reveal(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
    /// assert_eq!(format!("{secret:?}"), "SigningSecret(Secret(…))");
    /// ```
    pub fn generate(random: [u8; Self::MIN_BYTES]) -> Self {
        Self(Secret::of(&[Self::PREFIX, &Zeroizing::new(STANDARD.encode(random))]))
    }

    /// Reads one of Standard Webhooks.
    ///
    /// # Errors
    /// A sentence that says how it is written, and repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be whsec_ followed by the padded base64 of 24 to 64 bytes";
        match key_of(text) {
            Some(key) if (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&key.len()) => {
                Ok(Self(Secret::new(text)))
            }
            _ => Err(FORM),
        }
    }

    /// The text in clear.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// The key of one of Standard Webhooks: what the base64 stands for; of any other form the bytes of the text.
    pub fn key(&self) -> Zeroizing<Vec<u8>> {
        let text = self.0.reveal();
        key_of(text).unwrap_or_else(|| Zeroizing::new(text.as_bytes().to_vec()))
    }
}

fn key_of(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Far longer texts are not decoded only to be refused.
    let encoded =
        text.strip_prefix(SigningSecret::PREFIX).filter(|e| e.len() <= 2 * SigningSecret::MAX_BYTES)?;
    STANDARD.decode(encoded).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_secret_has_a_prefix_and_24_to_64_bytes() {
        let with = |n: usize| format!("whsec_{}", STANDARD.encode(vec![1; n]));
        for (text, good) in [
            (with(24), true),
            (with(64), true),
            (with(23), false),
            (with(65), false),
            (with(9_000), false),
            (with(24).replace("whsec_", ""), false),
            (with(25).replace('=', ""), false),
            (with(24) + "\n", false),
            (String::new(), false),
            ("whsec_".into(), false),
            ("whsec_!!!!".into(), false),
        ] {
            assert_eq!(SigningSecret::parse(&text).is_ok(), good, "{text}");
        }
        assert_eq!(SigningSecret::parse(&with(25)).unwrap().key()[..], [1; 25]);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(…))");
    }
}
