//! An endpoint's configuration as its document alone tells it, for all who have no use for its secrets.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::document::UNSIGNED;
use super::{AlsoSign, Auth, EndpointConfig};
use crate::fault::ParseError;
use crate::json::{Members, parse_object, utf8};
use crate::policy::Policy;
use crate::profile::{ProfileName, Profiles};
use crate::secret::SigningSecret;

/// An endpoint's configuration without its secrets: what the machines go by, and what is shown. It can be read where the
/// secrets cannot.
///
/// ```
/// use postrider_core::endpoint::{EndpointConfig, PublicConfig};
/// let body = br#"{"url": "https://partner.example/", "auth": {"type": "bearer", "token": "hush"}}"#;
/// let endpoint = EndpointConfig::parse_create(body, [7; 24]).unwrap();
/// let public = PublicConfig::from_stored(&endpoint.to_doc()).unwrap();
/// assert_eq!(public.view(), endpoint.public_view());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicConfig(
    /// Its secrets are stand-ins, which nothing gives out.
    EndpointConfig,
);

impl PublicConfig {
    /// Reads what [`EndpointConfig::to_doc`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, ParseError> {
        let mut doc = parse_object(utf8(doc)?)?;
        let mut stand_ins = Members::new();
        if doc.remove(UNSIGNED).is_none() {
            let secret = SigningSecret::generate([0; SigningSecret::MIN_BYTES]);
            stand_ins.insert("secret".into(), json!(secret.reveal()).into());
        }
        let kind = doc.get("auth").and_then(|auth| auth.get("type")?.as_str());
        if let Some(field) = kind.and_then(|kind| Auth::credential_field(&kind)) {
            stand_ins.insert("auth".into(), json!({ field: "-" }).into());
        }
        EndpointConfig::merged(doc, stand_ins).map(Self)
    }

    /// Where deliveries go.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What the machines need to know of it, apart from whether it is proven whose it is.
    pub fn policy(&self, version: u32, profiles: &Profiles, default_schedule: &Arc<[Duration]>) -> Policy {
        self.0.policy(version, profiles, default_schedule)
    }

    /// How its webhooks look.
    pub fn profile(&self) -> &ProfileName {
        &self.0.profile
    }

    /// Further profiles whose headers its requests carry for a while.
    pub fn also_sign(&self) -> &[AlsoSign] {
        &self.0.also_sign
    }

    /// What who may read it is shown: every field, and instead of secrets whether they are set.
    pub fn view(&self) -> Members {
        self.0.public_view()
    }
}
