//! `verify`: checks a Standard Webhooks signature offline, and finds out why one does not hold.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use clap::Args;
use serde_json::json;

use crate::exit::{self, Usage};
use crate::input;
use crate::output::Output;

const SECRET_PREFIX: &str = "whsec_";
/// A body, or a file of headers, is no larger.
const MAX_INPUT_BYTES: u64 = 16 << 20;
/// Secrets are written with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    tolerance: u64,
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
    let message = Message { id: &id, timestamp: &timestamp, signature: &signature, body: &body };
    match check(&args.secret, message, args.tolerance, now) {
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

/// Whether one `v1` signature holds over `id.timestamp.body` and the time is near `now` (seconds since 1970).
fn check(secret: &str, message: Message<'_>, tolerance: u64, now: u64) -> Result<(), String> {
    let key = key(secret)?;
    let signatures = signatures(message.signature)?;
    if !holds(&key, message, &signatures) {
        return Err(explain(secret, &key, message, &signatures));
    }
    let sent: u64 = message.timestamp.parse().map_err(|_| {
        format!("the timestamp {:?} is not a whole number of seconds since 1970", message.timestamp)
    })?;
    if sent.abs_diff(now) > tolerance {
        let (by, side) = (sent.abs_diff(now), if sent < now { "old" } else { "far ahead" });
        return Err(format!(
            "the signature holds, but the timestamp is {by} s {side} and {tolerance} s are allowed; \
             a replayed message, or a clock that is wrong (--tolerance sets the limit)"
        ));
    }
    Ok(())
}

fn key(secret: &str) -> Result<Vec<u8>, String> {
    let Some(encoded) = secret.trim().strip_prefix(SECRET_PREFIX) else {
        return Err(format!("the secret does not begin with {SECRET_PREFIX}; copy it whole"));
    };
    match BASE64.decode(encoded) {
        Ok(key) if !key.is_empty() => Ok(key),
        Ok(_) => Err("the secret is empty".into()),
        Err(_) => Err(format!("what follows {SECRET_PREFIX} in the secret is not base64; was it cut off?")),
    }
}

/// The `v1` signatures of a header that may hold several, separated by blanks.
fn signatures(header: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for part in header.split_ascii_whitespace() {
        let Some((version, encoded)) = part.split_once(',') else {
            return Err(format!("{part:?} in the signature has no version; it must look like v1,…"));
        };
        if version == "v1" {
            found.push(BASE64.decode(encoded).map_err(|_| format!("the signature {part:?} is not base64"))?);
        }
    }
    if found.is_empty() {
        return Err(
            "there is no v1 signature in the header; a secret that begins with whsec_ checks only those"
                .into(),
        );
    }
    Ok(found)
}

fn holds(key: &[u8], message: Message<'_>, signatures: &[Vec<u8>]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = [message.id.as_bytes(), b".", message.timestamp.as_bytes(), b".", message.body].concat();
    signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
}

/// Tries the usual mistakes, one after the other.
fn explain(secret: &str, key: &[u8], message: Message<'_>, signatures: &[Vec<u8>]) -> String {
    let with_body = |body: &[u8]| holds(key, Message { body, ..message }, signatures);
    let trimmed = message.body.trim_ascii_end();
    if trimmed.len() < message.body.len() && with_body(trimmed) {
        return "the body has whitespace at its end that was not sent; keep it byte for byte as received"
            .into();
    }
    if with_body(&[message.body, b"\n"].concat()) {
        return "the body lacks the newline that it was sent with; keep it byte for byte as received".into();
    }
    let compact = without_whitespace(message.body);
    if compact != message.body && with_body(&compact) {
        return "the body was formatted again after it was received; check the bytes before parsing them"
            .into();
    }
    let text = secret.trim();
    let raw = [text.as_bytes(), text.trim_start_matches(SECRET_PREFIX).as_bytes()];
    if raw.iter().any(|key| holds(key, message, signatures)) {
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

#[cfg(test)]
mod tests;
