//! The delivery log as it is read: rows, and one delivery with its payload and attempts, all rendered again from what is
//! stored, with secrets and signatures masked.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::endpoint::{AlsoSign, PublicConfig};
use postrider_core::fault::Fault;
use postrider_core::id::{EndpointNo, IdKind, Position, PublicId, TenantNo};
use postrider_core::profile::ProfileName;
use postrider_core::record::{AttemptRecord, ErrorKind, Event, KeyHash, Reason, Status, TestRecord, Trigger};
use postrider_core::time::Timestamp;
use postrider_core::wire::{self, Message};
use postrider_store::{LogQuery, LogRow, Store, StoreError};
use serde_json::Value;

use crate::Engine;
use crate::error::ServiceError;
use crate::prepared::MASK;
use crate::reading::For;

/// What the id of an endpoint is shown as when nobody remembers it: very many were removed since. Also that of a tenant,
/// which nobody remembers once it is removed.
const FORGOTTEN: &str = "removed";

/// Which deliveries and tests are asked for. All conditions hold at once. Keys, subjects and publishers' ids are a tenant's
/// own: without a tenant nothing is found by them.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Of this tenant; over all if `None`.
    pub tenant: Option<TenantNo>,
    /// To the endpoint of that id.
    pub endpoint: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// Of this event type.
    pub event_type: Option<String>,
    /// With this ordering key.
    pub key: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Of the event of that id, the publisher's own or ours.
    pub event: Option<String>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Only what lies before: where a page left off.
    pub before: Option<Position>,
    /// At most so many rows.
    pub limit: usize,
}

/// A line of the delivery log.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its public id.
    pub id: PublicId,
    /// The public id of its tenant.
    pub tenant: String,
    /// The public id of its endpoint.
    pub endpoint: String,
    /// Its event; with data only where one delivery is read.
    pub event: Arc<Event>,
    /// The endpoint's gapless number for it; a test has none.
    pub sequence: Option<u64>,
    /// Its state.
    pub status: Status,
    /// Why it ended so.
    pub reason: Option<Reason>,
    /// Attempts made, over all runs.
    pub attempts: u32,
    /// The status code of its last attempt.
    pub last_status_code: Option<u16>,
    /// When it is next due, if a time is set.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was first acknowledged, also if a later run failed.
    pub first_succeeded_at: Option<Timestamp>,
    /// Whether successors of its ordering key went past it.
    pub overtaken: bool,
}

/// A page of the log, newest first.
#[derive(Debug, Default)]
pub struct LogPage {
    /// The rows.
    pub rows: Vec<Delivery>,
    /// Where to read on; `None` at the end. May be set on a short page.
    pub next: Option<Position>,
}

/// One delivery with everything that is known of it.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// As in the log.
    pub delivery: Delivery,
    /// The body as sent.
    pub payload: Bytes,
    /// Its attempts, oldest first, at most the last 1,000.
    pub attempts: Vec<Attempt>,
}

/// One attempt as it is shown.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its public id.
    pub id: PublicId,
    /// Which passage through the schedule, from 0.
    pub run: u16,
    /// Which attempt of the delivery, from 1, over all runs.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The answer's status code, if one came.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<(ErrorKind, Box<str>)>,
    /// The address that was connected to.
    pub remote_address: Option<IpAddr>,
    /// As sent, in lower case, with secrets and signatures masked.
    pub request_headers: BTreeMap<String, String>,
    /// As received; empty for a first-try success. Where a name came more than once, its values are joined.
    pub response_headers: BTreeMap<String, String>,
    /// The first 4 KiB as received, as text; empty for a first-try success.
    pub response_body: String,
    /// What brought it about.
    pub trigger: Trigger,
}

