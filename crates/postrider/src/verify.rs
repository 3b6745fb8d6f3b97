//! `verify`: checks a Standard Webhooks signature offline, and finds out why one does not hold.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use clap::Args;
use postrider_core::secret::SigningSecret;
use postrider_core::signature::{DEFAULT_TOLERANCE, SigningKey, VerifyError};
use postrider_core::time::Timestamp;
use serde_json::json;

use crate::exit::{self, Usage};
use crate::input;
use crate::output::Output;

/// A body, or a file of headers, is no larger.
const MAX_INPUT_BYTES: u64 = 16 << 20;

/// What was received.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The endpoint's signing secret, whsec_…
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true)]
    secret: String,
    /// The header webhook-id
    #[arg(long)]
    id: Option<String>,
    /// The header webhook-timestamp
    #[arg(long)]
    timestamp: Option<String>,
    /// The header webhook-signature
    #[arg(long)]
    signature: Option<String>,
    /// File with the headers as received, one `name: value` a line; - is standard input
    #[arg(long, value_name = "FILE")]
    headers: Option<String>,
    /// File with the body as received, byte for byte; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    body: String,
    /// By how much the timestamp may differ from now, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TOLERANCE.as_secs())]
    tolerance: u64,
    /// Say why it fails; this is always said
    #[arg(long)]
    explain: bool,
}

/// A message as received.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    id: &'a str,
    timestamp: &'a str,
    signature: &'a str,
    body: &'a [u8],
}

