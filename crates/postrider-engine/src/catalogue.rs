//! The catalogue of event types: in memory, each with its schema compiled.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use postrider_core::card;
use postrider_core::endpoint::Profile;
use postrider_core::event_type::EventTypeConfig;
use postrider_core::fault::Fault;
use postrider_core::node::Change;
use postrider_core::record::Edit;
use postrider_core::time::Timestamp;
use postrider_store::{StoreError, StoredEventType};

use crate::Engine;
use crate::card_guard::fault_of_name;
use crate::clock::wall;
use crate::directory::Directory;
use crate::error::ServiceError;

/// The most event types of a catalogue.
const MAX_EVENT_TYPES: usize = 10_000;
/// The most bytes of all that is said of them together.
const MAX_CATALOGUE_BYTES: usize = 64 << 20;

/// An event type that is registered.
pub struct EventType {
    /// Its name.
    pub name: Box<str>,
    /// What is said of it.
    pub config: EventTypeConfig,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    bytes: usize,
}

impl EventType {
    /// Its length as stored, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The event types of profile `standard`, the one that there is.
#[derive(Default)]
pub(crate) struct Catalogue(RwLock<Types>);

#[derive(Default)]
struct Types {
    by_name: BTreeMap<Box<str>, Arc<EventType>>,
    bytes: usize,
}

impl Types {
    fn remove(&mut self, name: &str) {
        if let Some(removed) = self.by_name.remove(name) {
            self.bytes -= removed.bytes;
        }
    }

    fn put(&mut self, event_type: Arc<EventType>) {
        self.remove(&event_type.name);
        self.bytes += event_type.bytes;
        self.by_name.insert(event_type.name.clone(), event_type);
    }

    /// Why there is no room for one more, or for a larger one.
    fn refuses(&self, name: &str, bytes: usize) -> Option<Fault> {
        let before = self.by_name.get(name);
        if before.is_none() && self.by_name.len() >= MAX_EVENT_TYPES {
            return Some(Fault::new(
                "/type",
                format!("is one too many; {MAX_EVENT_TYPES} event types are allowed"),
            ));
        }
        let others = self.bytes - before.map_or(0, |before| before.bytes);
        (others + bytes > MAX_CATALOGUE_BYTES).then(|| {
            Fault::new(
                "",
                format!("is too much; all event types together may have {MAX_CATALOGUE_BYTES} bytes"),
            )
        })
    }
}

impl Catalogue {
    /// What a start found in the store.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a type that this version cannot read.
    pub(crate) fn load(stored: &[StoredEventType]) -> Result<Self, StoreError> {
        let mut types = Types::default();
        for stored in stored {
            let unusable = |why: String| {
                StoreError::Unusable(format!("event type {} of {} {why}", stored.name, stored.profile))
            };
            if stored.profile != profile() {
                return Err(unusable("is of a profile that this version does not know".into()));
            }
            let config = EventTypeConfig::from_stored(&stored.doc)
                .map_err(|error| unusable(format!("cannot be read: {error}")))?;
            types.put(Arc::new(EventType {
                name: stored.name.as_str().into(),
                config,
                created_at: stored.created_at,
                updated_at: stored.updated_at,
                bytes: stored.doc.len(),
            }));
        }
        Ok(Self(RwLock::new(types)))
    }

    fn get(&self, name: &str) -> Option<Arc<EventType>> {
        self.0.read().by_name.get(name).cloned()
    }
}

fn profile() -> &'static str {
    Profile::Standard.as_str()
}

impl Engine {
    /// An event type by its name.
    pub fn event_type(&self, name: &str) -> Option<Arc<EventType>> {
        self.directory().catalogue().get(name)
    }

