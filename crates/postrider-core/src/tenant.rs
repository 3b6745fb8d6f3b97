//! Tenants as the operator configures them.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::card::CardSettings;
use crate::fault::ParseError;
use crate::fields::{Metadata, integrations, metadata, name};
use crate::json::{self, Object, integer, utf8};
use crate::profile::{ProfileName, Profiles};

/// The id of the operator's own tenant, which exists from the first start.
pub const OPERATOR: &str = "_operator";

/// How many endpoints a tenant may be allowed.
pub const QUOTA_ENDPOINTS: RangeInclusive<u32> = 1..=1_000_000;
/// How many it may have where nothing is said.
pub const DEFAULT_QUOTA_ENDPOINTS: u32 = 1_000;
/// With how many values the filters of a tenant's endpoints may be allowed to compare.
pub const QUOTA_FILTER_VALUES: RangeInclusive<u32> = 1..=1_000_000;
/// How many these may be where nothing is said: every event may be compared with all of them.
pub const DEFAULT_QUOTA_FILTER_VALUES: u32 = 10_000;
/// How many pending deliveries a tenant may be allowed, over all its endpoints.
pub const QUOTA_PENDING: RangeInclusive<u32> = 1..=1_000_000_000;
/// How many it may have where nothing is said: twice what one endpoint may owe unless the operator says otherwise, so that one
/// that is dead does not stop the others.
pub const DEFAULT_QUOTA_PENDING: u32 = 20_000_000;
/// How many events a second a tenant may be allowed.
pub const QUOTA_EVENTS_PER_SECOND: RangeInclusive<u32> = 1..=1_000_000;

/// What a tenant may take up at most. What is not set has its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quotas {
    /// Endpoints; within [`QUOTA_ENDPOINTS`].
    pub endpoints: Option<u32>,
    /// Values that the filters of its endpoints compare with, all together; within [`QUOTA_FILTER_VALUES`].
    pub filter_values: Option<u32>,
    /// Pending deliveries over all endpoints; within [`QUOTA_PENDING`].
    pub pending: Option<u32>,
    /// Events accepted a second, after a pause as many at once; within [`QUOTA_EVENTS_PER_SECOND`]. Not limited unless set.
    pub events_per_second: Option<u32>,
}

impl Quotas {
    /// How many endpoints it may have.
    pub fn endpoints(self) -> u32 {
        self.endpoints.unwrap_or(DEFAULT_QUOTA_ENDPOINTS)
    }

    /// With how many values its endpoints' filters may compare.
    pub fn filter_values(self) -> u32 {
        self.filter_values.unwrap_or(DEFAULT_QUOTA_FILTER_VALUES)
    }

    /// How many deliveries may be pending.
    pub fn pending(self) -> u32 {
        self.pending.unwrap_or(DEFAULT_QUOTA_PENDING)
    }

    fn read(object: &mut Object<'_>) -> Option<Self> {
        let mut number = |name, range| object.optional(name, |v| integer(v, range));
        Some(Self {
            endpoints: number("endpoints", QUOTA_ENDPOINTS),
            filter_values: number("filter_values", QUOTA_FILTER_VALUES),
            pending: number("pending", QUOTA_PENDING),
            events_per_second: number("events_per_second", QUOTA_EVENTS_PER_SECOND),
        })
    }

    /// With its defaults.
    fn view(self) -> Value {
        let settled = Self {
            endpoints: Some(self.endpoints()),
            filter_values: Some(self.filter_values()),
            pending: Some(self.pending()),
            ..self
        };
        settled.doc()
    }

    /// As it was given, so that another default holds for what was not.
    fn doc(self) -> Value {
        let Self { endpoints, filter_values, pending, events_per_second } = self;
        json!({
            "endpoints": endpoints,
            "filter_values": filter_values,
            "pending": pending,
            "events_per_second": events_per_second,
        })
    }
}

/// A tenant's configuration. Nothing of it is secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantConfig {
    /// A name for people.
    pub name: Option<Box<str>>,
    /// How its webhooks look unless an endpoint says otherwise.
    pub profile: ProfileName,
    /// What kinds of partner it is: it may have the event types that any of them allows, beside those open to all. Each once.
    pub integrations: Vec<Box<str>>,
    /// What it may take up.
    pub quotas: Quotas,
    /// What becomes of card data in its events, where that differs from the server's default.
    pub card_policy: CardSettings,
    /// Notes of the operator.
    pub metadata: Metadata,
}

impl TenantConfig {
    /// One that has nothing but a name.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Reads one, on a server that has these profiles.
    ///
    /// # Errors
    /// See [`ParseError`].
    ///
    /// ```
    /// use postrider_core::tenant::TenantConfig;
    /// use postrider_core::profile::Profiles;
    /// let profiles = Profiles::default();
    /// let tenant = TenantConfig::parse(r#"{"name": "Acme", "metadata": {"crm": "42"}}"#, &profiles).unwrap();
    /// assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
    /// assert!(TenantConfig::parse(r#"{"nmae": "Acme"}"#, &profiles).is_err());
    /// ```
    pub fn parse(text: &str, profiles: &Profiles) -> Result<Self, ParseError> {
        Self::read(text, Some(profiles))
    }

