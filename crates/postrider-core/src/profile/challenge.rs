//! How an endpoint proves that its owner wants it: what a profile asks it, and where the answer is expected.

use std::time::Duration;

use crate::endpoint::headers as rules;
use crate::fields::one_of;
use crate::json::{self, Detail, Object};

/// How a challenge is made and answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeForm {
    /// The method of the request: `GET` or `POST`.
    pub method: &'static str,
    /// The query parameter that carries the challenge; the URL's own query stays.
    pub query: Box<str>,
    /// How many letters and digits the challenge has.
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

impl ChallengeForm {
    /// Reads `{method?, query, characters?, headers?, status?, proof: {header, algorithm?, encoding?}, retry_for_s?}`.
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
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
        let retry_for_s =
            object.optional("retry_for_s", |v| json::integer(v, 0..=86_400)).unwrap_or_default();
        Some(Self {
            method,
            query: query?,
            characters,
            headers: headers.unwrap_or_default(),
            status: u16::try_from(status).unwrap_or(200),
            proof: proof?,
            retry_for: Duration::from_secs(retry_for_s.into()),
        })
    }
}
