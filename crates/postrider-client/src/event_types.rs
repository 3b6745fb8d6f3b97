//! Event types: the catalogue.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::to_json;
use crate::{Answer, Client, Error, Page, PageRequest};

/// What is said of an event type. Schema and example are sent byte for byte.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EventTypeSpec {
    /// What happened when such an event comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON Schema (2020-12) that its data must fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Box<RawValue>>,
    /// Data as it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Box<RawValue>>,
    /// The integrations that may subscribe to it; all where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub integrations: Vec<String>,
    /// `notification` or `decision`; the first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// An event type as read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventType {
    /// Its name.
    #[serde(rename = "type")]
    pub name: String,
    /// Whose catalogue it is in.
    pub profile: String,
    /// What happened when such an event comes.
    pub description: Option<String>,
    /// The JSON Schema that its data must fit.
    pub schema: Option<Box<RawValue>>,
    /// Data as it may be.
    pub example: Option<Box<RawValue>>,
    /// The integrations that may subscribe to it; empty for all.
    #[serde(default)]
    pub integrations: Vec<String>,
    /// `notification` or `decision`.
    pub kind: String,
    /// Whether its profile brings it with it.
    #[serde(default)]
    pub bundled: bool,
    /// When it was made, RFC 3339; `None` for one that is bundled.
    pub created_at: Option<String>,
    /// When it was last changed, RFC 3339.
    pub updated_at: Option<String>,
}

impl Client {
    /// Registers the event type in the catalogue of a profile (`standard` if `None`) or replaces what is said of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_event_type(
        &self,
        profile: Option<&str>,
        name: &str,
        spec: &EventTypeSpec,
    ) -> Result<Answer<EventType>, Error> {
        let body = Some(("application/json", to_json(spec)?));
        self.call(self.request(Method::PUT, &["v1", "event-types", name], &of(profile), body)?).await
    }

    /// Reads one event type of a profile.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_event_type(
        &self,
        profile: Option<&str>,
        name: &str,
    ) -> Result<Answer<EventType>, Error> {
        self.get(&["v1", "event-types", name], &of(profile)).await
    }

    /// Reads a page of the event types of a profile.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_event_types(
        &self,
        profile: Option<&str>,
        page: &PageRequest,
    ) -> Result<Answer<Page<EventType>>, Error> {
        let mut query = page.query();
        query.extend(of(profile));
        self.get(&["v1", "event-types"], &query).await
    }

    /// Removes the event type of a profile with its schema.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_event_type(&self, profile: Option<&str>, name: &str) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &["v1", "event-types", name], &of(profile), None)?;
        self.exchange(request).await.map(|_| ())
    }
}

fn of(profile: Option<&str>) -> Vec<(&'static str, String)> {
    profile.map(|profile| ("profile", profile.to_owned())).into_iter().collect()
}