    /// At most `limit` event types in order of their names, after the given one.
    pub fn event_types_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<EventType>> {
        let types = self.directory().catalogue().0.read();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        types
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, one)| one.clone())
            .collect()
    }

    /// Registers an event type or replaces what is said of it; also says whether it was made. Events that come from now
    /// on must fit its schema.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where the catalogue is full, or it holds a card number; else as the store fails.
    pub async fn put_event_type(
        &self,
        name: &str,
        config: EventTypeConfig,
    ) -> Result<(Arc<EventType>, bool), ServiceError> {
        let editing = self.directory().editing().await;
        let doc = config.to_doc();
        let mut faults = card::faults_of_configuration(&doc);
        faults.extend(fault_of_name("/type", name));
        faults.extend(self.directory().catalogue().0.read().refuses(name, doc.len()));
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let (before, now) = (self.event_type(name), wall());
        let event_type = Arc::new(EventType {
            name: name.into(),
            config,
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            updated_at: now,
            bytes: doc.len(),
        });
        let edit = Edit::PutEventType { profile: profile().into(), name: name.into(), doc, at: now };
        let made = Arc::clone(&event_type);
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.catalogue().0.write().put(made);
            }
        };
        self.apply(editing, vec![Change { edit, policy: None }], then).await?;
        Ok((event_type, before.is_none()))
    }

    /// Removes an event type with its schema. Its events are accepted as those of any type that is not registered.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn delete_event_type(&self, name: &str) -> Result<(), ServiceError> {
        let editing = self.directory().editing().await;
        let event_type = self.event_type(name).ok_or(ServiceError::NotFound("the event type"))?;
        let edit = Edit::DeleteEventType { profile: profile().into(), name: name.into() };
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.catalogue().0.write().remove(&event_type.name);
            }
        };
        self.apply(editing, vec![Change { edit, policy: None }], then).await.map(drop)
    }

    /// Whether data fits the schema of its type. Whatever is not registered, or has no schema, does.
    ///
    /// # Errors
    /// What does not fit, with pointers that begin at the data.
    pub fn check_data(&self, event_type: &str, data: &[u8]) -> Result<(), Vec<Fault>> {
        match self.event_type(event_type).as_ref().and_then(|found| found.config.schema.as_ref()) {
            Some(schema) => schema.check(data),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(name: &str, bytes: usize) -> Arc<EventType> {
        let at = Timestamp::EPOCH;
        let config = EventTypeConfig::default();
        Arc::new(EventType { name: name.into(), config, created_at: at, updated_at: at, bytes })
    }

    #[test]
    fn a_catalogue_has_room_for_so_many_types_and_bytes() {
        let mut types = Types::default();
        for n in 0..MAX_EVENT_TYPES {
            assert!(types.refuses(&n.to_string(), 10).is_none());
            types.put(event_type(&n.to_string(), 10));
        }
        assert_eq!(types.refuses("more", 10).map(|fault| fault.pointer).as_deref(), Some("/type"));
        assert!(types.refuses("7", 20).is_none(), "one that is there may change");
        types.put(event_type("7", MAX_CATALOGUE_BYTES / 2));
        assert_eq!(
            types.refuses("8", MAX_CATALOGUE_BYTES / 2).map(|fault| fault.pointer).as_deref(),
            Some("")
        );
        types.remove("7");
        assert!(types.refuses("8", MAX_CATALOGUE_BYTES / 2).is_none());
        assert_eq!(types.bytes, (MAX_EVENT_TYPES - 1) * 10);
    }

    #[test]
    fn what_this_version_cannot_read_stops_a_start() {
        let stored = |profile: &str, doc: &'static str| StoredEventType {
            profile: profile.into(),
            name: "card.frozen".into(),
            doc: doc.into(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        assert!(Catalogue::load(&[stored("standard", "{}")]).unwrap().get("card.frozen").is_some());
        for (profile, doc) in [("mcards", "{}"), ("standard", r#"{"later":1}"#), ("standard", "{")] {
            let Err(StoreError::Unusable(why)) = Catalogue::load(&[stored(profile, doc)]) else {
                panic!("{doc}")
            };
            assert!(why.contains("card.frozen"), "{why}");
        }
    }
}
