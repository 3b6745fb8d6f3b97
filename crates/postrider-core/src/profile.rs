//! Profiles: how the webhooks of one platform look and behave. Each is a declaration, read once at a start.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::challenge::ChallengeForm;
use crate::event_type::EventTypeConfig;
use crate::fault::Fault;
use crate::json::Detail;
use crate::secret::SigningSecret;
use crate::wire::{Keys, WireFormat};

mod acknowledge;
mod catalog;
mod challenge;
mod read;
mod secret_rule;
mod toml;

pub use acknowledge::Acknowledged;
pub use catalog::{MAX_CATALOG_TYPES, parse_catalog};
pub use secret_rule::{Rotates, SecretRule};
pub use toml::{MAX_DECLARATION_BYTES, Misdeclared};

/// The profile that every server has, and that tenants have unless they name another one.
pub const STANDARD: &str = "standard";
/// The longest name of a profile, in characters.
pub const MAX_PROFILE_NAME: usize = 64;
/// The most profiles of a server.
pub const MAX_PROFILES: usize = 64;
/// After how long of nothing but failures an endpoint is disabled, unless the operator says otherwise.
const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// The name of a profile: 1 to [`MAX_PROFILE_NAME`] of `a-z0-9_-`, a letter first. It may be that of none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(Arc<str>);

impl ProfileName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ProfileName {
    fn default() -> Self {
        Self(STANDARD.into())
    }
}

impl std::str::FromStr for ProfileName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let fits = (1..=MAX_PROFILE_NAME).contains(&text.len())
            && text.bytes().all(allowed)
            && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if fits { Ok(Self(text.into())) } else { Err("must be 1 to 64 of a-z 0-9 _ -, a letter first") }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ProfileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// In which form ids are shown where the profile's own surface shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IdForm {
    /// As in the native API: `ep_…`.
    #[default]
    Native,
    /// As UUIDs.
    Uuid,
    /// As numbers, counted.
    Integer,
}

/// Whether `Bearer` stands before a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BearerForm {
    /// Always.
    #[default]
    Always,
    /// Unless the token already begins with the name of a scheme: then it is sent as it is.
    UnlessSchemed,
}

/// What becomes of deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryRules {
    /// Which answers acknowledge.
    pub acknowledged: Acknowledged,
    /// How long an attempt may take where the endpoint does not say.
    pub timeout: Duration,
    /// The delays after failed attempts where the endpoint has none; the operator's where this is `None`.
    pub schedule: Option<Arc<[Duration]>>,
    /// Whether what comes to a paused endpoint is skipped, instead of held.
    pub pause_skips: bool,
    /// Whether `410 Gone` disables the endpoint.
    pub gone_disables: bool,
    /// Whether one that only fails for long is disabled.
    pub failing_disables: bool,
    /// Whether answers may say what becomes of the delivery: `webhook-delivery`.
    pub directives: bool,
}

/// One profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    name: ProfileName,
    description: Box<str>,
    declaration: Box<str>,
    wire: WireFormat,
    secret: SecretRule,
    delivery: DeliveryRules,
    bearer: BearerForm,
    ids: IdForm,
    challenge: Option<Arc<ChallengeForm>>,
    closed: bool,
    types: BTreeMap<Box<str>, EventTypeConfig>,
}

