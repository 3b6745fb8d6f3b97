//! Rotating an endpoint's signing secret: for a while the old ones sign beside the new one, so that its receiver can
//! change over when it likes.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::EndpointConfig;
use crate::fault::ParseError;
use crate::json::{self, Object};
use crate::profile::{Rotates, SecretRule};
use crate::secret::SigningSecret;
use crate::time::Timestamp;

/// The most secrets that sign beside the current one: more signatures would only burden every request.
pub const MAX_PREVIOUS_SECRETS: usize = 3;
/// How long the old secret may go on signing, in seconds: up to a week.
pub const OVERLAP_S: RangeInclusive<u32> = 0..=604_800;
/// How long it does where nothing is said: a day.
pub const DEFAULT_OVERLAP_S: u32 = 86_400;

/// What a rotation is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// The secret that signs from now on.
    pub secret: SigningSecret,
    /// How long the present one signs beside it; whole seconds within [`OVERLAP_S`]. Zero ends all old ones at once.
    pub overlap: Duration,
}

impl Rotation {
    /// Reads `{secret?, overlap_s?}`; `fresh` becomes the secret unless the body brings one, where the profile makes some.
    /// Where it signs with one secret alone, `overlap_s` means nothing.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(
        body: &[u8],
        fresh: [u8; SigningSecret::MIN_BYTES],
        rule: &SecretRule,
    ) -> Result<Self, ParseError> {
        let mut object = Object::parse(json::utf8(body)?)?;
        let given = object.has("secret");
        let secret = object.optional("secret", |v| rule.parse(json::secret(v)?));
        let overlap_s =
            object.optional("overlap_s", |v| json::integer(v, OVERLAP_S)).unwrap_or(DEFAULT_OVERLAP_S);
        let overlap_s = if rule.rotates == Rotates::AtOnce { 0 } else { overlap_s };
        let secret = if given { secret } else { rule.generate(&fresh) };
        if !given && secret.is_none() {
            object.fault("secret", "is missing, and the endpoint's profile makes none");
        }
        object.end(secret.map(|secret| Self { secret, overlap: Duration::from_secs(overlap_s.into()) }))
    }
}

impl EndpointConfig {
    /// What becomes of it by a rotation at a time of the wall clock. Of the secrets that still sign the newest
    /// [`MAX_PREVIOUS_SECRETS`] go on.
    ///
    /// # Errors
    /// A fault at `/secret` for the present secret: whoever rotates to it has not changed anything.
    ///
    /// ```
    /// use postrider_core::endpoint::{EndpointConfig, Rotation};
    /// use postrider_core::time::Timestamp;
    /// let before = EndpointConfig::parse_create(br#"{"url": "https://partner.example/"}"#, [7; 24]).unwrap();
    /// let rule = postrider_core::profile::Profile::standard().secret();
    /// let rotation = Rotation::parse(br#"{"overlap_s": 60}"#, [8; 24], rule).unwrap();
    /// let after = before.rotate(&rotation, Timestamp::from_secs(100)).unwrap();
    /// assert_eq!(after.secret, Some(rotation.secret));
    /// assert_eq!(after.previous_secrets, [(before.secret.unwrap(), Timestamp::from_secs(160))]);
    /// ```
    pub fn rotate(&self, rotation: &Rotation, now: Timestamp) -> Result<Self, ParseError> {
        if self.secret.as_ref() == Some(&rotation.secret) {
            return Err(ParseError::fault(
                "/secret",
                "is the present one; give another, or none to have one made",
            ));
        }
        let mut rotated = Self { secret: Some(rotation.secret.clone()), ..self.clone() };
        if let Some(before) = &self.secret {
            rotated.previous_secrets.insert(0, (before.clone(), now + rotation.overlap));
        }
        rotated.previous_secrets.retain(|(secret, until)| now < *until && *secret != rotation.secret);
        if rotation.overlap.is_zero() {
            rotated.previous_secrets.clear();
        }
        rotated.previous_secrets.truncate(MAX_PREVIOUS_SECRETS);
        Ok(rotated)
    }
}
