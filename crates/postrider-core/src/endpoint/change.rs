//! Changing an endpoint by merge patches. Secrets that are not mentioned stay, unless the URL moves.

use serde_json::{Map, Value};
use url::Url;

use super::read::Judge;
use super::{Auth, EndpointConfig, read};
use crate::fault::{Fault, MAX_FAULTS, ParseError};
use crate::json::{Detail, Wiped, merge_patch, parse_object, utf8};

/// The objects of a configuration whose fields are fixed, so that a typo in them is a fault even where it says `null`.
const CLOSED: [&str; 3] = ["auth", "rate_limit", "retry"];

impl EndpointConfig {
    /// What becomes of it by a JSON merge patch (RFC 7396): absent fields stay, secrets too; `null` goes back to the
    /// default. Another `type` of `auth` replaces all of `auth`.
    ///
    /// # Errors
    /// See [`ParseError`]; also a fault at `/auth` where the URL moves to another scheme, host or port and the
    /// credential does not come with it, and at `/secret` where it is to be removed.
    pub fn apply_patch(&self, body: &[u8]) -> Result<Self, ParseError> {
        self.apply_patch_judged(body, &read::any_url)
    }

    /// As [`Self::apply_patch`], with the judgement of whoever sends the deliveries: see [`Self::parse_create_judged`].
    ///
    /// # Errors
    /// As for [`Self::apply_patch`].
    pub fn apply_patch_judged(
        &self,
        body: &[u8],
        judge: &dyn Fn(&str) -> Result<Box<str>, Detail>,
    ) -> Result<Self, ParseError> {
        let patch = parse_object(utf8(body)?)?;
        let mut whole = self.to_public();
        let other_auth =
            patch.get("auth").and_then(|auth| auth.get("type")).is_some_and(|t| *t != self.auth.kind());
        if other_auth {
            whole.remove("auth");
        }
        let mut whole = Wiped::of(whole);
        let mut secret = self.to_secret();
        if other_auth {
            drop(secret.remove("auth"));
        }
        merge_patch(&mut whole.0, secret.take());
        merge_patch(&mut whole.0, Value::Object(patch.clone()));
        keep_nulls(&mut whole.0, &patch);
        let mut faults = Vec::new();
        if patch.get("secret").is_some_and(Value::is_null) {
            // Read on with the present one, so that only this is said of it.
            faults.push(Fault::new(
                "/secret",
                "cannot be removed, since every delivery is signed; rotate it instead",
            ));
            whole.0["secret"] = self.secret.reveal().into();
        }
        self.changed(&whole, &patch, faults, judge)
    }

    fn changed(
        &self,
        whole: &Wiped,
        given: &Map<String, Value>,
        mut faults: Vec<Fault>,
        judge: Judge<'_>,
    ) -> Result<Self, ParseError> {
        let next = match read::config(&whole.to_text(), None, judge) {
            Ok(next) => Some(next),
            Err(ParseError::Faults(found)) => {
                faults.extend(found);
                None
            }
            Err(other) => return Err(other),
        };
        let whole = &whole.0;
        // Judged beside other faults too: whoever mends those should not meet this one only then.
        let url = next.as_ref().map_or_else(|| whole["url"].as_str(), |next| Some(&next.url));
        let field = whole["auth"]["type"].as_str().and_then(Auth::credential_field);
        if let (Some(url), Some(field)) = (url, field)
            && moved(&self.url, url)
            && !given.get("auth").and_then(|auth| auth.get(field)).is_some_and(Value::is_string)
            && !faults.iter().any(|fault| fault.pointer.starts_with("/auth"))
        {
            let detail =
                format!("the URL moves to another host: give auth with its {field} again, or type none");
            faults.push(Fault::new("/auth", detail));
        }
        faults.truncate(MAX_FAULTS);
        match next {
            Some(mut next) if faults.is_empty() => {
                if next.secret == self.secret {
                    next.previous_secret.clone_from(&self.previous_secret);
                }
                Ok(next)
            }
            _ => Err(ParseError::Faults(faults)),
        }
    }
}

/// Whether requests go to another scheme, host or port. What is no URL counts as elsewhere unless it is the same text.
fn moved(old: &str, new: &str) -> bool {
    match (Url::parse(old), Url::parse(new)) {
        (Ok(old), Ok(new)) => old.origin() != new.origin(),
        _ => old != new,
    }
}

/// Puts back the names that a patch removed, as `null`: the reader takes that for absent, but knows the names.
fn keep_nulls(whole: &mut Value, patch: &Map<String, Value>) {
    let Value::Object(whole) = whole else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                whole.insert(name.clone(), Value::Null);
            }
            Value::Object(inner) if CLOSED.contains(&&**name) => {
                if let Some(merged) = whole.get_mut(name) {
                    keep_nulls(merged, inner);
                }
            }
            _ => {}
        }
    }
}
