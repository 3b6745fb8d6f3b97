//! Changing an endpoint, by merge patches or as a whole. Secrets that are not mentioned stay, unless the URL moves.

use std::borrow::Cow;

use url::Url;

use super::{Auth, EndpointConfig, Terms, read};
use crate::fault::{Fault, MAX_FAULTS, ParseError};
use crate::json::{Document, Members, merge_members, parse_object, to_text, utf8};

/// The objects of a configuration whose fields are fixed, so that a typo in them is a fault even where it says `null`.
const CLOSED: [&str; 4] = ["auth", "filters", "rate_limit", "retry"];

impl EndpointConfig {
    /// What becomes of it by a JSON merge patch (RFC 7396): absent fields stay, secrets too; `null` goes back to the
    /// default. Another `type` of `auth` replaces all of `auth`.
    ///
    /// # Errors
    /// See [`ParseError`]; also a fault at `/auth` where the URL moves to another scheme, host or port and the
    /// credential does not come with it, likewise at `/auth/client_secret` where the token URL does, and at `/secret`
    /// where it is to be removed.
    pub fn apply_patch(&self, body: &[u8]) -> Result<Self, ParseError> {
        self.apply_patch_judged(body, &Terms::standard())
    }

    /// As [`Self::apply_patch`], on the [terms](Terms) of a server and a tenant.
    ///
    /// # Errors
    /// As for [`Self::apply_patch`].
    pub fn apply_patch_judged(&self, body: &[u8], terms: &Terms<'_>) -> Result<Self, ParseError> {
        let patch = parse_object(utf8(body)?)?;
        let mut whole = self.to_public();
        let mut secret = self.to_secret();
        if auth_type(&patch).is_some_and(|kind| kind != self.auth.kind()) {
            whole.remove("auth");
            secret.remove("auth");
        }
        merge_members(&mut whole, secret);
        merge_members(&mut whole, patch.clone());
        keep_nulls(&mut whole, &patch);
        let mut faults = Vec::new();
        let profile = whole.get("profile").and_then(Document::as_str);
        let profile = terms.profiles.get(profile.as_deref().unwrap_or(terms.profile.as_str()));
        if patch.get("secret").is_some_and(Document::is_null)
            && profile.is_some_and(|it| it.secret().required)
        {
            // Read on with the present one, so that only this is said of it.
            faults.push(Fault::new(
                "/secret",
                "cannot be removed, since every delivery is signed; rotate it instead",
            ));
            merge_members(&mut whole, self.to_secret());
        }
        self.changed(&whole, &patch, faults, terms)
    }

    /// What becomes of it where its owner sets all of it anew, by a body as for [`Self::parse_create`]: what is absent goes
    /// to its default, save for secrets: the signing secret stays, and the credential where `auth` has the same `type`.
    ///
    /// # Errors
    /// See [`ParseError`]; also a fault at `/auth` as in [`Self::apply_patch`].
    pub fn replace_judged(&self, body: &[u8], terms: &Terms<'_>) -> Result<Self, ParseError> {
        let given = parse_object(utf8(body)?)?;
        let mut kept = self.to_secret();
        if auth_type(&given).is_none_or(|kind| kind != self.auth.kind()) {
            kept.remove("auth");
        }
        let mut whole = given.clone();
        fill(&mut whole, kept);
        self.changed(&whole, &given, Vec::new(), terms)
    }

    /// The URLs by which a change brings a credential that was stored before to another host, as they were and are: that of the
    /// endpoint, or the one where tokens are asked for.
    pub fn takes_credentials_along(&self, before: &Self) -> Option<(Box<str>, Box<str>)> {
        let credential = self.auth.credential();
        if credential.is_none() || credential != before.auth.credential() {
            return None;
        }
        let token_urls = before.auth.oauth2().zip(self.auth.oauth2());
        let urls = token_urls.map(|(before, now)| (&before.token_url, &now.token_url));
        let urls = [Some((&before.url, &self.url)), urls].into_iter().flatten();
        urls.filter(|(before, now)| moved(before, now))
            .map(|(before, now)| (before.clone(), now.clone()))
            .next()
    }

    fn changed(
        &self,
        whole: &Members,
        given: &Members,
        mut faults: Vec<Fault>,
        terms: &Terms<'_>,
    ) -> Result<Self, ParseError> {
        let next = match read::config(&to_text(whole), &read::Source::Changed(terms)) {
            Ok(next) => Some(next),
            Err(ParseError::Faults(found)) => {
                faults.extend(found);
                None
            }
            Err(other) => return Err(other),
        };
        // Judged beside other faults too: whoever mends those should not meet this one only then.
        if !terms.credentials_go_along && !faults.iter().any(|fault| fault.pointer.starts_with("/auth")) {
            faults.extend(self.credential_left_behind(whole, given, next.as_ref()));
        }
        faults.truncate(MAX_FAULTS);
        match next {
            Some(mut next) if faults.is_empty() => {
                if next.secret == self.secret {
                    next.previous_secrets.clone_from(&self.previous_secrets);
                }
                Ok(next)
            }
            _ => Err(ParseError::Faults(faults)),
        }
    }

    /// The fault of a change that would bring the stored credential, or what is had for it, to another host.
    fn credential_left_behind(&self, whole: &Members, given: &Members, next: Option<&Self>) -> Option<Fault> {
        let auth = whole.get("auth");
        let field = auth_type(whole).and_then(|kind| Auth::credential_field(&kind))?;
        if given.get("auth").and_then(|auth| auth.get(field)?.as_str()).is_some() {
            return None;
        }
        let written = whole.get("url").and_then(Document::as_str);
        let url = next.map_or(written.as_deref(), |next| Some(&next.url));
        if url.is_some_and(|url| moved(&self.url, url)) {
            let detail =
                format!("the URL moves to another host: give auth with its {field} again, or type none");
            return Some(Fault::new("/auth", detail));
        }
        let written = auth.and_then(|auth| auth.get("token_url")?.as_str());
        let token_url = next.map_or(written.as_deref(), |next| Some(&next.auth.oauth2()?.token_url));
        let before = self.auth.oauth2()?;
        token_url.is_some_and(|url| moved(&before.token_url, url)).then(|| {
            let detail = "is needed again, since the token URL moves to another host";
            Fault::new(format!("/auth/{field}"), detail)
        })
    }
}

/// The type of `auth`, if a document gives one.
fn auth_type(document: &Members) -> Option<Cow<'_, str>> {
    document.get("auth")?.get("type")?.as_str()
}

/// Adds what is absent, `null` too.
fn fill(target: &mut Members, from: Members) {
    for (name, value) in from {
        match (target.get_mut(&name), value) {
            (Some(Document::Object(target)), Document::Object(value)) => fill(target, value),
            (Some(present), _) if !present.is_null() => {}
            (_, value) => {
                target.insert(name, value);
            }
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
fn keep_nulls(whole: &mut Members, patch: &Members) {
    for (name, value) in patch {
        match value {
            Document::Object(inner) if CLOSED.contains(&&**name) => {
                if let Some(Document::Object(merged)) = whole.get_mut(name) {
                    keep_nulls(merged, inner);
                }
            }
            value if value.is_null() => {
                whole.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
}
