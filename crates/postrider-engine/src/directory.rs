//! What is configured, in memory: tenants, endpoints, tokens, event types, found by any name that a request may use.
//!
//! Reads take a short lock and copy nothing. Every change goes through one door, [`Directory::editing`]: whoever holds it
//! reads what is, validates, makes the change durable, and only then updates the memory. So two edits never see the same
//! past, and a reader never sees what might not survive a crash.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use postrider_core::card::CardPolicy;
use postrider_core::challenge::Verification;
use postrider_core::id::{EndpointId, EndpointNo, TenantId, TenantNo};
use postrider_core::node::Change;
use postrider_core::profile::{ProfileName, Profiles};
use postrider_core::seal::DataKey;
use postrider_core::secret::SigningSecret;
use postrider_core::tenant::TenantConfig;
use postrider_core::time::Timestamp;
use postrider_core::token::{Kept, TokenConfig};
use postrider_store::{Recovery, StoreError};
use rustc_hash::FxHashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::Engine;
use crate::catalogue::Catalogue;
use crate::error::ServiceError;
use crate::oauth::HeldTokens;
use crate::prepared::PreparedCache;
use crate::screens::Screens;
use crate::subjects::Subjects;

/// A tenant that exists.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its number.
    pub no: TenantNo,
    /// Its public id.
    pub id: TenantId,
    /// Its settings as JSON, as stored.
    pub doc: Bytes,
    /// How its webhooks look unless an endpoint says otherwise, and whose catalogue its events are of.
    pub profile: ProfileName,
    /// What becomes of card data in its events.
    pub(crate) cards: CardPolicy,
    /// What kinds of partner it is.
    pub(crate) integrations: Box<[Box<str>]>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An endpoint that exists: kept small, since there may be very many. What an attempt needs is in
/// [`PreparedEndpoint`](crate::prepared::PreparedEndpoint).
pub struct Endpoint {
    /// Its number.
    pub no: EndpointNo,
    /// Its owner.
    pub tenant: TenantNo,
    /// Its public id.
    pub id: EndpointId,
    /// The version of its configuration, from 1.
    pub version: u32,
    /// The public part of its configuration as JSON, as stored.
    pub doc: Box<[u8]>,
    /// Its secrets, sealed, as stored.
    pub(crate) secrets: Box<[u8]>,
    /// What is known of whose it is, where that has to be proven.
    pub verification: Option<Arc<Verification>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An endpoint with its owner.
pub(crate) type Owned = (Arc<Tenant>, Arc<Endpoint>);

/// A token that is not revoked.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its public id.
    pub id: Box<str>,
    /// SHA-256 of its text, or of the secret of its kind.
    pub(crate) hash: [u8; 32],
    /// What else its kind needs.
    pub(crate) kept: Kept,
    /// What it may do, where, and until when.
    pub config: TokenConfig,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The numbers that are given out next. Never used twice, also where an edit failed.
pub(crate) struct Numbers {
    next_tenant: u32,
    next_endpoint: u32,
}

impl Numbers {
    pub(crate) fn tenant(&mut self) -> TenantNo {
        let no = TenantNo(self.next_tenant);
        self.next_tenant += 1;
        no
    }