impl Engine {
    /// Reads a page of the log: deliveries, and tests where they fit.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for an endpoint's id that several tenants have, where none is named; else as the store
    /// fails.
    pub async fn log(&self, filter: LogFilter) -> Result<LogPage, ServiceError> {
        let tenant = filter.tenant;
        // What nobody has gets nothing.
        if tenant.is_none() && (filter.key.is_some() || filter.subject.is_some()) {
            return Ok(LogPage::default());
        }
        let hash = |text: Option<String>, hash: fn(TenantNo, &str) -> KeyHash| Some(hash(tenant?, &text?));
        let mut query = LogQuery {
            tenant,
            status: filter.status,
            event_type: filter.event_type,
            key: hash(filter.key, KeyHash::ordering),
            subject: hash(filter.subject, KeyHash::subject),
            since: filter.since,
            until: filter.until,
            tests: true,
            before: filter.before,
            limit: filter.limit,
            ..LogQuery::default()
        };
        if let Some(id) = &filter.endpoint {
            let Some(no) = self.endpoint_named(tenant, id)? else { return Ok(LogPage::default()) };
            query.endpoint = Some(no);
        }
        let event = filter.event;
        let page = self
            .read(For::Page(tenant), move |store| {
                if let Some(id) = event {
                    query.event = find_event(store, tenant, &id)?;
                    if query.event.is_none() {
                        return Ok(postrider_store::LogPage::default());
                    }
                }
                store.log(&query)
            })
            .await?;
        let rows = page.rows.into_iter().map(|row| self.shown(row));
        let mut rows: Vec<_> = rows.chain(page.tests.iter().map(|test| self.shown_test(test))).collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id.position));
        Ok(LogPage { rows, next: page.next })
    }

    /// The number of the endpoint of that id, also of a removed one that may be in the log.
    fn endpoint_named(&self, tenant: Option<TenantNo>, id: &str) -> Result<Option<EndpointNo>, ServiceError> {
        let directory = self.directory();
        let Some(tenant) = tenant else {
            return match directory.endpoints_named(id)[..] {
                [] => Ok(None),
                [one] => Ok(Some(one)),
                _ => Err(ServiceError::Invalid(vec![Fault::new(
                    "/endpoint",
                    "is the id of several tenants' endpoints: name the tenant too",
                )])),
            };
        };
        let known = directory.endpoint(tenant, id).map(|endpoint| endpoint.no);
        Ok(known.or_else(|| directory.removed_endpoint(tenant, id)))
    }

    /// Reads one delivery, or one test.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also for another tenant's; else as the store fails.
    pub async fn delivery(&self, tenant: TenantNo, id: &str) -> Result<DeliveryDetail, ServiceError> {
        const NOT_FOUND: ServiceError = ServiceError::NotFound("the delivery");
        let id = PublicId::parse(IdKind::Delivery, id).map_err(|_| NOT_FOUND)?;
        let found = self
            .read(For::Page(Some(tenant)), move |store| {
                Ok(match store.delivery(id.position)? {
                    Some(entry) => Some(Found::Delivery(versions_of(store, entry.row, entry.attempts)?)),
                    None => match store.test(id.position)? {
                        Some(test) => Some(Found::Test(version_of_test(store, test)?)),
                        None => None,
                    },
                })
            })
            .await?;
        let (delivery, records, mut versions, endpoint) = match found.ok_or(NOT_FOUND)? {
            Found::Delivery((row, attempts, versions)) => {
                let endpoint = row.delivery.endpoint;
                (self.shown(row), attempts, versions, endpoint)
            }
            Found::Test((test, versions)) => {
                (self.shown_test(&test), vec![test.attempt], versions, test.endpoint)
            }
        };
        if delivery.event.tenant != tenant || delivery.id != id {
            return Err(NOT_FOUND);
        }
        // As it was sent last, or would be sent now.
        let last = records.last().and_then(|record| versions.get(&record.endpoint_version)).cloned();
        let now = || self.directory().endpoint_by_no(endpoint).map(|now| Version::of(&now.doc));
        let version = last.or_else(now).unwrap_or_default();
        let payload = self.payload(&delivery, &version);
        let show = |record: AttemptRecord| {
            let version = versions.entry(record.endpoint_version).or_default();
            self.shown_attempt(&delivery, record, version)
        };
        let attempts = records.into_iter().map(show).collect();
        Ok(DeliveryDetail { delivery, payload, attempts })
    }

    fn endpoint_shown(&self, endpoint: EndpointNo) -> String {
        let id = self.directory().endpoint_id(endpoint);
        id.map_or_else(|| FORGOTTEN.to_owned(), |id| id.as_str().to_owned())
    }

    fn tenant_shown(&self, tenant: TenantNo) -> String {
        let tenant = self.directory().tenant_by_no(tenant);
        tenant.map_or_else(|| FORGOTTEN.to_owned(), |tenant| tenant.id.as_str().to_owned())
    }

    pub(crate) fn shown(&self, row: LogRow) -> Delivery {
        Delivery {
            id: row.event.delivery_id(row.delivery.position),
            tenant: self.tenant_shown(row.delivery.tenant),
            endpoint: self.endpoint_shown(row.delivery.endpoint),
            sequence: Some(row.delivery.sequence),
            status: row.status,
            reason: row.reason,
            attempts: row.progress.attempts,
            last_status_code: row.last_status_code,
            next_attempt_at: row.next_attempt_at,
            finished_at: row.finished_at,
            first_succeeded_at: row.first_succeeded_at,
            overtaken: row.progress.overtaken,
            event: row.event,
        }
    }

    fn shown_test(&self, test: &TestRecord) -> Delivery {
        let event = event_of_test(test);
        let ended = test.attempt.started_at + test.attempt.duration;
        let status = test.status();
        Delivery {
            id: event.delivery_id(test.position),
            tenant: self.tenant_shown(test.tenant),
            endpoint: self.endpoint_shown(test.endpoint),
            sequence: None,
            status,
            reason: None,
            attempts: 1,
            last_status_code: test.attempt.status_code,
            next_attempt_at: None,
            finished_at: Some(ended),
            first_succeeded_at: (status == Status::Succeeded).then_some(ended),
            overtaken: false,
            event: Arc::new(event),
        }
    }

    /// A test's attempt as it is shown.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn shown_attempt_of_test(
        &self,
        tenant: TenantNo,
        position: Position,
    ) -> Result<Attempt, ServiceError> {
        let found = self
            .read(For::Page(Some(tenant)), move |store| {
                store.test(position)?.map(|test| version_of_test(store, test)).transpose()
            })
            .await?;
        let (test, versions) =
            found.filter(|(test, _)| test.tenant == tenant).ok_or(ServiceError::NotFound("the test"))?;
        let version = versions.get(&test.attempt.endpoint_version).cloned().unwrap_or_default();
        let delivery = self.shown_test(&test);
        Ok(self.shown_attempt(&delivery, test.attempt, &version))
    }

    /// What an attempt told of a delivery.
    fn message<'a>(delivery: &'a Delivery, id: &'a str, attempt: u32, at: Timestamp) -> Message<'a> {
        let Delivery { event, sequence, endpoint, tenant, .. } = delivery;
        Message { event, id, sequence: *sequence, attempt, at, endpoint, tenant }
    }

    /// The body as a version of its endpoint sends it; the data alone where its profile is there no more.
    fn payload(&self, delivery: &Delivery, version: &Version) -> Bytes {
        let id = delivery.event.id();
        let message = Self::message(delivery, &id, 1, Timestamp::EPOCH);
        let profile = self.profiles().get(version.profile.as_str());
        profile.map_or_else(|| delivery.event.data.clone(), |profile| profile.wire().render_body(&message))
    }

    fn shown_attempt(&self, delivery: &Delivery, record: AttemptRecord, version: &Version) -> Attempt {
        let id = delivery.event.id();
        let signed_at = Timestamp::from_secs(record.signed_at);
        let message = Self::message(delivery, &id, record.number, signed_at);
        let also = version.also_sign.iter().filter(|also| record.started_at < also.until);
        let mut headers = version.configured.clone();
        headers.insert("content-type".into(), wire::CONTENT_TYPE.into());
        headers.insert("user-agent".into(), wire::USER_AGENT.into());
        for name in std::iter::once(&version.profile).chain(also.map(|also| &also.profile)) {
            let Some(profile) = self.profiles().get(name.as_str()) else { continue };
            profile.wire().masked_headers(&message, MASK, |header, value| {
                // A test is sent before it has a place, and so under an id of its own that is not kept.
                if delivery.sequence.is_some() || !value.contains(&*id) {
                    headers.insert(header.to_ascii_lowercase(), value);
                }
            });
        }
        show(&delivery.event, delivery.id.position, record, headers)
    }
}

