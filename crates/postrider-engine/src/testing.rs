//! Testing an endpoint: one request now, with an example of an event type, answered with what came back.

use std::sync::Arc;

use bytes::Bytes;
use postrider_core::event_type::EventTypeConfig;
use postrider_core::fault::Fault;
use postrider_core::id::{EndpointNo, IdKind, Position, TenantNo, random_id};
use postrider_core::node::{Input, Reply, UNVERIFIED};
use postrider_core::profile::ProfileName;
use postrider_core::record::{AttemptRecord, Event, TestRecord, Trigger};
use postrider_core::schema::Schema;

use crate::card_guard::fault_of_name;
use crate::catalogue::not_in_catalogue;
use crate::driver::{EndpointState, RETRY_AFTER, done};
use crate::endpoints::NOT_ENTITLED;
use crate::error::ServiceError;
use crate::prepared::Unprepared;
use crate::{Engine, attempt, clock, random};

/// What is sent for a type that has neither an example nor a schema to make one from.
const EXAMPLE: &[u8] = br#"{"example":true,"message":"This is a test from Postrider. Nothing happened."}"#;

impl Engine {
    /// Sends the example of `event_type` to an endpoint now, past its queue, schedule and breaker, and records the
    /// attempt. A success enables an endpoint again that was disabled, and closes its breaker.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] if the endpoint does not exist; [`ServiceError::Conflict`] if it cannot be made ready, or
    /// it is not proven whose it is;
    /// [`ServiceError::Invalid`] for a type that holds a card number, or that the tenant may not have; [`ServiceError::TooMany`] where tests are asked for too
    /// often; [`ServiceError::Overloaded`] if the record could not be written.
    pub async fn test_endpoint(
        &self,
        tenant: TenantNo,
        endpoint: EndpointNo,
        event_type: &str,
    ) -> Result<(Position, AttemptRecord), ServiceError> {
        if let Some(fault) = fault_of_name("/type", event_type) {
            return Err(ServiceError::Invalid(vec![fault]));
        }
        if !self.is_entitled(tenant, event_type) {
            return Err(ServiceError::Invalid(vec![Fault::refusal("/type", NOT_ENTITLED)]));
        }
        let verified = self.driver().state(tenant, endpoint).map(|standing| standing.state);
        if verified == Some(EndpointState::Unverified) {
            return Err(ServiceError::Conflict(UNVERIFIED.into()));
        }
        let prepared = self.directory().prepared(endpoint).map_err(|unprepared| match unprepared {
            Unprepared::Gone => ServiceError::NotFound("the endpoint"),
            other => ServiceError::Conflict(other.shown().to_owned()),
        })?;
        self.admit_by_hand(tenant, &prepared.target)?;
        let owner = self.directory().tenant_by_no(tenant).ok_or(ServiceError::NotFound("the tenant"))?;
        let at = self.now();
        let event = Event {
            position: Position::ZERO,
            tenant,
            accepted_at: at,
            occurred_at: clock::wall(),
            event_type: Arc::from(event_type),
            own_id: Some(random_id(IdKind::Event, at, u128::from_le_bytes(random::bytes()?)).into()),
            key: None,
            subject: None,
            expires_at: None,
            attributes: Bytes::new(),
            data: self.example(&owner.profile, prepared.profile().name(), event_type)?,
        };
        let what = attempt::What { event: &event, sequence: None, number: 1, run: 0, trigger: Trigger::Test };
        let made = attempt::make(self.driver(), &prepared, what).await;
        let record = TestRecord {
            position: Position::ZERO,
            tenant,
            endpoint,
            event_type: event.event_type.clone(),
            data: event.data.clone(),
            at,
            attempt: made.record.clone(),
        };
        match self.driver().ask(|asker| Input::Tested(Box::new(record), asker)).await? {
            Reply::Tested(position) => Ok((position, made.record)),
            other => Err(done(other).err().unwrap_or(ServiceError::Overloaded {
                reason: "the test was made but could not be recorded".to_owned(),
                retry_after: RETRY_AFTER,
            })),
        }
    }

    /// Data as it may be for a type: its own example, else one made from its schema, else ours. The tenant's catalogue comes
    /// before that of the endpoint's profile.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a type that is in neither, where the tenant's is closed.
    fn example(
        &self,
        tenant: &ProfileName,
        endpoint: &ProfileName,
        event_type: &str,
    ) -> Result<Bytes, ServiceError> {
        let registered =
            self.event_type(tenant, event_type).or_else(|| self.event_type(endpoint, event_type));
        if registered.is_none() && self.profiles().get(tenant.as_str()).is_some_and(|it| it.is_closed()) {
            return Err(ServiceError::Invalid(vec![Fault::new("/type", not_in_catalogue(tenant))]));
        }
        let of_its_own = registered.as_ref().and_then(|registered| {
            let EventTypeConfig { example, schema, .. } = &registered.config;
            example.clone().or_else(|| schema.as_ref().and_then(Schema::example))
        });
        Ok(of_its_own.unwrap_or(Bytes::from_static(EXAMPLE)))
    }
}