    pub(crate) fn endpoint(&mut self) -> EndpointNo {
        let no = EndpointNo(self.next_endpoint);
        self.next_endpoint += 1;
        no
    }
}

/// Signing secrets of the server's own, by profile.
pub(crate) type SigningKeys = BTreeMap<ProfileName, SigningSecret>;

/// The right to change what is configured; one holder at a time.
pub(crate) type Editing = OwnedMutexGuard<Numbers>;

/// Removed endpoints whose ids are remembered, at most.
const MAX_REMOVED: usize = 65_536;

/// Sorts behind every id.
const BEHIND_ALL: &str = "~";

/// What is configured, in memory.
pub(crate) struct Directory {
    tenants: RwLock<Tenants>,
    endpoints: RwLock<Endpoints>,
    tokens: RwLock<Tokens>,
    catalogue: Catalogue,
    subjects: Subjects,
    prepared: PreparedCache,
    tokens_held: HeldTokens,
    screens: Screens,
    /// What opens the endpoints' secrets.
    key: DataKey,
    profiles: Arc<Profiles>,
    signing_keys: SigningKeys,
    numbers: Arc<Mutex<Numbers>>,
}

#[derive(Default)]
struct Tenants {
    by_id: BTreeMap<TenantId, TenantNo>,
    by_no: FxHashMap<TenantNo, Arc<Tenant>>,
}

#[derive(Default)]
struct Endpoints {
    by_no: FxHashMap<EndpointNo, Arc<Endpoint>>,
    /// What endpoints are to be once the commit that changes them is done.
    staged: FxHashMap<EndpointNo, Arc<Endpoint>>,
    by_tenant: FxHashMap<TenantNo, BTreeMap<EndpointId, EndpointNo>>,
    /// Endpoints removed while deliveries of theirs may still be in the log; the newest, at most [`MAX_REMOVED`].
    removed: BTreeMap<EndpointNo, (TenantNo, EndpointId)>,
    removed_by_tenant: FxHashMap<TenantNo, BTreeMap<EndpointId, EndpointNo>>,
}

#[derive(Default)]
struct Tokens {
    by_hash: FxHashMap<[u8; 32], Arc<Token>>,
    by_id: BTreeMap<Box<str>, [u8; 32]>,
}

impl Endpoints {
    fn remember_removed(&mut self, no: EndpointNo, tenant: TenantNo, id: EndpointId) {
        self.removed_by_tenant.entry(tenant).or_default().insert(id.clone(), no);
        self.removed.insert(no, (tenant, id));
        if self.removed.len() > MAX_REMOVED
            && let Some((_, (tenant, id))) = self.removed.pop_first()
            && let Some(of_tenant) = self.removed_by_tenant.get_mut(&tenant)
        {
            of_tenant.remove(&id);
            if of_tenant.is_empty() {
                self.removed_by_tenant.remove(&tenant);
            }
        }
    }
}

impl Engine {
    pub(crate) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Makes changes durable, and then lets `then` bring the memory up to date (told whether they are durable).
    ///
    /// Goes on when the caller goes away: what is durable is never missing in memory. Gives the right to change back.
    ///
    /// # Errors
    /// As the store fails.
    pub(crate) async fn apply<Right: Send + 'static>(
        &self,
        editing: Right,
        changes: Vec<Change>,
        then: impl FnOnce(&Directory, bool) + Send + 'static,
    ) -> Result<Right, ServiceError> {
        let engine = self.clone();
        let applied = tokio::spawn(async move {
            let result = engine.driver().edit(changes).await;
            then(engine.directory(), result.is_ok());
            result.map(|()| editing)
        });
        applied.await.unwrap_or(Err(ServiceError::Internal))
    }
}

impl Directory {
    /// What a start found in the store. `cards`: the card policy of tenants that have none.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for an id or a document that this version cannot read.
    pub(crate) fn load(
        recovery: &Recovery,
        key: DataKey,
        profiles: &Arc<Profiles>,
        signing_keys: &SigningKeys,
        cards: &CardPolicy,
    ) -> Result<Self, StoreError> {
        let directory = Self {
            tenants: RwLock::default(),
            endpoints: RwLock::default(),
            tokens: RwLock::default(),
            catalogue: Catalogue::load(profiles, &recovery.event_types)?,
            subjects: Subjects::default(),
            prepared: PreparedCache::default(),
            tokens_held: HeldTokens::default(),
            screens: Screens::default(),
            key,
            profiles: Arc::clone(profiles),
            signing_keys: signing_keys.clone(),
            numbers: Arc::new(Mutex::new(Numbers {
                next_tenant: recovery.next_tenant,
                next_endpoint: recovery.next_endpoint,
            })),
        };
        let unusable = |what: &str, id: &str| StoreError::Unusable(format!("{what} {id} cannot be read"));
        for stored in &recovery.tenants {
            let tenant =
                TenantConfig::from_stored(&stored.doc).map_err(|_| unusable("tenant", &stored.id))?;
            directory.put_tenant(Arc::new(Tenant {
                no: stored.no,
                id: stored.id.parse().map_err(|_| unusable("tenant", &stored.id))?,
                doc: stored.doc.clone(),
                profile: tenant.profile,
                cards: tenant.card_policy.over(cards),
                integrations: tenant.integrations.into(),
                created_at: stored.created_at,
                updated_at: stored.updated_at,
            }));
        }
        for stored in &recovery.endpoints {
            let id: EndpointId = stored.id.parse().map_err(|_| unusable("endpoint", &stored.id))?;
            if stored.deleted {
                directory.endpoints.write().remember_removed(stored.no, stored.tenant, id);
                continue;
            }
            directory.put_endpoint(Arc::new(Endpoint {
                no: stored.no,
                tenant: stored.tenant,
                id,
                version: stored.version,
                doc: stored.doc[..].into(),
                secrets: stored.secrets[..].into(),
                verification: Verification::from_stored(&stored.verification).map(Arc::new),
                created_at: stored.created_at,
                updated_at: stored.updated_at,
            }));
        }
        for stored in &recovery.removed {
            let id: EndpointId = stored.id.parse().map_err(|_| unusable("endpoint", &stored.id))?;
            directory.endpoints.write().remember_removed(stored.no, stored.tenant, id);
        }
        for stored in &recovery.tokens {
            let (config, kept) =
                TokenConfig::from_stored(&stored.doc).map_err(|_| unusable("token", &stored.id))?;
            directory.put_token(Arc::new(Token {
                id: stored.id.as_str().into(),
                hash: stored.hash,
                kept,
                config,
                created_at: stored.created_at,
            }));
        }
        Ok(directory)
    }

