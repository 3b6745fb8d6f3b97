//! Signatures as a format declares them: an HMAC over parts of the message, under each secret that signs.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;

use super::Message;
use super::template::{self, Part, Value};
use crate::fields::one_of;
use crate::json::{self, Detail, Object};

/// The most bytes that an HMAC has here, in hex.
const MAX_ENCODED: usize = 128;

/// The most signatures of one header that are looked at.
const MAX_LOOKED_AT: usize = 16;
/// Room for what is signed before the body, in bytes.
const SIGNED_BYTES: usize = 64;

/// One signature of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signature {
    /// What headers call it.
    pub(crate) name: Box<str>,
    algorithm: Algorithm,
    encoding: Encoding,
    /// Stands before the signature of each secret.
    prefix: Box<str>,
    /// Stands between the signatures of several.
    separator: Box<str>,
    /// What is signed before the body, and behind it.
    before: Vec<Part<()>>,
    after: Vec<Part<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Algorithm {
    #[default]
    HmacSha256,
    HmacSha512,
}

/// How the bytes of an HMAC are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// Lower case.
    Hex,
    /// RFC 4648, section 4, padded.
    Base64,
}

const ALGORITHMS: [(&str, Algorithm); 2] =
    [("hmac-sha256", Algorithm::HmacSha256), ("hmac-sha512", Algorithm::HmacSha512)];
const ENCODINGS: [(&str, Encoding); 2] = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];

/// A secret made ready for the signatures of one format.
#[derive(Clone)]
pub struct Keys(Box<[hmac::Key]>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    pub(crate) fn of(signatures: &[Signature], key: &[u8]) -> Self {
        Self(signatures.iter().map(|signature| hmac::Key::new(signature.algorithm.hmac(), key)).collect())
    }
}

impl Algorithm {
    const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

impl Encoding {
    fn write(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Hex => HEXLOWER.encode_append(bytes, out),
            Self::Base64 => STANDARD.encode_string(bytes, out),
        }
    }

    fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => HEXLOWER.decode(text.as_bytes()).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
        }
    }
}

impl Signature {
    /// Reads `{algorithm?, encoding, prefix?, separator?, over}`.
    pub(crate) fn read(name: &str, object: &mut Object<'_>) -> Option<Self> {
        let algorithm = object.optional("algorithm", |v| one_of(v, &ALGORITHMS)).unwrap_or_default();
        let encoding = object.required("encoding", |v| one_of(v, &ENCODINGS));
        let prefix = object.optional("prefix", visible).unwrap_or_default();
        let separator = object.optional("separator", visible).unwrap_or_else(|| " ".into());
        let over = object.required("over", |v| {
            let text = json::string(v)?;
            let mut parts = template::parse(&text, |name| (name == "body").then_some(Ok(())))?;
            let mut bodies = parts.iter().enumerate().filter(|(_, part)| matches!(part, Part::Special(())));
            match (bodies.next().map(|(at, _)| at), bodies.next()) {
                (Some(at), None) => {
                    let after = parts.split_off(at + 1);
                    parts.pop();
                    Ok((parts, after))
                }
                _ => Err("must hold {body} once: what is not signed can be changed on its way".into()),
            }
        });
        let (before, after) = over?;
        Some(Self { name: name.into(), algorithm, encoding: encoding?, prefix, separator, before, after })
    }

    /// What the signature of each secret begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Appends the signature under each of the keys; `at` is its place among the format's. `false` where there is none.
    pub(crate) fn write<'k>(
        &self,
        at: usize,
        message: &Message<'_>,
        body: &[u8],
        keys: impl Iterator<Item = &'k Keys>,
        out: &mut String,
    ) -> bool {
        // Nearly always an id and a time, and nothing.
        let (mut before, mut after) = (String::with_capacity(SIGNED_BYTES), String::new());
        let whole = template::write(&self.before, message, &mut before, |(), _| true)
            && template::write(&self.after, message, &mut after, |(), _| true);
        let mut any = false;
        for key in keys.filter_map(|keys| keys.0.get(at)).take_while(|_| whole) {
            if any {
                out.push_str(&self.separator);
            }
            any = true;
            let mut context = hmac::Context::with_key(key);
            context.update(before.as_bytes());
            context.update(body);
            context.update(after.as_bytes());
            out.reserve(self.prefix.len() + MAX_ENCODED);
            out.push_str(&self.prefix);
            self.encoding.write(context.sign().as_ref(), out);
        }
        any
    }

    /// Whether one of the signatures that a header holds is that of the body, and of the values that `known` gives as the
    /// request tells them. `at` is its place among the format's.
    ///
    /// # Errors
    /// Why none is, in words.
    pub(crate) fn check<'m>(
        &self,
        at: usize,
        keys: &Keys,
        known: impl Fn(Value) -> Option<&'m str>,
        body: &[u8],
        given: &str,
    ) -> Result<(), String> {
        let text = |parts: &[Part<()>]| {
            let text = |part: &Part<()>| match part {
                Part::Text(text) => Some(text.to_string()),
                Part::Value(value) => known(*value).map(str::to_owned),
                Part::Special(()) => None,
            };
            parts.iter().map(text).collect::<Option<String>>()
        };
        let signed = text(&self.before).zip(text(&self.after)).zip(keys.0.get(at));
        let Some(((before, after), key)) = signed else {
            return Err("it cannot be checked: the request does not tell all that it signs".into());
        };
        let message = [before.as_bytes(), body, after.as_bytes()].concat();
        let several = (!self.separator.is_empty()).then(|| given.split(&*self.separator));
        let one = if several.is_none() { Some(given) } else { None };
        let mut of_this = several
            .into_iter()
            .flatten()
            .chain(one)
            .take(MAX_LOOKED_AT)
            .filter_map(|signature| signature.strip_prefix(&*self.prefix))
            .peekable();
        if of_this.peek().is_none() {
            return Err(format!("no signature begins with {:?}", self.prefix));
        }
        let fits = |tag: Vec<u8>| hmac::verify(key, &message, &tag).is_ok();
        if of_this.filter_map(|encoded| self.encoding.read(encoded)).any(fits) {
            Ok(())
        } else {
            Err("no signature fits: another secret, or the body is not the bytes that came".into())
        }
    }
}

/// A short text that a header can carry.
fn visible(value: &serde_json::value::RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.len() > 32 || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err("must be at most 32 visible ASCII characters and spaces".into());
    }
    Ok(text.into())
}
