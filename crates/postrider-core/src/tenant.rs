//! Tenants as the operator configures them.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::endpoint::Profile;
use crate::fault::ParseError;
use crate::fields::{Metadata, metadata, name, one_of};
use crate::json::{Object, utf8};

/// A tenant's configuration. Nothing of it is secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantConfig {
    /// A name for people.
    pub name: Option<Box<str>>,
    /// How its webhooks look unless an endpoint says otherwise.
    pub profile: Profile,
    /// Notes of the operator.
    pub metadata: Metadata,
}

impl TenantConfig {
    /// One that has nothing but a name.
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// See [`ParseError`].
    ///
    /// ```
    /// use postrider_core::tenant::TenantConfig;
    /// let tenant = TenantConfig::parse(r#"{"name": "Acme", "metadata": {"crm": "42"}}"#).unwrap();
    /// assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
    /// assert!(TenantConfig::parse(r#"{"nmae": "Acme"}"#).is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut object = Object::parse(text)?;
        let config = Self {
            name: name(&mut object),
            profile: object.optional("profile", |v| one_of(v, &Profile::NAMES)).unwrap_or_default(),
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
            ("metadata", Value::Object(metadata.collect())),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The document for the store, as JSON: the same as [`Self::public_view`].
    pub fn to_doc(&self) -> Bytes {
        Value::Object(self.public_view()).to_string().into()
    }

    /// What [`Self::to_doc`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, ParseError> {
        Self::parse(utf8(doc)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a02_all_faults_of_a_tenant_come_at_once() {
        let text = r#"{"name":"","profile":"mcards","metadata":{"a":1},"quotas":{},"integrations":[]}"#;
        let error = TenantConfig::parse(text).unwrap_err();
        let pointers: Vec<&str> = error.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/profile", "/metadata/a", "/quotas", "/integrations"]);
    }

    #[test]
    fn nothing_of_a_tenant_is_required() {
        let tenant = TenantConfig::parse("{}").unwrap();
        assert_eq!(tenant, TenantConfig::default());
        assert_eq!(TenantConfig::from_stored(&tenant.to_doc()).unwrap(), tenant);
    }
}