/// What an id led to.
enum Found {
    Delivery((LogRow, Vec<AttemptRecord>, Versions)),
    Test((TestRecord, Versions)),
}

/// The position of an event by its publisher's own id or by the generated one.
pub(crate) fn find_event(
    store: &dyn Store,
    tenant: Option<TenantNo>,
    id: &str,
) -> Result<Option<Position>, StoreError> {
    // First the own one: a publisher may well give its events the ids that another installation gave them.
    if let Some(tenant) = tenant
        && let Some(hit) = store.find_keys(&[KeyHash::own_id(tenant, id)])?.into_iter().flatten().next()
    {
        return Ok(Some(hit.position));
    }
    let Ok(id) = PublicId::parse(IdKind::Event, id) else { return Ok(None) };
    let found = store.event(id.position)?.filter(|stored| {
        stored.event.public_id() == id && tenant.is_none_or(|tenant| tenant == stored.event.tenant)
    });
    Ok(found.map(|stored| stored.event.position))
}

fn versions_of(
    store: &dyn Store,
    row: LogRow,
    attempts: Vec<AttemptRecord>,
) -> Result<(LogRow, Vec<AttemptRecord>, Versions), StoreError> {
    let mut versions = Versions::new();
    for attempt in &attempts {
        read_version(&mut versions, store, row.delivery.endpoint, attempt.endpoint_version)?;
    }
    Ok((row, attempts, versions))
}