    /// The one door for changes. Held until the change is durable and in memory.
    pub(crate) async fn editing(&self) -> Editing {
        Arc::clone(&self.numbers).lock_owned().await
    }

    /// A tenant by its public id.
    pub(crate) fn tenant(&self, id: &str) -> Option<Arc<Tenant>> {
        let tenants = self.tenants.read();
        let no = tenants.by_id.get(id)?;
        tenants.by_no.get(no).cloned()
    }

    /// The number of the tenant of that id: what a publication needs of it.
    pub(crate) fn tenant_no(&self, id: &str) -> Option<TenantNo> {
        self.tenants.read().by_id.get(id).copied()
    }

    /// A tenant by its number.
    pub(crate) fn tenant_by_no(&self, no: TenantNo) -> Option<Arc<Tenant>> {
        self.tenants.read().by_no.get(&no).cloned()
    }

    /// At most `limit` tenants in order of their ids, after the given one.
    pub(crate) fn tenants_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Tenant>> {
        let tenants = self.tenants.read();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = tenants.by_id.range::<str, _>((from, Bound::Unbounded));
        range.filter_map(|(_, no)| tenants.by_no.get(no)).take(limit).cloned().collect()
    }

    pub(crate) fn put_tenant(&self, tenant: Arc<Tenant>) {
        let mut tenants = self.tenants.write();
        tenants.by_id.insert(tenant.id.clone(), tenant.no);
        tenants.by_no.insert(tenant.no, tenant);
    }

    pub(crate) fn remove_tenant(&self, no: TenantNo) {
        let mut tenants = self.tenants.write();
        if let Some(tenant) = tenants.by_no.remove(&no) {
            tenants.by_id.remove(&tenant.id);
        }
    }

