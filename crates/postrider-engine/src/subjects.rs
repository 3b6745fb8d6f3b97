//! Subjects: whose a card or an account is. There may be tens of millions, so they stay in the store, and memory holds those
//! that were lately asked for.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use postrider_core::fault::Fault;
use postrider_core::id::SubjectId;
use postrider_core::node::Change;
use postrider_core::record::Edit;
use postrider_core::subject::SubjectConfig;
use postrider_core::time::Timestamp;
use postrider_store::StoredSubject;
use rustc_hash::{FxHashMap, FxHasher};

use crate::Engine;
use crate::card_guard::fault_of_name;
use crate::clock::wall;
use crate::directory::{Directory, Tenant};
use crate::error::ServiceError;
use crate::reading::For;

/// Subjects held in memory, at most.
const MAX_CACHED: usize = 32_768;
/// Changes of subjects under way at once, at most; those of one subject follow each other.
const DOORS: usize = 64;

/// A subject and whose it is.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its public id.
    pub id: SubjectId,
    /// Its tenants that are there, at least one, in the order in which they were given.
    pub tenants: Vec<Arc<Tenant>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is held of them in memory.
pub(crate) struct Subjects {
    cache: Mutex<Cache>,
    doors: [Arc<tokio::sync::Mutex<()>>; DOORS],
}

/// Two halves: what is asked for is in the young one, or comes back to it; the old one goes as a whole.
#[derive(Default)]
struct Cache {
    young: FxHashMap<SubjectId, Arc<StoredSubject>>,
    old: FxHashMap<SubjectId, Arc<StoredSubject>>,
    /// Counts changes: what was read while one happened may be out of date, and is not kept.
    changes: u64,
}

impl Cache {
    fn get(&mut self, id: &SubjectId) -> Option<Arc<StoredSubject>> {
        if let Some(found) = self.young.get(id) {
            return Some(Arc::clone(found));
        }
        let found = self.old.remove(id)?;
        self.keep(id.clone(), Arc::clone(&found));
        Some(found)
    }

    fn keep(&mut self, id: SubjectId, subject: Arc<StoredSubject>) {
        if self.young.len() >= MAX_CACHED / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, subject);
    }

    /// A subject changed; `None`: it is gone.
    fn change(&mut self, id: &SubjectId, subject: Option<Arc<StoredSubject>>) {
        self.changes += 1;
        self.young.remove(id);
        self.old.remove(id);
        if let Some(subject) = subject {
            self.keep(id.clone(), subject);
        }
    }
}

impl Default for Subjects {
    fn default() -> Self {
        Self { cache: Mutex::default(), doors: std::array::from_fn(|_| Arc::default()) }
    }
}

impl Subjects {
    /// The right to change a subject; one holder at a time.
    async fn changing(&self, id: &SubjectId) -> tokio::sync::OwnedMutexGuard<()> {
        let mut hasher = FxHasher::default();
        id.hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "part of a hash is as good")]
        let door = hasher.finish() as usize % DOORS;
        Arc::clone(&self.doors[door]).lock_owned().await
    }
}

