//! What a profile takes for a signing secret: its form, how one is made, and what a rotation does.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

use crate::fields::one_of;
use crate::json::{self, Detail, Object};
use crate::secret::{Secret, SigningSecret};

/// The characters of a secret that is made as text.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What signing secrets are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretRule {
    form: Form,
    prefix: Box<str>,
    generate: Option<u32>,
    /// Whether an endpoint must have one.
    pub required: bool,
    /// Whether deliveries of an endpoint that has none are signed with a key of the server's own.
    pub fallback: bool,
    /// Whether its owner may read it back.
    pub readable: bool,
    /// What a rotation does to the one of before.
    pub rotates: Rotates,
}

/// What a rotation does to the secret of before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rotates {
    /// It signs no more: receivers compare one value.
    #[default]
    AtOnce,
    /// It signs beside the new one for as long as was asked.
    Overlapping,
}

/// What the bytes of the key are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Form {
    /// Those of the text, whatever it is.
    #[default]
    Utf8,
    /// What it stands for in hex.
    Hex,
    /// What it stands for in base64 (RFC 4648, section 4, padded).
    Base64,
}

impl Default for SecretRule {
    /// Any text; nothing depends on it.
    fn default() -> Self {
        Self {
            form: Form::Utf8,
            prefix: Box::default(),
            generate: None,
            required: false,
            fallback: false,
            readable: false,
            rotates: Rotates::AtOnce,
        }
    }
}

impl SecretRule {
    /// Reads `{key?, prefix?, generate?, required?, fallback?, readable?, rotation?}`.
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let forms = [("utf8", Form::Utf8), ("hex", Form::Hex), ("base64", Form::Base64)];
        let form = object.optional("key", |v| one_of(v, &forms)).unwrap_or_default();
        let prefix = object.optional("prefix", |v| {
            let text = json::string(v)?;
            if text.len() > 32 || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err("must be at most 32 visible ASCII characters".into());
            }
            Ok(Box::from(text))
        });
        let generate = object.optional("generate", |v| match form {
            Form::Utf8 => json::integer(v, 32..=128),
            Form::Hex | Form::Base64 => json::integer(v, 24..=64),
        });
        let required = object.optional("required", json::boolean).unwrap_or(generate.is_some());
        let fallback = object.optional("fallback", json::boolean).unwrap_or_default();
        if fallback && (required || generate.is_some()) {
            object.fault(
                "fallback",
                "is of no use where every endpoint has a secret; drop it, or required and generate",
            );
        }
        let readable = object.optional("readable", json::boolean).unwrap_or_default();
        let rotations = [("at_once", Rotates::AtOnce), ("overlapping", Rotates::Overlapping)];
        let rotates = object.optional("rotation", |v| one_of(v, &rotations)).unwrap_or_default();
        Some(Self {
            form,
            prefix: prefix.unwrap_or_default(),
            generate,
            required,
            fallback,
            readable,
            rotates,
        })
    }

    /// Whether an endpoint that brings none gets one.
    pub fn generates(&self) -> bool {
        self.generate.is_some()
    }

    /// Makes one of random bytes; `None` where the profile makes none.
    ///
    /// Of more characters than the bytes have room for, it is as random as they are.
    pub fn generate(&self, random: &[u8; SigningSecret::MIN_BYTES]) -> Option<SigningSecret> {
        let length = usize::try_from(self.generate?).ok()?;
        if self.form == Form::Base64 && length == random.len() {
            let text = Zeroizing::new(STANDARD.encode(random));
            return SigningSecret::of_text(Secret::of(&[&self.prefix, &text])).ok();
        }
        let mut stream = Stream::new(random);
        let text = match self.form {
            Form::Utf8 => Zeroizing::new((0..length).map(|_| stream.character()).collect::<String>()),
            Form::Hex => Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&stream.bytes(length))),
            Form::Base64 => Zeroizing::new(STANDARD.encode(stream.bytes(length))),
        };
        SigningSecret::of_text(Secret::of(&[&self.prefix, &text])).ok()
    }

    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says how it is written, and repeats nothing of it.
    pub fn parse(&self, text: Secret) -> Result<SigningSecret, Detail> {
        if !text.reveal().starts_with(&*self.prefix) {
            return Err(self.form_of_text());
        }
        let secret = SigningSecret::of_text(text).map_err(Detail::from)?;
        self.key(&secret).map(|_| secret)
    }

    /// The key that a secret stands for. Its prefix may be absent: what another profile made may still be one.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn key(&self, secret: &SigningSecret) -> Result<Zeroizing<Vec<u8>>, Detail> {
        let text = secret.reveal();
        let encoded = text.strip_prefix(&*self.prefix).unwrap_or(text);
        let key = match self.form {
            Form::Utf8 => Some(text.as_bytes().to_vec()),
            Form::Hex => HEXLOWER_PERMISSIVE.decode(encoded.as_bytes()).ok(),
            Form::Base64 => STANDARD.decode(encoded).ok(),
        };
        let key = key.map(Zeroizing::new);
        let lengths = SigningSecret::MIN_BYTES..=SigningSecret::MAX_BYTES;
        key.filter(|key| self.form == Form::Utf8 || lengths.contains(&key.len()))
            .ok_or_else(|| self.form_of_text())
    }

    fn form_of_text(&self) -> Detail {
        let prefix = &self.prefix;
        let what = match self.form {
            Form::Utf8 if prefix.is_empty() => return "must be 1 to 512 characters".into(),
            Form::Utf8 => return format!("must begin with {prefix}").into(),
            Form::Hex => "hex",
            Form::Base64 => "padded base64",
        };
        let (least, most) = (SigningSecret::MIN_BYTES, SigningSecret::MAX_BYTES);
        if prefix.is_empty() {
            format!("must be the {what} of {least} to {most} bytes").into()
        } else {
            format!("must be {prefix} followed by the {what} of {least} to {most} bytes").into()
        }
    }
}

