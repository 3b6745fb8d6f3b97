//! What a profile's platform tells its partners to do: check what comes, and answer its challenge.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::Query;
use axum::http::{HeaderMap, Method, Uri, header};
use postrider_core::endpoint::Auth;
use postrider_core::profile::Profile;
use postrider_core::secret::{Secret, SigningSecret};
use postrider_core::signature::DEFAULT_TOLERANCE;
use postrider_core::time::Timestamp;
use postrider_core::wire::{CONTENT_TYPE, Keys, Received};

/// A partner: which profile it has, and what it knows.
#[derive(Debug)]
pub(crate) struct Partner {
    profile: Arc<Profile>,
    signing: Option<(SigningSecret, Keys)>,
    auth: Auth,
    tolerance: Duration,
}

/// What a challenge is answered.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) status: u16,
    pub(super) header: String,
    pub(super) value: String,
}

impl Partner {
    /// One that checks signatures under this secret, if there is one, and that requests authenticate so.
    ///
    /// # Errors
    /// A sentence for a secret that cannot be one of the profile's.
    pub(crate) fn new(profile: Arc<Profile>, secret: Option<Secret>, auth: Auth) -> Result<Self, String> {
        let signing = secret.map(|secret| {
            let secret = profile.secret().parse(secret)?;
            let keys = profile.keys(&secret)?;
            Ok((secret, keys))
        });
        let signing = signing.transpose().map_err(|detail: std::borrow::Cow<'_, str>| detail.into_owned())?;
        Ok(Self { profile, signing, auth, tolerance: DEFAULT_TOLERANCE })
    }

    /// What a delivery says, and what is wrong with it apart from its authentication.
    pub(crate) fn received(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Received {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let keys = self.signing.as_ref().map(|(_, keys)| keys);
        let mut received = self.profile.wire().receive(header, body, keys, now, self.tolerance);
        if header(header::CONTENT_TYPE.as_str()) != Some(CONTENT_TYPE) {
            received.faults.push(format!("the header content-type is not {CONTENT_TYPE}"));
        }
        received
    }

    /// Whether a request authenticates as it must.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        self.auth.header_in(self.profile.bearer()).is_none_or(|(name, value)| {
            headers
                .get(&*name)
                .and_then(|given| given.to_str().ok())
                .is_some_and(|given| Secret::new(given) == value)
        })
    }

    /// The proof that answers a challenge, or why it is not answered. `None` for a request that is none.
    pub(super) fn challenge(
        &self,
        method: &Method,
        url: &Uri,
        headers: &HeaderMap,
    ) -> Option<Result<Proof, String>> {
        let form = self.profile.challenge().filter(|form| method.as_str() == form.method)?;
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(url).ok()?;
        let (_, value) = pairs.iter().rev().find(|(name, _)| *name == *form.query)?;
        Some(self.answer(value, headers))
    }

    fn answer(&self, challenge: &str, headers: &HeaderMap) -> Result<Proof, String> {
        let form = self.profile.challenge().ok_or("the profile has no challenge")?;
        let has = |(name, value): &(Box<str>, Box<str>)| {
            headers.get(&**name).is_some_and(|given| given.as_bytes() == value.as_bytes())
        };
        if let Some((name, _)) = form.headers.iter().find(|header| !has(header)) {
            return Err(format!("the header {name} does not say that it is a challenge"));
        }
        let (secret, _) = self.signing.as_ref().ok_or("it cannot be answered without the secret")?;
        let key = self.profile.secret().key(secret).map_err(std::borrow::Cow::into_owned)?;
        let value = form.answer(&key, challenge).ok_or_else(|| {
            format!("what is to be signed is not {} letters and digits, so it is not signed", form.characters)
        })?;
        Ok(Proof { status: form.status, header: form.proof.header.to_string(), value })
    }

    /// What acknowledges a delivery.
    pub(super) fn acknowledgement(&self) -> (u16, String) {
        self.profile.delivery().acknowledged.answer()
    }

    /// What it checks, for people.
    pub(super) fn checks(&self) -> Vec<&'static str> {
        let signature = (self.signing.is_some() && self.profile.wire().signs()).then_some("signature");
        let auth = match &self.auth {
            Auth::None => None,
            other => Some(other.kind()),
        };
        signature.into_iter().chain(auth).collect()
    }
}

/// The time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
