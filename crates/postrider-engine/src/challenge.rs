//! Asking endpoints to prove whose they are, where their profile wants it: in the background after each change, at growing
//! intervals until they do, and when somebody asks for it.
//!
//! What is asked, when, and what an answer means is the core's to say ([`postrider_core::challenge`]). What came of it is durable
//! before anything is delivered because of it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use parking_lot::Mutex;
use postrider_core::challenge::{ChallengeForm, RANDOM_BYTES, Verification};
use postrider_core::endpoint::PublicConfig;
use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::record::{Edit, ErrorKind};
use postrider_dispatch::{MAX_KEPT_BODY, Request};
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use crate::attempt::Sent;
use crate::clock::wall;
use crate::directory::{Directory, Endpoint};
use crate::driver::Change;
use crate::endpoints::EndpointView;
use crate::error::ServiceError;
use crate::prepared::stored_target;
use crate::{Engine, oauth, random};

/// How long after a change the first challenge leaves: a secret that was made reaches the partner only with the answer, which
/// is out by then. (One that comes too early all the same is followed by others.)
pub(crate) const AFTER_THE_ANSWER: Duration = Duration::from_millis(250);
/// Challenges of our own accord that are under way at once, over all endpoints.
const AT_ONCE: usize = 256;
/// The longest time for one challenge.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a challenge waits that could not be made for a reason on our side.
const OWN_FAULT: Duration = Duration::from_secs(5);

/// The endpoints that are being asked.
pub(crate) struct Challenges {
    asking: Mutex<FxHashMap<EndpointNo, (u64, AbortHandle)>>,
    next: AtomicU64,
    places: Semaphore,
}

impl Default for Challenges {
    fn default() -> Self {
        Self { asking: Mutex::default(), next: AtomicU64::default(), places: Semaphore::new(AT_ONCE) }
    }
}

impl Challenges {
    /// Asks nobody any more.
    pub(crate) fn stop(&self) {
        self.places.close();
        self.asking.lock().drain().for_each(|(_, (_, task))| task.abort());
    }

    fn leave(&self, endpoint: EndpointNo) {
        if let Some((_, task)) = self.asking.lock().remove(&endpoint) {
            task.abort();
        }
    }
}

/// What came of a challenge.
enum Asked {
    /// It was proven.
    Proven,
    /// Why it was not.
    Failed(String),
    /// Nothing, for a reason on our side.
    NotMade,
    /// Nothing: the endpoint is another one by now.
    Changed,
}