impl Profile {
    /// Standard Webhooks, which every server has.
    ///
    /// ```
    /// use postrider_core::profile::Profile;
    /// let standard = Profile::standard();
    /// assert_eq!(standard.wire().header_names().next(), Some("webhook-id"));
    /// assert!(!standard.is_closed());
    /// ```
    pub fn standard() -> &'static Arc<Self> {
        static STANDARD_PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| {
            let profile = Profile::parse(ProfileName::default(), include_str!("profile/standard.toml"));
            Arc::new(profile.expect("the declaration of standard is tested to have no faults"))
        });
        &STANDARD_PROFILE
    }

    /// Reads a declaration, in TOML.
    ///
    /// # Errors
    /// All that is wrong with it.
    ///
    /// ```
    /// use postrider_core::profile::Profile;
    /// let text = r#"
    ///     body = { shape = "raw" }
    ///     headers = { X-Id = "{event.id}", X-Signature = "{signatures.body}" }
    ///     signatures.body = { encoding = "hex", over = "{body}" }
    /// "#;
    /// let profile = Profile::parse("acmepay".parse().unwrap(), text).unwrap();
    /// assert!(profile.wire().signs());
    /// let faults = Profile::parse("acmepay".parse().unwrap(), "body = { shape = 'rwa' }\ncolour = 1").unwrap_err();
    /// assert_eq!((faults[0].line, &*faults[0].key), (Some(1), "body.shape"));
    /// assert_eq!((faults[1].line, &*faults[1].key), (Some(2), "colour"));
    /// ```
    pub fn parse(name: ProfileName, text: &str) -> Result<Self, Vec<Misdeclared>> {
        toml::read(text, |object| read::profile(name, text, object))
    }

    /// The same with a catalogue of event types.
    #[must_use]
    pub fn with_types(self, types: BTreeMap<Box<str>, EventTypeConfig>) -> Self {
        Self { types, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &ProfileName {
        &self.name
    }

    /// What it is, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The declaration that it was read from.
    pub fn declaration(&self) -> &str {
        &self.declaration
    }

    /// How deliveries look.
    pub fn wire(&self) -> &WireFormat {
        &self.wire
    }

    /// What signing secrets are, and what becomes of them.
    pub fn secret(&self) -> &SecretRule {
        &self.secret
    }

    /// What becomes of deliveries.
    pub fn delivery(&self) -> &DeliveryRules {
        &self.delivery
    }

    /// Whether `Bearer` stands before a token.
    pub fn bearer(&self) -> BearerForm {
        self.bearer
    }

    /// In which form its surface shows ids.
    pub fn ids(&self) -> IdForm {
        self.ids
    }

    /// How an endpoint proves whose it is, where it has to.
    pub fn challenge(&self) -> Option<&Arc<ChallengeForm>> {
        self.challenge.as_ref()
    }

    /// Whether events of a type that is not in its catalogue are refused.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The event types that it brings with it.
    pub fn types(&self) -> &BTreeMap<Box<str>, EventTypeConfig> {
        &self.types
    }

    /// After how long of nothing but failures an endpoint is disabled.
    pub fn disable_after(&self) -> Option<Duration> {
        self.delivery.failing_disables.then_some(DISABLE_AFTER)
    }

    /// A secret made ready for signing.
    ///
    /// # Errors
    /// A sentence, which repeats nothing of it, for one that cannot be a key of this profile.
    pub fn keys(&self, secret: &SigningSecret) -> Result<Keys, Detail> {
        Ok(self.wire.keys(&self.secret.key(secret)?))
    }

    /// Whether an event can be accepted for a tenant of this profile as far as its format goes.
    ///
    /// # Errors
    /// What stands in the way, with a pointer that begins at the data.
    pub fn check_data(&self, event_type: &str, data: &[u8]) -> Result<(), Fault> {
        self.wire.check_data(event_type, data)
    }
}

/// The profiles that a server has, `standard` among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profiles(BTreeMap<ProfileName, Arc<Profile>>);

impl Default for Profiles {
    /// `standard` alone.
    fn default() -> Self {
        Self(BTreeMap::from([(ProfileName::default(), Arc::clone(Profile::standard()))]))
    }
}

impl Profiles {
    /// Adds one.
    ///
    /// # Errors
    /// A sentence where its name is taken, or there are [`MAX_PROFILES`].
    pub fn add(&mut self, profile: Profile) -> Result<(), Detail> {
        if self.0.contains_key(profile.name()) {
            return Err(format!(
                "{} is the name of a profile that is there already; choose another",
                profile.name()
            )
            .into());
        }
        if self.0.len() >= MAX_PROFILES {
            return Err(format!("is one too many; {MAX_PROFILES} profiles are allowed").into());
        }
        self.0.insert(profile.name().clone(), Arc::new(profile));
        Ok(())
    }

    /// Opens the types that come with a profile to every tenant, whatever its integrations.
    pub fn open_types(&mut self, name: &str) {
        let Some(profile) = self.0.get_mut(name) else { return };
        let mut types = profile.types().clone();
        types.values_mut().for_each(|config| config.integrations.clear());
        *profile = Arc::new(Profile::clone(profile).with_types(types));
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Profile>> {
        self.0.values()
    }

    /// Reads the name of one of them.
    ///
    /// # Errors
    /// A sentence that names those that there are.
    pub fn name(&self, text: &str) -> Result<ProfileName, Detail> {
        self.get(text).map(|profile| profile.name().clone()).ok_or_else(|| {
            let names: Vec<&str> = self.0.keys().map(ProfileName::as_str).collect();
            format!("must be one of {}", names.join(", ")).into()
        })
    }
}