/// Any amount of bytes out of a few random ones: HMAC-SHA256 in counter mode (NIST SP 800-108).
struct Stream {
    key: hmac::Key,
    block: u32,
    ready: Zeroizing<Vec<u8>>,
}

impl Stream {
    fn new(random: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, random), block: 0, ready: Zeroizing::default() }
    }

    fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.ready.pop() {
                return byte;
            }
            self.block = self.block.wrapping_add(1);
            let tag = hmac::sign(&self.key, &self.block.to_be_bytes());
            self.ready = Zeroizing::new(tag.as_ref().to_vec());
        }
    }

    fn bytes(&mut self, count: usize) -> Zeroizing<Vec<u8>> {
        Zeroizing::new((0..count).map(|_| self.byte()).collect())
    }

    /// One of [`ALPHABET`], all of them equally likely.
    fn character(&mut self) -> char {
        loop {
            // 248 is the largest multiple of 62 that a byte holds.
            let byte = self.byte();
            if byte < 248 {
                return char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> SecretRule {
        let mut object = Object::parse(text).unwrap();
        let rule = SecretRule::read(&mut object);
        object.end(rule).unwrap()
    }

    #[test]
    fn secrets_are_made_in_the_form_of_their_profile() {
        let made = |text: &str| rule(text).generate(&[7; 24]).map(|secret| secret.reveal().to_owned());
        assert_eq!(
            made(r#"{"key": "base64", "prefix": "whsec_", "generate": 24}"#).unwrap(),
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"
        );
        let sixty = made(r#"{"generate": 60}"#).unwrap();
        assert!(sixty.len() == 60 && sixty.bytes().all(|b| b.is_ascii_alphanumeric()), "{sixty}");
        assert_ne!(sixty, rule(r#"{"generate": 60}"#).generate(&[8; 24]).unwrap().reveal());
        assert_eq!(made(r#"{"key": "hex", "generate": 32}"#).unwrap().len(), 64);
        assert_eq!(made("{}"), None);
    }

    #[test]
    fn the_key_is_what_the_text_stands_for() {
        let key =
            |rule: &SecretRule, text: &str| rule.parse(Secret::new(text)).and_then(|s| rule.key(&s)).ok();
        let any = rule("{}");
        assert_eq!(&**key(&any, "a").unwrap(), b"a");
        assert_eq!(key(&any, ""), None);
        let hex = rule(r#"{"key": "hex"}"#);
        assert_eq!(&**key(&hex, &"0aF0".repeat(12)).unwrap(), [0x0a, 0xf0].repeat(12));
        assert_eq!((key(&hex, "0a"), key(&hex, &"0g".repeat(24))), (None, None));
        let standard = rule(r#"{"key": "base64", "prefix": "whsec_"}"#);
        assert!(key(&standard, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH").is_some());
        assert_eq!(key(&standard, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"), None);
        // A text of another profile that happens to be base64 is a key where this one signs beside it.
        let other = any.parse(Secret::new("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH")).unwrap();
        assert_eq!(&**standard.key(&other).unwrap(), [7; 24]);
    }
}
