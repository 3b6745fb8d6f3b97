//! Endpoints as service functions: made, read, changed and removed; each change is durable when it returns.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::card;
use postrider_core::challenge::Verification;
use postrider_core::endpoint::{Auth, EndpointConfig, JudgeUrl, PublicConfig, Rotation, Terms};
use postrider_core::event::Sample;
use postrider_core::fault::{Fault, ParseError};
use postrider_core::filter::Filters;
use postrider_core::id::{EndpointId, EndpointNo, IdKind, TenantNo, random_id};
use postrider_core::matching::{self, Judgement};
use postrider_core::record::Edit;
use postrider_core::secret::SigningSecret;
use postrider_core::subscription::Pattern;
use postrider_core::tenant::{OPERATOR, Quotas, TenantConfig};
use postrider_core::time::Timestamp;
use postrider_dispatch::Target;

use crate::Engine;
use crate::card_guard::fault_of_name;
use crate::challenge::AFTER_THE_ANSWER;
use crate::clock::wall;
use crate::directory::{Directory, Editing, Endpoint, Tenant};
use crate::driver::{Change, EndpointState, EndpointStatus};
use crate::error::ServiceError;
use crate::{random, sealed};

/// Said of a type that a tenant may not have.
pub(crate) const NOT_ENTITLED: &str = "is not available to this tenant: none of its integrations allows it; drop it, or have the operator add the integration";

/// An endpoint as its owner may read it.
pub struct EndpointView {
    /// As configured.
    pub endpoint: Arc<Endpoint>,
    /// Its configuration without secrets.
    pub config: PublicConfig,
    /// How it stands.
    pub standing: EndpointStatus,
    /// Whose it is, where its profile has that proven.
    pub ownership: Option<Ownership>,
}

/// What is known of whose an endpoint is.
pub struct Ownership {
    /// What was proven, and how the last challenge went.
    pub known: Arc<Verification>,
    /// When the next one leaves of our own accord.
    pub due: Option<Timestamp>,
}

/// The URLs between which a credential moves.
pub(crate) type Moved = (Box<str>, Box<str>);

impl Engine {
    /// Random bytes for a signing secret.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where the system has none.
    pub fn fresh_secret(&self) -> Result<[u8; SigningSecret::MIN_BYTES], ServiceError> {
        random::bytes()
    }

