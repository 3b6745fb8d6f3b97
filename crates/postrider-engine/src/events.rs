//! Events as they are looked up: a tenant's list, and one event with its data and the verdict of every endpoint.

use std::sync::Arc;

use postrider_core::id::{Position, TenantNo};
use postrider_core::record::{Event, KeyHash};
use postrider_core::time::Timestamp;
use postrider_store::{EventQuery, EventRow, LogQuery};

use crate::Engine;
use crate::error::ServiceError;
use crate::log::{Delivery, find_event};
use crate::reading::For;

/// Deliveries that are told with one event.
const DELIVERIES: usize = 1_000;

/// Which events of a tenant are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// The one of that id, the publisher's own or ours.
    pub id: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// With this ordering key.
    pub key: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Only what lies before: where a page left off.
    pub before: Option<Position>,
    /// At most so many rows.
    pub limit: usize,
}

/// A page of events, newest first.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events with their attributes, without their data.
    pub rows: Vec<EventRow>,
    /// Where to read on; `None` at the end. May be set on a short page.
    pub next: Option<Position>,
}

/// One event with its data.
#[derive(Debug)]
pub struct EventDetail {
    /// The event.
    pub event: Arc<Event>,
    /// What became of its deliveries, as in the log; at most 1,000.
    pub deliveries: Vec<Delivery>,
    /// Where the log of its deliveries is read on, if there are more.
    pub next: Option<Position>,
}

impl Engine {
    /// Reads a page of a tenant's events.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn events(&self, tenant: TenantNo, filter: EventFilter) -> Result<EventPage, ServiceError> {
        let mut query = EventQuery {
            tenant,
            event: None,
            event_type: filter.event_type,
            key: filter.key.map(|key| KeyHash::ordering(tenant, &key)),
            subject: filter.subject.map(|subject| KeyHash::subject(tenant, &subject)),
            since: filter.since,
            until: filter.until,
            before: filter.before,
            limit: filter.limit,
        };
        let page = self
            .read(For::Page(Some(tenant)), move |store| {
                if let Some(id) = filter.id {
                    query.event = find_event(store, Some(tenant), &id)?;
                    if query.event.is_none() {
                        return Ok(postrider_store::EventPage::default());
                    }
                }
                store.events(&query)
            })
            .await?;
        Ok(EventPage { rows: page.rows, next: page.next })
    }

    /// Reads one event with its data and its deliveries.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also for another tenant's; else as the store fails.
    pub async fn event(&self, tenant: TenantNo, id: &str) -> Result<EventDetail, ServiceError> {
        let id = id.to_owned();
        let found = self
            .read(For::Page(Some(tenant)), move |store| {
                let Some(position) = find_event(store, Some(tenant), &id)? else { return Ok(None) };
                let Some(stored) = store.event(position)? else { return Ok(None) };
                let query = LogQuery {
                    tenant: Some(tenant),
                    event: Some(position),
                    limit: DELIVERIES,
                    ..LogQuery::default()
                };
                Ok(Some((stored.event, store.log(&query)?)))
            })
            .await?;
        let (event, page) = found.ok_or(ServiceError::NotFound("the event"))?;
        let deliveries = page.rows.into_iter().map(|row| self.shown(row)).collect();
        Ok(EventDetail { event, deliveries, next: page.next })
    }
}