impl Engine {
    /// Subjects by their ids; `None` for one that is not there, or of which no tenant is left.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn subjects(&self, ids: &[SubjectId]) -> Result<Vec<Option<Subject>>, ServiceError> {
        let (mut found, changes) = {
            let mut cache = self.directory().subjects().cache.lock();
            let found: Vec<_> = ids.iter().map(|id| cache.get(id)).collect();
            (found, cache.changes)
        };
        let missing: Vec<(usize, SubjectId)> =
            (0..ids.len()).filter(|at| found[*at].is_none()).map(|at| (at, ids[at].clone())).collect();
        if !missing.is_empty() {
            let read = self.read(For::Subjects, move |store| {
                let read = |(at, id): (usize, SubjectId)| Ok((at, store.subject(id.as_str())?));
                missing.into_iter().map(read).collect::<Result<Vec<_>, _>>()
            });
            let read = read.await.map_err(|error| match error {
                ServiceError::Overloaded { retry_after, .. } => ServiceError::Overloaded {
                    reason: "subjects could not be read in time".into(),
                    retry_after,
                },
                other => other,
            })?;
            let mut cache = self.directory().subjects().cache.lock();
            for (at, subject) in read {
                let Some(subject) = subject.map(Arc::new) else { continue };
                if cache.changes == changes {
                    cache.keep(ids[at].clone(), Arc::clone(&subject));
                }
                found[at] = Some(subject);
            }
        }
        let known = ids.iter().zip(found);
        Ok(known.map(|(id, subject)| self.with_tenants(id, &*subject?)).collect())
    }

    /// A subject with those of its tenants that are there.
    fn with_tenants(&self, id: &SubjectId, stored: &StoredSubject) -> Option<Subject> {
        let tenants: Vec<Arc<Tenant>> =
            stored.tenants.iter().filter_map(|no| self.directory().tenant_by_no(*no)).collect();
        let StoredSubject { created_at, updated_at, .. } = *stored;
        (!tenants.is_empty()).then(|| Subject { id: id.clone(), tenants, created_at, updated_at })
    }

    /// One subject.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn subject(&self, id: &str) -> Result<Subject, ServiceError> {
        const UNKNOWN: ServiceError = ServiceError::NotFound("the subject");
        let id: SubjectId = id.parse().map_err(|_| UNKNOWN)?;
        self.subjects(std::slice::from_ref(&id)).await?.pop().flatten().ok_or(UNKNOWN)
    }

    /// Makes a subject or gives it to other tenants; also says whether it was made.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a tenant that does not exist (any more), and for an id that holds a card number; else as the store fails.
    pub async fn put_subject(
        &self,
        id: SubjectId,
        config: &SubjectConfig,
    ) -> Result<(Subject, bool), ServiceError> {
        let changing = self.directory().subjects().changing(&id).await;
        let before = self.subjects(std::slice::from_ref(&id)).await?.pop().flatten();
        let (mut tenants, mut faults) = (Vec::new(), Vec::new());
        for (index, tenant) in config.tenants.iter().enumerate() {
            match self.tenant(tenant.as_str()) {
                Some(tenant) => tenants.push(tenant),
                None => faults.push(Fault::new(format!("/tenants/{index}"), "does not exist")),
            }
        }
        faults.extend(fault_of_name("/subject", id.as_str()));
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let now = wall();
        let created_at = before.as_ref().map_or(now, |before| before.created_at);
        let stored = StoredSubject {
            tenants: tenants.iter().map(|tenant| tenant.no).collect(),
            created_at,
            updated_at: now,
        };
        let edit =
            Edit::PutSubject { id: id.as_str().into(), tenants: stored.tenants.clone(), created_at, at: now };
        self.change_subject(changing, id.clone(), edit, Some(stored)).await?;
        Ok((Subject { id, tenants, created_at, updated_at: now }, before.is_none()))
    }

    /// Removes a subject. Its events stay; no more are published by it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn delete_subject(&self, id: &str) -> Result<(), ServiceError> {
        let id = self.subject(id).await?.id;
        let changing = self.directory().subjects().changing(&id).await;
        // Somebody else may have been faster.
        self.subject(id.as_str()).await?;
        let edit = Edit::DeleteSubject { id: id.as_str().into() };
        self.change_subject(changing, id, edit, None).await
    }

    async fn change_subject(
        &self,
        changing: tokio::sync::OwnedMutexGuard<()>,
        id: SubjectId,
        edit: Edit,
        stored: Option<StoredSubject>,
    ) -> Result<(), ServiceError> {
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.subjects().cache.lock().change(&id, stored.map(Arc::new));
            }
        };
        self.apply(changing, vec![Change { edit, policy: None }], then).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(secs: i64) -> Arc<StoredSubject> {
        let at = Timestamp::from_secs(secs);
        Arc::new(StoredSubject { tenants: Vec::new(), created_at: at, updated_at: at })
    }

    #[test]
    fn no_more_subjects_are_held_than_there_is_room_for_and_what_is_asked_for_stays() {
        let id = |n: usize| -> SubjectId { n.to_string().parse().unwrap() };
        let mut cache = Cache::default();
        for n in 0..3 * MAX_CACHED {
            cache.keep(id(n), stored(0));
            assert!(cache.get(&id(0)).is_some(), "{n}");
        }
        assert!(cache.young.len() + cache.old.len() <= MAX_CACHED);
        assert!(cache.get(&id(1)).is_none() && cache.get(&id(3 * MAX_CACHED - 1)).is_some());
    }

    #[test]
    fn a_change_is_seen_wherever_the_subject_was_held() {
        let id = |n: usize| -> SubjectId { n.to_string().parse().unwrap() };
        let mut cache = Cache::default();
        (0..=MAX_CACHED / 2).for_each(|n| cache.keep(id(n), stored(0)));
        for held in [0, MAX_CACHED / 2] {
            cache.change(&id(held), Some(stored(1)));
            assert_eq!(cache.get(&id(held)).unwrap().updated_at, Timestamp::from_secs(1));
            cache.change(&id(held), None);
            assert!(cache.get(&id(held)).is_none());
        }
        assert_eq!(cache.changes, 4);
    }
}
