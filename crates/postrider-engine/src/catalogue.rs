//! The catalogue of event types: in memory, each with its schema compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use postrider_core::card;
use postrider_core::event_type::EventTypeConfig;
use postrider_core::fault::Fault;
use postrider_core::id::TenantNo;
use postrider_core::node::Change;
use postrider_core::profile::{ProfileName, Profiles};
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
    /// When it was made; one that its profile brings with it always was there.
    pub created_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
    bytes: usize,
}

impl EventType {
    /// Whether its profile brings it with it: then it is not changed and not removed.
    pub fn is_bundled(&self) -> bool {
        self.created_at.is_none()
    }

    /// Its length as stored, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The event types of each profile: those that it brings with it, and the operator's. Also those of profiles that are there no
/// more, which wait for them.
#[derive(Default)]
pub(crate) struct Catalogue(RwLock<BTreeMap<ProfileName, Types>>);

#[derive(Default)]
struct Types {
    by_name: BTreeMap<Box<str>, Arc<EventType>>,
    bytes: usize,
    /// Those that are not open to all.
    restricted: usize,
}

impl Types {
    fn remove(&mut self, name: &str) {
        if let Some(removed) = self.by_name.remove(name) {
            self.bytes -= removed.bytes;
            self.restricted -= usize::from(!removed.config.integrations.is_empty());
        }
    }

    fn put(&mut self, event_type: Arc<EventType>) {
        self.remove(&event_type.name);
        self.bytes += event_type.bytes;
        self.restricted += usize::from(!event_type.config.integrations.is_empty());
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
    /// What the profiles bring with them, and what a start found in the store.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a type that this version cannot read.
    pub(crate) fn load(profiles: &Profiles, stored: &[StoredEventType]) -> Result<Self, StoreError> {
        let mut catalogues: BTreeMap<ProfileName, Types> = BTreeMap::new();
        for profile in profiles.iter() {
            let types = catalogues.entry(profile.name().clone()).or_default();
            for (name, config) in profile.types() {
                let bytes = config.to_doc().len();
                let (name, config) = (name.clone(), config.clone());
                types.put(Arc::new(EventType { name, config, created_at: None, updated_at: None, bytes }));
            }
        }
        for stored in stored {
            let unusable = |why: String| {
                StoreError::Unusable(format!("event type {} of {} {why}", stored.name, stored.profile))
            };
            let profile: ProfileName =
                stored.profile.parse().map_err(|form| unusable(format!("names a profile that {form}")))?;
            let config = EventTypeConfig::from_stored(&stored.doc)
                .map_err(|error| unusable(format!("cannot be read: {error}")))?;
            if profiles
                .get(profile.as_str())
                .is_some_and(|profile| profile.types().contains_key(&*stored.name))
            {
                tracing::warn!(
                    event_type = stored.name,
                    %profile,
                    "the profile brings an event type with it now that the operator had added; the profile's holds"
                );
                continue;
            }
            catalogues.entry(profile).or_default().put(Arc::new(EventType {
                name: stored.name.as_str().into(),
                config,
                created_at: Some(stored.created_at),
                updated_at: Some(stored.updated_at),
                bytes: stored.doc.len(),
            }));
        }
        Ok(Self(RwLock::new(catalogues)))
    }

    fn get(&self, profile: &str, name: &str) -> Option<Arc<EventType>> {
        self.0.read().get(profile)?.by_name.get(name).cloned()
    }

    fn refuses(&self, profile: &ProfileName, name: &str, bytes: usize) -> Option<Fault> {
        self.0.read().get(profile)?.refuses(name, bytes)
    }

    fn change(&self, profile: ProfileName, change: impl FnOnce(&mut Types)) {
        change(self.0.write().entry(profile).or_default());
    }
}

impl Engine {
    /// The profiles that there are.
    pub fn profiles(&self) -> &Profiles {
        self.directory().profiles()
    }

    /// An event type of a profile by its name.
    pub fn event_type(&self, profile: &ProfileName, name: &str) -> Option<Arc<EventType>> {
        self.directory().catalogue().get(profile.as_str(), name)
    }

    /// At most `limit` event types of a profile in order of their names, after the given one.
    pub fn event_types_after(
        &self,
        profile: &ProfileName,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<EventType>> {
        let catalogues = self.directory().catalogue().0.read();
        let Some(types) = catalogues.get(profile) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        types
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, one)| one.clone())
            .collect()
    }