pub(crate) fn run(args: &VerifyArgs, output: Output) -> anyhow::Result<ExitCode> {
    if args.headers.as_deref() == Some("-") && args.body == "-" {
        return Err(Usage("headers and body cannot both come from standard input; name a file".into()).into());
    }
    let headers = match &args.headers {
        Some(file) => input::read_text(file, MAX_INPUT_BYTES)?,
        None => String::new(),
    };
    let value = |flag: &Option<String>, name: &str| {
        flag.clone().or_else(|| header(&headers, name)).ok_or_else(|| {
            let flag = name.trim_start_matches("webhook-");
            Usage(format!("the header {name} is missing; give it with --{flag} or in --headers"))
        })
    };
    let id = value(&args.id, "webhook-id")?;
    let timestamp = value(&args.timestamp, "webhook-timestamp")?;
    let signature = value(&args.signature, "webhook-signature")?;
    let body = input::read(&args.body, MAX_INPUT_BYTES)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = Timestamp::from_secs(i64::try_from(now).unwrap_or(i64::MAX));
    let message = Message { id: &id, timestamp: &timestamp, signature: &signature, body: &body };
    match check(&args.secret, message, Duration::from_secs(args.tolerance), now) {
        Ok(()) => {
            output.done("valid: the signature holds", &json!({"valid": true}))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(reason) => {
            output.done(&format!("invalid: {reason}"), &json!({"valid": false, "reason": reason}))?;
            Ok(ExitCode::from(exit::FAILED))
        }
    }
}

/// The value of a header in lines of `name: value`.
fn header(lines: &str, name: &str) -> Option<String> {
    lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

/// Whether a signature holds and the time is near `now`; else why not.
fn check(secret: &str, message: Message<'_>, tolerance: Duration, now: Timestamp) -> Result<(), String> {
    let key = key(secret)?;
    let Message { id, timestamp, signature, body } = message;
    match key.verify(id, timestamp, signature, body, now, tolerance) {
        Ok(()) => Ok(()),
        Err(VerifyError::Timestamp) => {
            Err(format!("the timestamp {timestamp:?} is not a whole number of seconds since 1970"))
        }
        Err(VerifyError::TooOld { age_s, allowed_s }) if holds(&key, message) => {
            Err(untimely(&format!("{age_s} s old"), allowed_s))
        }
        Err(VerifyError::TooNew { ahead_s, allowed_s }) if holds(&key, message) => {
            Err(untimely(&format!("{ahead_s} s far ahead"), allowed_s))
        }
        Err(_) => Err(explain(secret, &key, message)),
    }
}

fn untimely(by: &str, allowed_s: u64) -> String {
    format!(
        "the signature holds, but the timestamp is {by} and {allowed_s} s are allowed; \
         a replayed message, or a clock that is wrong (--tolerance sets the limit)"
    )
}

/// Whether a signature holds, whenever it was made.
fn holds(key: &SigningKey, message: Message<'_>) -> bool {
    let Message { id, timestamp, signature, body } = message;
    timestamp.parse().is_ok_and(|sent| {
        key.verify(id, timestamp, signature, body, Timestamp::from_secs(sent), Duration::ZERO).is_ok()
    })
}

/// The key of a secret, which may lack the padding of its base64.
fn key(secret: &str) -> Result<SigningKey, String> {
    let Some(encoded) = secret.trim().strip_prefix(SigningSecret::PREFIX) else {
        return Err(format!("the secret does not begin with {}; copy it whole", SigningSecret::PREFIX));
    };
    if encoded.is_empty() {
        return Err("the secret is empty".into());
    }
    let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| {
        format!("what follows {} in the secret is not base64; was it cut off?", SigningSecret::PREFIX)
    })?;
    of_bytes(&bytes).ok_or_else(|| {
        let (least, most) = (SigningSecret::MIN_BYTES, SigningSecret::MAX_BYTES);
        format!("the secret stands for {} bytes instead of {least} to {most}; was it cut off?", bytes.len())
    })
}

/// The key that these bytes are, if a secret can stand for so many.
fn of_bytes(bytes: &[u8]) -> Option<SigningKey> {
    let text = format!("{}{}", SigningSecret::PREFIX, STANDARD.encode(bytes));
    SigningSecret::parse(&text).ok().map(|secret| SigningKey::new(&secret))
}

/// What is wrong with the header itself, if anything is.
fn malformed(header: &str) -> Option<String> {
    let mut any = false;
    for part in header.split_ascii_whitespace() {
        let Some((version, encoded)) = part.split_once(',') else {
            return Some(format!("{part:?} in the signature has no version; it must look like v1,…"));
        };
        if version == "v1" {
            any = true;
            if STANDARD.decode(encoded).is_err() {
                return Some(format!("the signature {part:?} is not base64"));
            }
        }
    }
    (!any).then(|| {
        "there is no v1 signature in the header; a secret that begins with whsec_ checks only those".into()
    })
}

/// Tries the usual mistakes, one after the other.
fn explain(secret: &str, key: &SigningKey, message: Message<'_>) -> String {
    if let Some(fault) = malformed(message.signature) {
        return fault;
    }
    let with_body = |body: &[u8]| holds(key, Message { body, ..message });
    let trimmed = message.body.trim_ascii_end();
    if trimmed.len() < message.body.len() && with_body(trimmed) {
        return "the body has whitespace at its end that was not sent; keep it byte for byte as received"
            .into();
    }
    if with_body(&[message.body, b"\n"].concat()) {
        return "the body lacks the newline that it was sent with; keep it byte for byte as received".into();
    }
    let plain = without_escapes(message.body);
    let (compact, both) = (without_whitespace(message.body), without_whitespace(&plain));
    if [plain, compact, both].iter().any(|again| again != message.body && with_body(again)) {
        return "the body was parsed and written again after it was received; check the bytes before parsing them"
            .into();
    }
    let text = secret.trim();
    let raw = [text, text.trim_start_matches(SigningSecret::PREFIX)];
    if raw.iter().filter_map(|text| of_bytes(text.as_bytes())).any(|key| holds(&key, message)) {
        return "it was signed with the text of the secret as the key; the key is what its base64 decodes to"
            .into();
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(message.body).is_err() {
        return "no v1 signature matches, and the body is not whole JSON: it was cut off or changed".into();
    }
    "no v1 signature matches: another secret (perhaps it was rotated), another id or timestamp, \
     or a body that is not byte for byte what was received"
        .into()
}

/// JSON without the blanks between its tokens.
fn without_whitespace(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    json.iter()
        .copied()
        .filter(|&byte| {
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
                return true;
            }
            in_string = byte == b'"';
            !byte.is_ascii_whitespace()
        })
        .collect()
}

/// JSON with the characters themselves where a writer may have chosen escapes for them: those beyond ASCII, and the slash.
fn without_escapes(json: &[u8]) -> Vec<u8> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut plain, mut at) = (Vec::with_capacity(json.len()), 0);
    while let Some(&byte) = json.get(at) {
        let escaped = (byte == b'\\').then(|| json.get(at + 1)).flatten();
        if escaped == Some(&b'/') {
            plain.push(b'/');
            at += 2;
            continue;
        }
        let units = [unit(at), unit(at + 6)].into_iter().map_while(|unit| unit);
        match char::decode_utf16(units).next() {
            Some(Ok(c)) if !c.is_ascii() => {
                plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += 6 * c.len_utf16();
            }
            _ => {
                plain.push(byte);
                plain.extend(escaped);
                at += 1 + usize::from(escaped.is_some());
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