fn version_of_test(store: &dyn Store, test: TestRecord) -> Result<(TestRecord, Versions), StoreError> {
    let mut versions = Versions::new();
    read_version(&mut versions, store, test.endpoint, test.attempt.endpoint_version)?;
    Ok((test, versions))
}

/// The event that a test stands for, with its data.
fn event_of_test(test: &TestRecord) -> Event {
    Event {
        position: test.position,
        tenant: test.tenant,
        accepted_at: test.at,
        occurred_at: test.at,
        event_type: Arc::clone(&test.event_type),
        own_id: None,
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        data: test.data.clone(),
    }
}

/// What is known of the versions of an endpoint that attempts were made by: nearly always all of them by the same one.
type Versions = BTreeMap<u32, Version>;

/// What of an endpoint's configuration shows in its requests.
#[derive(Clone, Default)]
struct Version {
    /// Headers of its own and of its credential.
    configured: BTreeMap<String, String>,
    profile: ProfileName,
    also_sign: Vec<AlsoSign>,
}

impl Version {
    fn of(doc: &[u8]) -> Self {
        let configured = configured_headers(doc);
        match PublicConfig::from_stored(doc) {
            Ok(config) => {
                Self { configured, profile: config.profile().clone(), also_sign: config.also_sign().to_vec() }
            }
            Err(_) => Self { configured, ..Self::default() },
        }
    }
}

fn read_version(
    versions: &mut Versions,
    store: &dyn Store,
    endpoint: EndpointNo,
    version: u32,
) -> Result<(), StoreError> {
    if let Entry::Vacant(unread) = versions.entry(version) {
        let stored = store.endpoint_version(endpoint, version)?;
        unread.insert(stored.map(|stored| Version::of(&stored.doc)).unwrap_or_default());
    }
    Ok(())
}

/// The names of an endpoint's own headers and of its credential's. Every value is masked, since owners put keys into
/// headers of any name.
fn configured_headers(doc: &[u8]) -> BTreeMap<String, String> {
    let doc: Value = serde_json::from_slice(doc).unwrap_or_default();
    let custom = doc.get("headers").and_then(Value::as_object);
    let mut names: Vec<String> = custom.map(|headers| headers.keys().cloned().collect()).unwrap_or_default();
    match doc.pointer("/auth/type").and_then(Value::as_str) {
        None | Some("none") => {}
        Some("api_key") => {
            names.extend(doc.pointer("/auth/header").and_then(Value::as_str).map(str::to_owned));
        }
        Some(_) => names.push("authorization".into()),
    }
    names.into_iter().map(|name| (name.to_ascii_lowercase(), MASK.to_owned())).collect()
}

fn show(
    event: &Event,
    position: Position,
    attempt: AttemptRecord,
    request_headers: BTreeMap<String, String>,
) -> Attempt {
    let ordinal = u16::try_from(attempt.number).unwrap_or(u16::MAX);
    let mut response_headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &attempt.response_headers {
        let value = String::from_utf8_lossy(value);
        response_headers
            .entry(name.to_ascii_lowercase())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    Attempt {
        id: event.delivery_id(position).with(IdKind::Attempt, ordinal),
        run: attempt.run,
        number: attempt.number,
        started_at: attempt.started_at,
        duration: attempt.duration,
        status_code: attempt.status_code,
        error: attempt.error,
        remote_address: attempt.remote_address,
        request_headers,
        response_headers,
        response_body: String::from_utf8_lossy(&attempt.response_body).into_owned(),
        trigger: attempt.trigger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_endpoint_are_shown_by_name_alone() {
        let doc = br#"{"headers":{"X-Key":"s3cret"},"auth":{"type":"api_key","header":"X-Api"}}"#;
        let shown = configured_headers(doc);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["x-api", "x-key"]);
        assert!(shown.values().all(|value| value == MASK));
        assert_eq!(configured_headers(br#"{"auth":{"type":"bearer"}}"#).len(), 1);
        assert!(configured_headers(b"{}").is_empty());
    }
}