    /// Registers an event type of a profile or replaces what is said of it; also says whether it was made. Events that come
    /// from now on must fit its schema.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] for one that the profile brings with it; [`ServiceError::Invalid`] where the catalogue is
    /// full, or it holds a card number; else as the store fails.
    pub async fn put_event_type(
        &self,
        profile: &ProfileName,
        name: &str,
        config: EventTypeConfig,
    ) -> Result<(Arc<EventType>, bool), ServiceError> {
        let editing = self.directory().editing().await;
        let doc = config.to_doc();
        let (before, now) = (self.event_type(profile, name), wall());
        if before.as_ref().is_some_and(|before| before.is_bundled()) {
            return Err(bundled(profile, name));
        }
        let mut faults = card::faults_of_configuration(&doc);
        faults.extend(fault_of_name("/type", name));
        faults.extend(self.directory().catalogue().refuses(profile, name, doc.len()));
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let event_type = Arc::new(EventType {
            name: name.into(),
            config,
            created_at: before.as_ref().map_or(Some(now), |before| before.created_at),
            updated_at: Some(now),
            bytes: doc.len(),
        });
        let edit = Edit::PutEventType { profile: profile.as_str().into(), name: name.into(), doc, at: now };
        let (made, profile) = (Arc::clone(&event_type), profile.clone());
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.catalogue().change(profile, |types| types.put(made));
            }
        };
        self.apply(editing, vec![Change { edit, policy: None }], then).await?;
        Ok((event_type, before.is_none()))
    }

    /// Removes an event type of a profile with its schema. Its events are accepted as those of any type that is not
    /// registered.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] for one that the profile brings with it; else as the store fails.
    pub async fn delete_event_type(&self, profile: &ProfileName, name: &str) -> Result<(), ServiceError> {
        let editing = self.directory().editing().await;
        let event_type = self.event_type(profile, name).ok_or(ServiceError::NotFound("the event type"))?;
        if event_type.is_bundled() {
            return Err(bundled(profile, name));
        }
        let edit = Edit::DeleteEventType { profile: profile.as_str().into(), name: name.into() };
        let profile = profile.clone();
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.catalogue().change(profile, |types| types.remove(&event_type.name));
            }
        };
        self.apply(editing, vec![Change { edit, policy: None }], then).await.map(drop)
    }

    /// Whether a tenant may have events of a type: one of its integrations allows it, or it is open to all, as every type is
    /// that is not registered with its profile.
    pub fn is_entitled(&self, tenant: TenantNo, event_type: &str) -> bool {
        let Some(tenant) = self.directory().tenant_by_no(tenant) else { return true };
        let registered = {
            let catalogues = self.directory().catalogue().0.read();
            match catalogues.get(&tenant.profile) {
                // Mostly there are none, and nothing has to be looked up.
                Some(types) if types.restricted > 0 => types.by_name.get(event_type).cloned(),
                _ => return true,
            }
        };
        registered.is_none_or(|registered| registered.config.is_open_to(&tenant.integrations))
    }

    /// Whether the events of all these tenants may be of that type and have that data: the profile of each says which types
    /// there are, whether there may be others, and what its format asks of data; a schema what it asks of those of its type.
    ///
    /// # Errors
    /// What does not fit one of them, with pointers that begin at the event.
    pub fn check_event(
        &self,
        tenants: impl Iterator<Item = TenantNo>,
        event_type: &str,
        data: &[u8],
    ) -> Result<(), Vec<Fault>> {
        let profiles: BTreeSet<ProfileName> = tenants
            .filter_map(|tenant| Some(self.directory().tenant_by_no(tenant)?.profile.clone()))
            .collect();
        profiles.iter().try_for_each(|profile| self.check_event_of(profile, event_type, data))
    }

    fn check_event_of(&self, name: &ProfileName, event_type: &str, data: &[u8]) -> Result<(), Vec<Fault>> {
        let registered = self.event_type(name, event_type);
        let Some(profile) = self.profiles().get(name.as_str()) else {
            return check_schema(registered.as_deref(), data);
        };
        if registered.is_none() && profile.is_closed() {
            return Err(vec![Fault::new("/type", not_in_catalogue(name))]);
        }
        check_schema(registered.as_deref(), data)?;
        profile.check_data(event_type, data).map_err(|fault| vec![below_data(fault)])
    }
}

/// What is said of a type that a closed catalogue does not have.
pub(crate) fn not_in_catalogue(profile: &ProfileName) -> String {
    format!(
        "is not in the catalogue of profile {profile}, the tenant's; GET /v1/event-types?profile={profile} lists it, and the \
         operator may add to it"
    )
}

fn check_schema(registered: Option<&EventType>, data: &[u8]) -> Result<(), Vec<Fault>> {
    let Some(schema) = registered.and_then(|found| found.config.schema.as_ref()) else { return Ok(()) };
    schema.check(data).map_err(|faults| faults.into_iter().map(below_data).collect())
}

fn below_data(fault: Fault) -> Fault {
    Fault::new(format!("/data{}", fault.pointer), fault.detail)
}

fn bundled(profile: &ProfileName, name: &str) -> ServiceError {
    ServiceError::Conflict(format!(
        "{name} comes with profile {profile} and stays as it is; add a type of another name, or declare a profile of your own"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(name: &str, bytes: usize) -> Arc<EventType> {
        let at = Some(Timestamp::EPOCH);
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
        assert_eq!((types.bytes, types.restricted), ((MAX_EVENT_TYPES - 1) * 10, 0));
        let restricted = EventTypeConfig { integrations: vec!["a".into()], ..EventTypeConfig::default() };
        let closed = |config| Arc::new(EventType { config, ..Arc::into_inner(event_type("9", 10)).unwrap() });
        types.put(closed(restricted));
        assert_eq!(types.restricted, 1);
        types.put(event_type("9", 10));
        assert_eq!(types.restricted, 0);
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
        let load = |stored| Catalogue::load(&Profiles::default(), &[stored]);
        // Also of a profile that is there no more: it waits.
        for profile in ["standard", "mcards"] {
            assert!(load(stored(profile, "{}")).unwrap().get(profile, "card.frozen").is_some());
        }
        for (profile, doc) in [("M", "{}"), ("standard", r#"{"later":1}"#), ("standard", "{")] {
            let Err(StoreError::Unusable(why)) = load(stored(profile, doc)) else { panic!("{doc}") };
            assert!(why.contains("card.frozen"), "{why}");
        }
    }
}