    /// Reads one; what is stored may name a profile that is there no more.
    fn read(text: &str, profiles: Option<&Profiles>) -> Result<Self, ParseError> {
        let mut object = Object::parse(text)?;
        let config = Self {
            name: name(&mut object),
            profile: object
                .optional("profile", |v| {
                    let text = json::string(v)?;
                    profiles.map_or_else(|| Ok(text.parse()?), |profiles| profiles.name(&text))
                })
                .unwrap_or_default(),
            integrations: integrations(&mut object),
            quotas: object.object("quotas", Quotas::read).unwrap_or_default(),
            card_policy: object
                .object("card_policy", |policy| Some(CardSettings::read(policy)))
                .unwrap_or_default(),
            metadata: metadata(&mut object),
        };
        object.end(Some(config))
    }

    /// What who may read it is shown: every field.
    pub fn public_view(&self) -> Map<String, Value> {
        let metadata = self.metadata.iter().map(|(name, value)| (name.to_string(), json!(value)));
        let fields = [
            ("name", json!(self.name)),
            ("profile", json!(self.profile.as_str())),
            ("integrations", json!(self.integrations)),
            ("quotas", self.quotas.view()),
            ("card_policy", self.card_policy.to_json()),
            ("metadata", Value::Object(metadata.collect())),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The document for the store, as JSON.
    pub fn to_doc(&self) -> Bytes {
        let mut doc = self.public_view();
        doc.insert("quotas".into(), self.quotas.doc());
        Value::Object(doc).to_string().into()
    }

    /// What [`Self::to_doc`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, ParseError> {
        Self::read(utf8(doc)?, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Numbers;

    #[test]
    fn abuse_a02_all_faults_of_a_tenant_come_at_once() {
        let text = r#"{"name":"","profile":"mcards","metadata":{"a":1},"quotas":{"events":1},
            "card_policy":{"numbers":"hide"},"integrations":["a","a","b/c"],"itegrations":[]}"#;
        let error = TenantConfig::parse(text, &Profiles::default()).unwrap_err();
        let pointers: Vec<&str> = error.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/name",
                "/profile",
                "/integrations/1",
                "/integrations/2",
                "/quotas/events",
                "/card_policy/numbers",
                "/metadata/a",
                "/itegrations"
            ]
        );
    }

    #[test]
    fn nothing_of_a_tenant_is_required() {
        let tenant = TenantConfig::parse("{}", &Profiles::default()).unwrap();
        assert_eq!(tenant, TenantConfig::default());
        assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
    }

    #[test]
    fn abuse_a84_quotas_have_ranges_that_their_faults_name() {
        for (quota, most, range) in [
            ("endpoints", 1_000_000, "1 to 1000000"),
            ("pending", 1_000_000_000, "1 to 1000000000"),
            ("events_per_second", 1_000_000, "1 to 1000000"),
        ] {
            let parse = |value: Value| {
                TenantConfig::parse(&json!({"quotas": {quota: value}}).to_string(), &Profiles::default())
            };
            for good in [json!(1), json!(most), json!(null)] {
                assert!(parse(good.clone()).is_ok(), "{quota} {good}");
            }
            for bad in [json!(0), json!(most + 1), json!(1e12), json!(-1), json!(1.5), json!("1")] {
                let error = parse(bad.clone()).unwrap_err();
                let fault = &error.faults()[0];
                assert!(
                    fault.pointer == format!("/quotas/{quota}") && fault.detail.contains(range),
                    "{bad}: {fault}"
                );
            }
        }
    }

    #[test]
    fn quotas_are_shown_with_their_defaults_and_stored_without() {
        let tenant =
            TenantConfig::parse(r#"{"quotas": {"events_per_second": 5}}"#, &Profiles::default()).unwrap();
        let shown = &tenant.public_view()["quotas"];
        let settled = json!({
            "endpoints": 1_000, "filter_values": 10_000, "pending": 20_000_000, "events_per_second": 5
        });
        assert_eq!(*shown, settled);
        let stored: Value = serde_json::from_slice(&tenant.to_doc()).unwrap();
        let given =
            json!({"endpoints": null, "filter_values": null, "pending": null, "events_per_second": 5});
        assert_eq!(stored["quotas"], given);
        assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
        // As the first version stored it.
        assert_eq!(
            TenantConfig::from_stored(br#"{"name":null,"profile":"standard","metadata":{}}"#).unwrap(),
            TenantConfig::default()
        );
    }

    #[test]
    fn a_card_policy_is_stored_as_far_as_it_was_said() {
        let text =
            r#"{"card_policy":{"numbers":"mask","exempt":[{"type":"card.*","pointers":["/data/ref"]}]}}"#;
        let tenant = TenantConfig::parse(text, &Profiles::default()).unwrap();
        assert_eq!(
            (tenant.card_policy.numbers, tenant.card_policy.authentication_data),
            (Some(Numbers::Mask), None)
        );
        assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
    }
}