    /// An endpoint of a tenant by its public id.
    pub(crate) fn endpoint(&self, tenant: TenantNo, id: &str) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.read();
        let no = endpoints.by_tenant.get(&tenant)?.get(id)?;
        endpoints.by_no.get(no).cloned()
    }

    /// An endpoint by its number.
    pub(crate) fn endpoint_by_no(&self, no: EndpointNo) -> Option<Arc<Endpoint>> {
        self.endpoints.read().by_no.get(&no).cloned()
    }

    /// An endpoint as it is to be, where it is not of that version yet, else as it is.
    pub(crate) fn endpoint_of_version(&self, no: EndpointNo, version: u32) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.read();
        let known = endpoints.by_no.get(&no).filter(|known| known.version >= version);
        known.or_else(|| endpoints.staged.get(&no)).or_else(|| endpoints.by_no.get(&no)).cloned()
    }

    /// All endpoints, in no order. For a start.
    pub(crate) fn all_endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().by_no.values().cloned().collect()
    }

    /// The number of an endpoint of a tenant that was removed, if deliveries of it may still be in the log.
    pub(crate) fn removed_endpoint(&self, tenant: TenantNo, id: &str) -> Option<EndpointNo> {
        self.endpoints.read().removed_by_tenant.get(&tenant)?.get(id).copied()
    }

    /// The public id of an endpoint, also of a removed one that may still be in the log.
    pub(crate) fn endpoint_id(&self, no: EndpointNo) -> Option<EndpointId> {
        let endpoints = self.endpoints.read();
        endpoints
            .by_no
            .get(&no)
            .map(|endpoint| endpoint.id.clone())
            .or_else(|| endpoints.removed.get(&no).map(|(_, id)| id.clone()))
    }

    /// At most `limit` endpoints of a tenant in order of their ids, after the given one.
    pub(crate) fn endpoints_after(
        &self,
        tenant: TenantNo,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Endpoint>> {
        let endpoints = self.endpoints.read();
        let Some(of_tenant) = endpoints.by_tenant.get(&tenant) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = of_tenant.range::<str, _>((from, Bound::Unbounded));
        range.filter_map(|(_, no)| endpoints.by_no.get(no)).take(limit).cloned().collect()
    }

    /// How many endpoints a tenant has.
    pub(crate) fn endpoint_count(&self, tenant: TenantNo) -> usize {
        self.endpoints.read().by_tenant.get(&tenant).map_or(0, BTreeMap::len)
    }

    /// The numbers of endpoints of that id over all tenants, removed ones included, at most two: one is what was meant, two
    /// are not.
    pub(crate) fn endpoints_named(&self, id: &str) -> Vec<EndpointNo> {
        let endpoints = self.endpoints.read();
        let there = endpoints.by_tenant.values().filter_map(|of_tenant| of_tenant.get(id));
        let removed = endpoints.removed_by_tenant.values().filter_map(|of_tenant| of_tenant.get(id));
        there.chain(removed).take(2).copied().collect()
    }

    /// Endpoints in order of their tenants' ids and their own, after the given pair, of all tenants or of one; at most `most`
    /// tenants and endpoints are looked at. Also the pair to go on after, if that was not the end.
    pub(crate) fn endpoints_over(
        &self,
        tenant: Option<&str>,
        after: Option<(&str, &str)>,
        most: usize,
    ) -> (Vec<Owned>, Option<(String, String)>) {
        let (tenants, endpoints) = (self.tenants.read(), self.endpoints.read());
        let from = after.map(|(tenant, _)| tenant).max(tenant).map_or(Bound::Unbounded, Bound::Included);
        let range = tenants.by_id.range::<str, _>((from, Bound::Unbounded));
        let mut found = Vec::new();
        let mut looked_at = 0;
        for (id, no) in range.take_while(|(id, _)| tenant.is_none_or(|tenant| tenant == id.as_str())) {
            let of_tenant = endpoints.by_tenant.get(no).zip(tenants.by_no.get(no));
            let before =
                after.filter(|(tenant, _)| *tenant == id.as_str()).map_or("", |(_, endpoint)| endpoint);
            if let Some((of_tenant, tenant)) = of_tenant {
                for (endpoint, no) in of_tenant.range::<str, _>((Bound::Excluded(before), Bound::Unbounded)) {
                    found.extend(endpoints.by_no.get(no).map(|e| (Arc::clone(tenant), Arc::clone(e))));
                    looked_at += 1;
                    if looked_at >= most {
                        return (found, Some((id.as_str().to_owned(), endpoint.as_str().to_owned())));
                    }
                }
            }
            // The one that was begun before is counted once.
            looked_at += usize::from(before.is_empty());
            if looked_at >= most {
                return (found, Some((id.as_str().to_owned(), BEHIND_ALL.to_owned())));
            }
        }
        (found, None)
    }

    /// Makes a version of an endpoint known to attempts alone, before the commit that makes it: the first of them may start
    /// before that commit is told of.
    pub(crate) fn stage_endpoint(&self, endpoint: Arc<Endpoint>) {
        let mut endpoints = self.endpoints.write();
        let is_new = !endpoints.by_no.contains_key(&endpoint.no);
        let known = if is_new { &mut endpoints.by_no } else { &mut endpoints.staged };
        known.insert(endpoint.no, endpoint);
    }

    /// Forgets what an endpoint was to be, once the commit is done or came to nothing.
    pub(crate) fn unstage_endpoint(&self, no: EndpointNo) {
        self.endpoints.write().staged.remove(&no);
    }

    /// Takes what is known by now of whose an endpoint is. Its version stays, and with it what is ready of it.
    pub(crate) fn learn(&self, endpoint: Arc<Endpoint>) {
        self.endpoints.write().by_no.insert(endpoint.no, endpoint);
    }

    pub(crate) fn put_endpoint(&self, endpoint: Arc<Endpoint>) {
        let no = endpoint.no;
        {
            let mut endpoints = self.endpoints.write();
            endpoints.by_tenant.entry(endpoint.tenant).or_default().insert(endpoint.id.clone(), no);
            endpoints.by_no.insert(no, endpoint);
        }
        // After the change, so that nobody puts the old version back.
        self.prepared.forget(no);
        self.tokens_held.forget(no);
    }

    pub(crate) fn remove_endpoint(&self, no: EndpointNo) {
        {
            let mut endpoints = self.endpoints.write();
            if let Some(endpoint) = endpoints.by_no.remove(&no) {
                if let Some(of_tenant) = endpoints.by_tenant.get_mut(&endpoint.tenant) {
                    of_tenant.remove(&endpoint.id);
                    if of_tenant.is_empty() {
                        endpoints.by_tenant.remove(&endpoint.tenant);
                    }
                }
                self.screens.remove(endpoint.tenant, no);
                endpoints.remember_removed(no, endpoint.tenant, endpoint.id.clone());
            }
        }
        self.prepared.forget(no);
        self.tokens_held.forget(no);
    }

    /// The tokens with which requests to endpoints authenticate.
    pub(crate) fn tokens_held(&self) -> &HeldTokens {
        &self.tokens_held
    }

    /// The event types.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The subjects that are held in memory.
    pub(crate) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// What opens and seals the endpoints' secrets.
    pub(crate) fn key(&self) -> &DataKey {
        &self.key
    }

    /// The profiles that there are.
    pub(crate) fn profiles(&self) -> &Arc<Profiles> {
        &self.profiles
    }

    /// The signing secret of the server's own for the endpoints of a profile that have none.
    pub(crate) fn secret_of(&self, profile: &ProfileName) -> Option<SigningSecret> {
        let made = || SigningSecret::of_text(self.key.secret_of(profile.as_str())).ok();
        self.signing_keys.get(profile).cloned().or_else(made)
    }

    /// The endpoints that are ready for attempts.
    pub(crate) fn ready(&self) -> &PreparedCache {
        &self.prepared
    }

    /// What the endpoints ask of events.
    pub(crate) fn screens(&self) -> &Screens {
        &self.screens
    }

    /// The token with that hash.
    pub(crate) fn token(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.tokens.read().by_hash.get(hash).cloned()
    }

    /// The token with that id.
    pub(crate) fn token_by_id(&self, id: &str) -> Option<Arc<Token>> {
        let tokens = self.tokens.read();
        tokens.by_hash.get(tokens.by_id.get(id)?).cloned()
    }

    /// At most `limit` tokens in order of their ids, after the given one.
    pub(crate) fn tokens_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Token>> {
        let tokens = self.tokens.read();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = tokens.by_id.range::<str, _>((from, Bound::Unbounded));
        range.filter_map(|(_, hash)| tokens.by_hash.get(hash)).take(limit).cloned().collect()
    }

    /// The tokens that fit, in order of their ids.
    pub(crate) fn tokens_where(&self, fits: impl Fn(&Token) -> bool) -> Vec<Arc<Token>> {
        let tokens = self.tokens.read();
        tokens
            .by_id
            .values()
            .filter_map(|hash| tokens.by_hash.get(hash))
            .filter(|token| fits(token))
            .cloned()
            .collect()
    }

    pub(crate) fn put_token(&self, token: Arc<Token>) {
        let mut tokens = self.tokens.write();
        if let Some(before) = tokens.by_id.insert(token.id.clone(), token.hash) {
            tokens.by_hash.remove(&before);
        }
        tokens.by_hash.insert(token.hash, token);
    }

    pub(crate) fn remove_token(&self, id: &str) {
        let mut tokens = self.tokens.write();
        if let Some(hash) = tokens.by_id.remove(id) {
            tokens.by_hash.remove(&hash);
        }
    }
}