impl Endpoint {
    /// The same with what is known of whose it is now.
    fn known(&self, verification: Verification) -> Self {
        Self {
            no: self.no,
            tenant: self.tenant,
            id: self.id.clone(),
            version: self.version,
            doc: self.doc.clone(),
            secrets: self.secrets.clone(),
            verification: Some(Arc::new(verification)),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl Engine {
    /// What the profile of an endpoint asks it.
    fn challenge_of(&self, endpoint: &Endpoint) -> Result<Option<&Arc<ChallengeForm>>, ServiceError> {
        let config = PublicConfig::from_stored(&endpoint.doc).map_err(|error| {
            tracing::error!(endpoint = endpoint.id.as_str(), %error, "a stored endpoint cannot be read");
            ServiceError::Internal
        })?;
        Ok(self.config().challenge(config.profile().as_str()))
    }

    /// Runs an endpoint's challenge once, now; where it fails and nothing was proven before, it is run again at growing
    /// intervals from now on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] where the endpoint's profile has no challenge, or the endpoint
    /// is changed meanwhile; [`ServiceError::TooMany`] where its tenant, or all tenants together for that host and port, ask for too
    /// much by hand; [`ServiceError::Overloaded`] for a reason on our side.
    pub async fn challenge_endpoint(&self, tenant: TenantNo, id: &str) -> Result<EndpointView, ServiceError> {
        let endpoint = self.found(tenant, id)?;
        let Some(form) = self.challenge_of(&endpoint)?.cloned() else {
            return Err(ServiceError::Conflict("the endpoint's profile has no challenge".into()));
        };
        let target = stored_target(&self.opened(&endpoint)?.url)
            .map_err(|unprepared| ServiceError::Conflict(unprepared.shown().to_owned()))?;
        self.admit_by_hand(tenant, &target)?;
        let engine = self.clone();
        // Goes on when the caller goes away: who is asked in the background is left for it.
        let asked = tokio::spawn(async move { engine.ask_by_hand(&endpoint, &form).await });
        if !asked.await.unwrap_or(Err(ServiceError::Internal))? {
            return Err(ServiceError::Conflict("the endpoint was changed meanwhile: try again".into()));
        }
        self.endpoint(tenant, id)
    }

    /// Asks once, instead of in the background; `false` where the endpoint is another one by now.
    async fn ask_by_hand(&self, endpoint: &Endpoint, form: &ChallengeForm) -> Result<bool, ServiceError> {
        self.0.challenges.leave(endpoint.no);
        let known = match self.ask(endpoint, form).await {
            Ok(Asked::NotMade) => Err(ServiceError::Overloaded {
                reason: "the challenge could not be made, for a reason on the server's side".to_owned(),
                retry_after: OWN_FAULT,
            }),
            Ok(Asked::Changed) => Ok(false),
            Ok(Asked::Proven) => self.note_challenge(endpoint, None, true).await,
            Ok(Asked::Failed(fault)) => self.note_challenge(endpoint, Some(fault.into()), true).await,
            Err(error) => Err(error),
        };
        // Whatever came of it, what was begun before goes on.
        self.watch(endpoint.no, Duration::ZERO);
        known
    }

    /// Asks an endpoint in the background, from now on, for as long as it is to be asked.
    pub(crate) fn watch(&self, endpoint: EndpointNo, after: Duration) {
        let number = self.0.challenges.next.fetch_add(1, Ordering::Relaxed);
        // Held until it is entered, so that it is not over before.
        let mut asking = self.0.challenges.asking.lock();
        let engine = self.clone();
        let task = self.workers().spawn(async move {
            tokio::time::sleep(after).await;
            engine.keep_asking(endpoint).await;
            let mut asking = engine.0.challenges.asking.lock();
            if asking.get(&endpoint).is_some_and(|(entered, _)| *entered == number) {
                asking.remove(&endpoint);
            }
        });
        if let Some((_, before)) = asking.insert(endpoint, (number, task)) {
            before.abort();
        }
    }

    /// Goes on with what was being asked when the process ended, and begins with what was never asked.
    pub(crate) fn watch_all(&self) {
        if !self.profiles().iter().any(|profile| profile.challenge().is_some()) {
            return;
        }
        for endpoint in self.directory().all_endpoints() {
            let is_verified = endpoint.verification.as_ref().is_some_and(|known| known.is_verified());
            if is_verified || !matches!(self.challenge_of(&endpoint), Ok(Some(_))) {
                continue;
            }
            let no = endpoint.no;
            if endpoint.verification.is_none() {
                self.directory().learn(Arc::new(endpoint.known(Verification::begin(wall()))));
            }
            self.watch(no, Duration::ZERO);
        }
    }

    async fn keep_asking(&self, no: EndpointNo) {
        loop {
            let Some(endpoint) = self.directory().endpoint_by_no(no) else { return };
            let Ok(Some(form)) = self.challenge_of(&endpoint).map(|form| form.cloned()) else { return };
            let Some(due) = endpoint.verification.as_ref().and_then(|known| known.due(&form)) else { return };
            tokio::time::sleep(due.since(wall())).await;
            // Closed when the engine stops.
            let Ok(place) = self.0.challenges.places.acquire().await else { return };
            let wait = match self.ask_if_allowed(&endpoint, &form).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(endpoint = endpoint.id.as_str(), %error, "a challenge came to nothing; trying again");
                    OWN_FAULT
                }
            };
            drop(place);
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks once, within what a tenant and a destination may be asked; returns how long to wait where nothing was asked.
    async fn ask_if_allowed(
        &self,
        endpoint: &Endpoint,
        form: &ChallengeForm,
    ) -> Result<Duration, ServiceError> {
        let target = match stored_target(&self.opened(endpoint)?.url) {
            Ok(target) => target,
            Err(unprepared) => {
                self.note_challenge(endpoint, Some(unprepared.shown().into()), false).await?;
                return Ok(Duration::ZERO);
            }
        };
        if let Err(ServiceError::TooMany { retry_after, .. }) = self.admit_by_hand(endpoint.tenant, &target) {
            return Ok(retry_after);
        }
        let fault = match self.ask(endpoint, form).await? {
            Asked::Proven => None,
            Asked::Failed(fault) => Some(fault.into()),
            // What is asked for after a change comes with that change.
            Asked::NotMade | Asked::Changed => return Ok(OWN_FAULT),
        };
        self.note_challenge(endpoint, fault, false).await?;
        Ok(Duration::ZERO)
    }

    /// Sends one challenge, with the endpoint's authentication and headers, and looks at the answer.
    async fn ask(&self, endpoint: &Endpoint, form: &ChallengeForm) -> Result<Asked, ServiceError> {
        let config = self.opened(endpoint)?;
        let failed = |fault: &str| Ok(Asked::Failed(fault.to_owned()));
        let Some(value) = form.value(&random::bytes::<RANDOM_BYTES>()?) else { return Ok(Asked::NotMade) };
        let url = form.url(&config.url, &value);
        let Some(target) = url.and_then(|url| stored_target(&url).ok()) else {
            return failed("the URL has no room for a challenge");
        };
        let prepared = match self.directory().prepared(endpoint.no) {
            Ok(prepared) if prepared.version != endpoint.version => return Ok(Asked::Changed),
            Ok(prepared) => prepared,
            Err(unprepared) => return failed(unprepared.shown()),
        };
        let mut headers = prepared.bare_headers();
        for (name, value) in &form.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let request = Request {
            target: Arc::new(target),
            method: Method::from_str(form.method).unwrap_or(Method::GET),
            headers,
            body: Bytes::new(),
            timeout: prepared.timeout.min(TIMEOUT),
            keep_body: MAX_KEPT_BODY,
        };
        let Some(secret) = &config.secret else {
            return failed("the endpoint has no secret to prove it with");
        };
        let key = match prepared.profile().secret().key(secret) {
            Ok(key) => key,
            Err(fault) => return failed(&format!("the endpoint's secret {fault}")),
        };
        let driver = self.driver();
        let sent = match &prepared.client {
            Some(client) => oauth::send(driver, client, request).await,
            None => driver.0.dispatcher.send(request).await.into(),
        };
        Ok(judge(form, &key, &value, sent))
    }

    /// Makes durable what came of a challenge, and takes it into account; `false` where the endpoint is another one by now.
    async fn note_challenge(
        &self,
        asked: &Endpoint,
        fault: Option<Box<str>>,
        by_hand: bool,
    ) -> Result<bool, ServiceError> {
        let editing = self.directory().editing().await;
        let Some(endpoint) = self.directory().endpoint_by_no(asked.no) else { return Ok(false) };
        if endpoint.version != asked.version {
            return Ok(false);
        }
        let now = wall();
        let known = match &endpoint.verification {
            Some(known) if by_hand => known.asked_again(now),
            Some(known) => (**known).clone(),
            None => Verification::begin(now),
        };
        let known = known.tried(now, fault);
        let config = PublicConfig::from_stored(&endpoint.doc).map_err(|_| ServiceError::Internal)?;
        let policy = config.policy(endpoint.version, self.profiles(), &self.config().default_schedule);
        let policy = self.config().policy(policy, config.profile().as_str(), Some(&known));
        let edit = Edit::PutVerification { no: endpoint.no, tenant: endpoint.tenant, doc: known.to_doc() };
        let changed = Arc::new(endpoint.known(known));
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                directory.learn(changed);
            }
        };
        self.apply(editing, vec![Change { edit, policy: Some(policy) }], then).await?;
        Ok(true)
    }
}

/// What an answer says.
fn judge(form: &ChallengeForm, key: &Zeroizing<Vec<u8>>, value: &str, sent: Sent) -> Asked {
    let answer = match sent.result {
        Ok(answer) => answer,
        Err(unanswered) if unanswered.kind == ErrorKind::Local => return Asked::NotMade,
        Err(unanswered) => return Asked::Failed(unanswered.detail),
    };
    let proof = answer.headers.get(&*form.proof.header).map(HeaderValue::as_bytes);
    match form.check(key, value, answer.status, proof) {
        Ok(()) => Asked::Proven,
        Err(fault) => Asked::Failed(fault),
    }
}