    /// A URL in its normal form, if deliveries may go there; else why not. To be asked while the rest of an endpoint is
    /// read, so that all its faults are told at once.
    ///
    /// # Errors
    /// The fault and its remedy, in words.
    pub fn judge_url(&self, url: &str) -> Result<Box<str>, Cow<'static, str>> {
        match Target::parse(url, &self.config().url_policy) {
            Ok(target) => Ok(target.as_str().into()),
            Err(fault) => Err(fault.to_string().into()),
        }
    }

    /// Makes an endpoint under an id of our making.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a URL that deliveries may not go to, for types that the tenant may not have, for card
    /// numbers, and where the tenant has as many endpoints, or values in their filters, as it may have;
    /// [`ServiceError::NotFound`] when the tenant is gone; else as the store fails.
    pub async fn create_endpoint(
        &self,
        tenant: TenantNo,
        config: EndpointConfig,
    ) -> Result<EndpointView, ServiceError> {
        let config = self.checked(tenant, None, config)?;
        let editing = self.directory().editing().await;
        let id = random_id(IdKind::Endpoint, wall(), u128::from_le_bytes(random::bytes()?));
        let id: EndpointId = id.parse().map_err(|_| ServiceError::Internal)?;
        self.add_endpoint(editing, tenant, id, config).await
    }

    /// Makes an endpoint under the caller's own id, or replaces the one that has it; also says whether it was made. `change`
    /// gets the present configuration, if there is one, and gives the new one or says why not.
    ///
    /// Ids that begin as ours do are ours to give: under them an endpoint is replaced, and never made.
    ///
    /// # Errors
    /// What `change` says; [`ServiceError::NotFound`] for an id of ours that no endpoint has; else as
    /// [`Self::create_endpoint`].
    pub async fn put_endpoint<E: From<ServiceError>>(
        &self,
        tenant: TenantNo,
        id: EndpointId,
        change: impl FnOnce(Option<&EndpointConfig>) -> Result<EndpointConfig, E>,
    ) -> Result<(EndpointView, bool), E> {
        let editing = self.directory().editing().await;
        let before = self.directory().endpoint(tenant, id.as_str());
        if before.is_none() && id.as_str().starts_with(IdKind::Endpoint.prefix()) {
            return Err(ServiceError::NotFound("the endpoint").into());
        }
        let present = before.as_deref().map(|before| self.opened(before)).transpose()?;
        let config = self.checked(tenant, present.as_ref(), change(present.as_ref())?)?;
        Ok(match before {
            Some(before) => (self.next_version(editing, &before, config).await?, false),
            None => (self.add_endpoint(editing, tenant, id, config).await?, true),
        })
    }

    /// An endpoint of a tenant.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn endpoint(&self, tenant: TenantNo, id: &str) -> Result<EndpointView, ServiceError> {
        self.view(self.found(tenant, id)?)
    }

    /// The signing secret of an endpoint, in clear.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also where it has none; [`ServiceError::Forbidden`] where its profile keeps it;
    /// [`ServiceError::Internal`] where its secrets do not open.
    pub fn endpoint_secret(&self, tenant: TenantNo, id: &str) -> Result<SigningSecret, ServiceError> {
        let config = self.opened(&*self.found(tenant, id)?)?;
        let readable = self.profiles().get(config.profile.as_str()).is_some_and(|it| it.secret().readable);
        if !readable {
            let profile = config.profile;
            let why = format!(
                "profile {profile} shows a signing secret when it is made, and not again; rotate it to get another"
            );
            return Err(ServiceError::Forbidden(why));
        }
        config.secret.ok_or(ServiceError::NotFound("the secret"))
    }

    /// At most `limit` endpoints of a tenant in order of their ids, after the given one.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] for a stored document that cannot be read.
    pub fn endpoints_after(
        &self,
        tenant: TenantNo,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EndpointView>, ServiceError> {
        let endpoints = self.directory().endpoints_after(tenant, after, limit);
        endpoints
            .into_iter()
            .map(|endpoint| self.view(endpoint))
            // Removed a moment ago.
            .filter(|view| !matches!(view, Err(ServiceError::NotFound(_))))
            .collect()
    }

    /// The first endpoint of a tenant, by id, that `is_it` says of that it is the one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn endpoint_where(
        &self,
        tenant: TenantNo,
        is_it: impl Fn(&Endpoint) -> bool,
    ) -> Result<EndpointView, ServiceError> {
        let all = self.directory().endpoints_after(tenant, None, usize::MAX);
        let found = all.into_iter().find(|endpoint| is_it(endpoint));
        self.view(found.ok_or(ServiceError::NotFound("the endpoint"))?)
    }

    /// Changes an endpoint: `change` gets its configuration, and gives the new one or says why not.
    ///
    /// # Errors
    /// What `change` says; else as [`Self::create_endpoint`].
    pub async fn change_endpoint<E: From<ServiceError>>(
        &self,
        tenant: TenantNo,
        id: &str,
        change: impl FnOnce(&EndpointConfig) -> Result<EndpointConfig, E>,
    ) -> Result<EndpointView, E> {
        let editing = self.directory().editing().await;
        let before = self.found(tenant, id)?;
        let present = self.opened(&before)?;
        let config = self.checked(tenant, Some(&present), change(&present)?)?;
        Ok(self.next_version(editing, &before, config).await?)
    }

    /// The same, where `change` may say too that a credential goes along from one URL to another: the operator is told of that,
    /// also where the caller goes away meanwhile.
    ///
    /// # Errors
    /// As [`Self::change_endpoint`].
    pub async fn change_endpoint_telling<E: From<ServiceError>>(
        &self,
        tenant: &Tenant,
        id: &str,
        change: impl FnOnce(&EndpointConfig) -> Result<(EndpointConfig, Option<Moved>), E>,
    ) -> Result<EndpointView, E> {
        let (engine, tenant) = (self.clone(), tenant.clone());
        let editing = self.directory().editing().await;
        let before = self.found(tenant.no, id)?;
        let present = self.opened(&before)?;
        let (config, moved) = change(&present)?;
        let config = self.checked(tenant.no, Some(&present), config)?;
        let changing = tokio::spawn(async move {
            let changed = engine.next_version(editing, &before, config).await?;
            if let Some((from, to)) = moved {
                engine.tell_moved(&tenant, &changed.endpoint, &from, &to).await;
            }
            Ok::<_, ServiceError>(changed)
        });
        Ok(changing.await.unwrap_or(Err(ServiceError::Internal))?)
    }

    /// Gives an endpoint another signing secret, which a request asks for or leaves to the endpoint's profile, and returns it;
    /// whether the present one goes on signing beside it is the profile's to say.
    ///
    /// # Errors
    /// For a request that [`Rotation::parse`] refuses, and for the present secret; else as [`Self::change_endpoint`].
    pub async fn rotate_secret<E: From<ServiceError> + From<ParseError>>(
        &self,
        tenant: TenantNo,
        id: &str,
        request: &[u8],
    ) -> Result<SigningSecret, E> {
        let fresh = self.fresh_secret()?;
        let mut made = None;
        let rotate = |before: &EndpointConfig| {
            let profile = self.profiles().get(before.profile.as_str()).ok_or_else(|| {
                let profile = &before.profile;
                ServiceError::Conflict(format!(
                    "profile {profile} is there no more: give the endpoint another"
                ))
            })?;
            let rotation = Rotation::parse(request, fresh, profile.secret())?;
            for also in before.also_sign.iter().filter(|also| wall() < also.until) {
                let fits =
                    self.profiles().get(also.profile.as_str()).map(|profile| profile.keys(&rotation.secret));
                if let Some(Err(form)) = fits {
                    let detail = format!("{form} as well, since the endpoint signs as {} too", also.profile);
                    return Err(ParseError::fault("/secret", detail).into());
                }
            }
            let rotated = before.rotate(&rotation, wall())?;
            made = Some(rotation.secret);
            Ok::<_, E>(rotated)
        };
        self.change_endpoint(tenant, id, rotate).await?;
        made.ok_or_else(|| ServiceError::Internal.into())
    }

    /// What an endpoint of a tenant is judged by when it is made or changed. `judge_url` is [`Self::judge_url`].
    pub fn terms<'a>(&'a self, tenant: &'a Tenant, judge_url: &'a JudgeUrl<'a>) -> Terms<'a> {
        let profile = &tenant.profile;
        Terms { profiles: self.profiles(), profile, judge_url, credentials_go_along: false }
    }

    /// What would become of an event at each of at most `limit` endpoints of a tenant, in order of their ids, after the
    /// given one.
    pub fn match_endpoints(
        &self,
        tenant: TenantNo,
        sample: &Sample,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(EndpointId, Judgement)> {
        let endpoints = self.directory().endpoints_after(tenant, after, limit);
        let numbers: Vec<EndpointNo> = endpoints.iter().map(|endpoint| endpoint.no).collect();
        let entitled = self.is_entitled(tenant, &sample.event_type);
        let found = self.driver().candidates(tenant, &sample.event_type, &numbers);
        // Without those that were removed a moment ago.
        let found =
            endpoints.iter().zip(found).filter_map(|(endpoint, found)| Some((endpoint.id.clone(), found?)));
        let (ids, candidates): (Vec<_>, Vec<_>) = found.unzip();
        ids.into_iter().zip(matching::judge(sample, entitled, &candidates)).collect()
    }

    /// Removes an endpoint. What it is still owed is cancelled afterwards.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn delete_endpoint(&self, tenant: TenantNo, id: &str) -> Result<(), ServiceError> {
        let editing = self.directory().editing().await;
        let no = self.found(tenant, id)?.no;
        let change = Change { edit: Edit::DeleteEndpoint { no }, policy: None };
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.remove_endpoint(no);
            }
        };
        self.apply(editing, vec![change], then).await.map(drop)
    }

    pub(crate) fn found(&self, tenant: TenantNo, id: &str) -> Result<Arc<Endpoint>, ServiceError> {
        self.directory().endpoint(tenant, id).ok_or(ServiceError::NotFound("the endpoint"))
    }

    pub(crate) fn standing(&self, endpoint: &Endpoint) -> Result<EndpointStatus, ServiceError> {
        let standing = self.driver().state(endpoint.tenant, endpoint.no);
        standing.ok_or(ServiceError::NotFound("the endpoint"))
    }

    fn view(&self, endpoint: Arc<Endpoint>) -> Result<EndpointView, ServiceError> {
        let standing = self.standing(&endpoint)?;
        self.view_as(endpoint, standing)
    }

    pub(crate) fn view_as(
        &self,
        endpoint: Arc<Endpoint>,
        mut standing: EndpointStatus,
    ) -> Result<EndpointView, ServiceError> {
        let config = PublicConfig::from_stored(&endpoint.doc).map_err(|error| {
            tracing::error!(endpoint = endpoint.id.as_str(), %error, "a stored endpoint cannot be read");
            ServiceError::Internal
        })?;
        let form = self.config().challenge(config.profile().as_str());
        let ownership = form
            .zip(endpoint.verification.as_ref())
            .map(|(form, known)| Ownership { due: known.due(form), known: Arc::clone(known) });
        let is_open = ownership.as_ref().is_some_and(|ownership| !ownership.known.is_verified());
        if is_open && !matches!(standing.state, EndpointState::Disabled { .. }) {
            // What was proven this very moment may not be known here yet: what is told belongs together.
            standing.state = EndpointState::Unverified;
        }
        Ok(EndpointView { endpoint, config, standing, ownership })
    }

    /// The configuration of an endpoint with its secrets.
    pub(crate) fn opened(&self, endpoint: &Endpoint) -> Result<EndpointConfig, ServiceError> {
        endpoint.opened(self.directory().key()).map_err(|error| {
            tracing::error!(endpoint = endpoint.id.as_str(), %error, "an endpoint cannot be read");
            ServiceError::Internal
        })
    }

    /// The configuration with its URLs normalised, if requests may go there, its tenant may have what it names, and no card
    /// number is in what is shown of it: no endpoint is stored that was not judged. What it named `before` may stay when it was
    /// withdrawn since, so that everything else can be changed.
    fn checked(
        &self,
        tenant: TenantNo,
        before: Option<&EndpointConfig>,
        mut config: EndpointConfig,
    ) -> Result<EndpointConfig, ServiceError> {
        let mut faults = card::faults_of_configuration(&config.to_doc());
        for (n, pattern) in config.event_types.iter().enumerate() {
            let is_new = before.is_none_or(|before| !before.event_types.contains(pattern));
            if let Pattern::Exact(name) = pattern
                && is_new
                && !self.is_entitled(tenant, name)
            {
                faults.push(Fault::refusal(format!("/event_types/{n}"), NOT_ENTITLED));
            }
        }
        match self.judge_url(&config.url) {
            Ok(url) => config.url = url,
            Err(fault) => faults.insert(0, Fault::new("/url", fault)),
        }
        if let Auth::OAuth2(client) = &mut config.auth {
            match self.judge_url(&client.token_url) {
                Ok(url) => client.token_url = url,
                Err(fault) => faults.push(Fault::new("/auth/token_url", fault)),
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(ServiceError::Invalid(faults)) }
    }

    /// Makes an endpoint, if its tenant may have another one. The caller holds the door for changes.
    async fn add_endpoint(
        &self,
        mut editing: Editing,
        tenant: TenantNo,
        id: EndpointId,
        config: EndpointConfig,
    ) -> Result<EndpointView, ServiceError> {
        if let Some(fault) = fault_of_name("/id", id.as_str()) {
            return Err(ServiceError::Invalid(vec![fault]));
        }
        if let Some(quotas) = self.quotas(tenant)? {
            let allowed = quotas.endpoints();
            if self.directory().endpoint_count(tenant) >= usize::try_from(allowed).unwrap_or(usize::MAX) {
                let detail =
                    format!("would be one too many: the tenant's quota endpoints ({allowed}) is used up");
                return Err(ServiceError::Invalid(vec![Fault::new("", detail)]));
            }
        }
        let no = editing.endpoint();
        self.store_endpoint(editing, no, tenant, id, 1, config).await
    }

    /// What a tenant may take up; `None` for the operator's own, which has no bounds.
    fn quotas(&self, tenant: TenantNo) -> Result<Option<Quotas>, ServiceError> {
        let owner = self.directory().tenant_by_no(tenant).ok_or(ServiceError::NotFound("the tenant"))?;
        if owner.id.as_str() == OPERATOR {
            return Ok(None);
        }
        let config = TenantConfig::from_stored(&owner.doc).map_err(|error| {
            tracing::error!(tenant = owner.id.as_str(), %error, "a stored tenant cannot be read");
            ServiceError::Internal
        })?;
        Ok(Some(config.quotas))
    }

    /// Whether the filters of an endpoint may be these: fewer than it has are always allowed.
    fn check_filters(
        &self,
        tenant: TenantNo,
        no: EndpointNo,
        filters: Option<&Filters>,
    ) -> Result<(), ServiceError> {
        let Some(wanted) = filters.map(Filters::values) else { return Ok(()) };
        let Some(quotas) = self.quotas(tenant)? else { return Ok(()) };
        let allowed = quotas.filter_values();
        let (all, before) = self.directory().screens().values(tenant, no);
        if wanted <= before || all - before + wanted <= usize::try_from(allowed).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let detail = format!(
            "would compare with too many values: the tenant's quota filter_values ({allowed}) allows no more over all \
             its endpoints"
        );
        Err(ServiceError::Invalid(vec![Fault::new("/filters", detail)]))
    }

    async fn next_version(
        &self,
        editing: Editing,
        before: &Endpoint,
        config: EndpointConfig,
    ) -> Result<EndpointView, ServiceError> {
        let version = before.version.checked_add(1).ok_or(ServiceError::Internal)?;
        self.store_endpoint(editing, before.no, before.tenant, before.id.clone(), version, config).await
    }

    /// Makes a version of an endpoint durable, then known. The caller holds the door for changes.
    async fn store_endpoint(
        &self,
        editing: Editing,
        no: EndpointNo,
        tenant: TenantNo,
        id: EndpointId,
        version: u32,
        config: EndpointConfig,
    ) -> Result<EndpointView, ServiceError> {
        self.check_filters(tenant, no, config.filters.as_deref())?;
        let now = wall();
        let before = self.directory().endpoint_by_no(no);
        let verification = self.verification_of(before.as_deref(), &config, now)?;
        let secrets = sealed::seal(self.directory().key(), no, version, &config)?;
        let endpoint = Arc::new(Endpoint {
            no,
            tenant,
            id,
            version,
            doc: config.to_doc()[..].into(),
            secrets: secrets[..].into(),
            verification: verification.map(Arc::new),
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            updated_at: now,
        });
        let policy = config.policy(version, self.profiles(), &self.config().default_schedule);
        let policy = self.config().policy(policy, config.profile.as_str(), endpoint.verification.as_deref());
        let edit = Edit::PutEndpoint {
            no,
            tenant,
            id: endpoint.id.as_str().into(),
            version,
            doc: Bytes::copy_from_slice(&endpoint.doc),
            secrets,
            at: now,
        };
        let asked = policy.clone();
        let mut changes = vec![Change { edit, policy: Some(policy.clone()) }];
        let was_known = before.as_ref().and_then(|before| before.verification.as_ref());
        if was_known != endpoint.verification.as_ref() {
            let doc = endpoint.verification.as_ref().map_or_else(Bytes::new, |known| known.to_doc());
            changes.push(Change { edit: Edit::PutVerification { no, tenant, doc }, policy: Some(policy) });
        }
        let is_new = before.is_none();
        self.directory().stage_endpoint(Arc::clone(&endpoint));
        let (made, engine) = (Arc::clone(&endpoint), self.clone());
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                let is_open = made.verification.as_ref().is_some_and(|known| !known.is_verified());
                directory.put_endpoint(made);
                directory.screens().put(tenant, no, &asked);
                if is_open {
                    engine.watch(no, AFTER_THE_ANSWER);
                }
            } else if is_new {
                directory.remove_endpoint(no);
            }
            directory.unstage_endpoint(no);
        };
        self.apply(editing, changes, then).await?;
        self.view(endpoint)
    }

    /// What is known of whose an endpoint is after a change, where its profile has that proven.
    fn verification_of(
        &self,
        before: Option<&Endpoint>,
        config: &EndpointConfig,
        now: Timestamp,
    ) -> Result<Option<Verification>, ServiceError> {
        if self.config().challenge(config.profile.as_str()).is_none() {
            return Ok(None);
        }
        let known = before.and_then(|before| Some((before, before.verification.as_ref()?)));
        let Some((before, known)) = known else { return Ok(Some(Verification::begin(now))) };
        let stored = PublicConfig::from_stored(&before.doc).map_err(|_| ServiceError::Internal)?;
        Ok(Some(known.changed(stored.url() != &*config.url, now)))
    }
}
