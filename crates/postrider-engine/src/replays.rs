//! Replays as service functions: counted, begun, read, ended.

use std::sync::Arc;

use postrider_core::fault::Fault;
use postrider_core::id::{EndpointNo, IdKind, TenantNo, random_id};
use postrider_core::node::{Input, NOT_RUNNING, ReplayAsk, Reply};
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplayRequest, ReplaySpan, ReplayState};
use postrider_store::Store;
pub use postrider_store::StoredReplay;

use crate::Engine;
use crate::clock::wall;
use crate::driver::{EndpointState, RETRY_AFTER, done};
use crate::error::ServiceError;
use crate::random;
use crate::reading::{For, Read};

/// What to do where there is too much to count.
const NARROW: &str = "leaves too much to look through: narrow the range, or leave types and succeeded out";

/// What is said of a replay that has come to an end a moment ago.
const ENDING: &str = "the replay is ending right now: try again";

impl Engine {
    /// How many deliveries of an endpoint a filter covers.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Invalid`] where there is too much to look through; else as the store
    /// fails.
    pub async fn count_replay(
        &self,
        tenant: TenantNo,
        endpoint: &str,
        filter: ReplayFilter,
    ) -> Result<u64, ServiceError> {
        let endpoint = self.found(tenant, endpoint)?.no;
        Ok(self.span(tenant, endpoint, filter).await?.matched)
    }

    /// Begins to replay what is covered now.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] for a disabled endpoint, and where enough replays run; else as
    /// [`Self::count_replay`].
    pub async fn start_replay(
        &self,
        tenant: TenantNo,
        endpoint: &str,
        request: ReplayRequest,
    ) -> Result<StoredReplay, ServiceError> {
        let endpoint = self.found(tenant, endpoint)?.no;
        if let Some(EndpointState::Disabled { .. }) = self.driver().state(tenant, endpoint).map(|s| s.state) {
            // Said before anything is counted; the machine says it again if that changes meanwhile.
            return Err(ServiceError::Conflict(
                "the endpoint is disabled: test it successfully first".into(),
            ));
        }
        let span = self.span(tenant, endpoint, request.filter.clone()).await?;
        let created_at = wall();
        let id = random_id(IdKind::Replay, created_at, u128::from_le_bytes(random::bytes()?));
        let replay = Arc::new(Replay {
            id: id.into(),
            tenant,
            endpoint,
            filter: request.filter,
            span,
            per_second: request.per_second,
            created_at,
        });
        let asked = Arc::clone(&replay);
        done(self.driver().ask(|asker| Input::Replay(ReplayAsk::Start(asked), asker)).await?)?;
        let state = if span.matched == 0 { ReplayState::Done } else { ReplayState::Running };
        let progress = ReplayProgress { state, ..ReplayProgress::begun(span, created_at) };
        Ok(StoredReplay { replay, progress })
    }

    /// At most `limit` replays of an endpoint, newest first, before the given one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn replays(
        &self,
        tenant: TenantNo,
        endpoint: &str,
        before: Option<String>,
        limit: usize,
    ) -> Result<Vec<StoredReplay>, ServiceError> {
        let endpoint = self.found(tenant, endpoint)?.no;
        self.read(For::Page(Some(tenant)), move |store| store.replays(endpoint, before.as_deref(), limit))
            .await
    }

    /// One replay of an endpoint.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn replay(
        &self,
        tenant: TenantNo,
        endpoint: &str,
        id: &str,
    ) -> Result<StoredReplay, ServiceError> {
        let endpoint = self.found(tenant, endpoint)?.no;
        let id = id.to_owned();
        let found = self.read(For::Page(Some(tenant)), move |store| store.replay(endpoint, &id)).await?;
        found.ok_or(ServiceError::NotFound("the replay"))
    }

    /// Ends a replay: it lets nothing more go. Ended once more, nothing changes.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] for one that has come to its end; else as the store fails.
    pub async fn cancel_replay(
        &self,
        tenant: TenantNo,
        endpoint: &str,
        id: &str,
    ) -> Result<(), ServiceError> {
        let no = self.found(tenant, endpoint)?.no;
        let ask = ReplayAsk::Cancel { tenant, endpoint: no, id: id.into() };
        match self.driver().ask(|asker| Input::Replay(ask, asker)).await? {
            Reply::Conflict(NOT_RUNNING) => match self.replay(tenant, endpoint, id).await?.progress.state {
                ReplayState::Cancelled => Ok(()),
                // Its end is on its way to the disk.
                ReplayState::Running => {
                    Err(ServiceError::Overloaded { reason: ENDING.to_owned(), retry_after: RETRY_AFTER })
                }
                state => {
                    Err(ServiceError::Conflict(format!("the replay has ended: it is {}", state.as_str())))
                }
            },
            reply => done(reply),
        }
    }

    async fn span(
        &self,
        tenant: TenantNo,
        endpoint: EndpointNo,
        filter: ReplayFilter,
    ) -> Result<ReplaySpan, ServiceError> {
        let count = move |store: &dyn Store| store.replay_span(endpoint, &filter);
        match self.try_read(For::Count(tenant), count).await? {
            Read::Done(span) => Ok(span),
            // To ask the same again would not help.
            Read::CutOff => Err(ServiceError::Invalid(vec![Fault::new("/since", NARROW)])),
        }
    }
}
