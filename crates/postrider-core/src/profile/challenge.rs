//! How an endpoint proves that its owner wants it: what a profile asks it, and where the answer is expected.

use std::time::Duration;

use crate::challenge::{ChallengeForm, Proof};
use crate::endpoint::headers as rules;
use crate::fields::one_of;
use crate::json::{self, Detail, Object};

/// Reads `{method?, query, characters?, headers?, status?, proof: {header, algorithm?, encoding?}, retry_for_s?}`.
pub(super) fn read(object: &mut Object<'_>) -> Option<ChallengeForm> {
    let method =
        object.optional("method", |v| one_of(v, &[("GET", "GET"), ("POST", "POST")])).unwrap_or("GET");
    let query = object.required("query", |v| {
        let text = json::string(v)?;
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.');
        if fits {
            Ok(Box::from(text))
        } else {
            Err(Detail::from("must be 1 to 64 letters, digits, and - _ ."))
        }
    });
    let characters = object.optional("characters", |v| json::integer(v, 16..=128)).unwrap_or(20);
    let headers = object.map("headers", 8, |name, value| {
        rules::check_profile_name(name)?;
        let value = json::string(value)?;
        rules::check_value(&value)?;
        Ok((Box::from(name), Box::from(value)))
    });
    let status = object.optional("status", |v| json::integer(v, 200..=299)).unwrap_or(200);
    let proof = object.object("proof", |proof| {
        let header = proof.required("header", |v| {
            let name = json::string(v)?;
            rules::check_profile_name(&name)?;
            Ok(Box::from(name))
        });
        let algorithms = [("hmac-sha256", false), ("hmac-sha512", true)];
        let sha512 = proof.optional("algorithm", |v| one_of(v, &algorithms)).unwrap_or_default();
        let base64 = proof
            .optional("encoding", |v| one_of(v, &[("hex", false), ("base64", true)]))
            .unwrap_or_default();
        Some(Proof { header: header?, sha512, base64 })
    });
    if !object.has("proof") {
        object.fault("proof", "is missing: without it anybody's URL would pass");
    }
    let retry_for_s = object.optional("retry_for_s", |v| json::integer(v, 0..=86_400)).unwrap_or_default();
    Some(ChallengeForm {
        method,
        query: query?,
        characters,
        headers: headers.unwrap_or_default(),
        status: u16::try_from(status).unwrap_or(200),
        proof: proof?,
        retry_for: Duration::from_secs(retry_for_s.into()),
    })
}
