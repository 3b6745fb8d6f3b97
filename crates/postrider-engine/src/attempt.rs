//! One attempt: render, sign, send, and say what came of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use postrider_core::node::{Attempt, Directive, Finished, Input};
use postrider_core::profile::DeliveryRules;
use postrider_core::record::{AttemptRecord, ErrorKind, Event, Trigger};
use postrider_core::{retry, wire};
use postrider_dispatch::{Failure, FailureKind, MAX_KEPT_BODY, Report, Request, Response};

use crate::card_guard::{kept_body, kept_headers};
use crate::clock;
use crate::driver::{Driver, MustFinish};
use crate::oauth;
use crate::prepared::{PreparedEndpoint, Unprepared};

/// What is to be sent.
pub(crate) struct What<'a> {
    pub(crate) event: &'a Event,
    /// `None` for a test.
    pub(crate) sequence: Option<u64>,
    pub(crate) number: u32,
    pub(crate) run: u16,
    pub(crate) trigger: Trigger,
}

/// What came of it.
pub(crate) struct Made {
    pub(crate) record: AttemptRecord,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) directive: Option<Directive>,
}

/// What came of a request, and of what it needed.
pub(crate) struct Sent {
    pub(crate) result: Result<Response, Unanswered>,
    /// What else is to be said of an answer that is no acknowledgement.
    pub(crate) further: Option<String>,
    pub(crate) duration: Duration,
    pub(crate) remote_address: Option<SocketAddr>,
}

/// Why there is no answer.
#[derive(Clone)]
pub(crate) struct Unanswered {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: String,
    /// How long whoever gave none wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl From<Report> for Sent {
    fn from(report: Report) -> Self {
        let Report { result, duration, remote_address } = report;
        Self { result: result.map_err(Unanswered::from), further: None, duration, remote_address }
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        let Failure { kind, detail, operator_detail, .. } = failure;
        if let Some(operator_detail) = operator_detail {
            tracing::debug!(kind = kind.as_str(), operator_detail, "an attempt failed");
        }
        Self { kind: error_kind(kind), detail, retry_after: None }
    }
}

/// Makes attempts one after the other: the first, and then each that the end of the one before sets free. So a busy
/// endpoint's deliveries follow each other without a new task for each.
pub(crate) async fn run(driver: Driver, attempt: Attempt) {
    let _must_finish = MustFinish(&driver.0.health);
    let mut next = Some(attempt);
    while let Some(attempt) = next {
        let finished = finish(&driver, attempt).await;
        let mut effects = driver.handle(Input::Finished(Box::new(finished)));
        next = effects.attempts.pop();
        driver.carry_out(effects);
    }
}

async fn finish(driver: &Driver, attempt: Attempt) -> Finished {
    let Attempt { delivery, event, number, run, trigger, endpoint_version } = attempt;
    let made = match driver.0.directory.prepared_as(delivery.endpoint, endpoint_version) {
        Ok(prepared) => {
            let what = What { event: &event, sequence: Some(delivery.sequence), number, run, trigger };
            make(driver, &prepared, what).await
        }
        Err(unprepared) => not_made(&unprepared, number, run, trigger),
    };
    let Made { record, retry_after, directive } = made;
    Finished { delivery, record, retry_after, directive }
}

/// Sends one request and reads its answer.
pub(crate) async fn make(driver: &Driver, prepared: &PreparedEndpoint, what: What<'_>) -> Made {
    let started_at = driver.0.clock.wall();
    let (headers, body) = prepared.render(what.event, what.sequence, what.number, started_at);
    let request = Request {
        target: prepared.target.clone(),
        method: Method::POST,
        headers,
        body,
        timeout: prepared.timeout,
        keep_body: MAX_KEPT_BODY,
    };
    let sent = match &prepared.client {
        Some(client) => oauth::send(driver, client, request).await,
        None => driver.0.dispatcher.send(request).await.into(),
    };
    let mut record = AttemptRecord {
        number: what.number,
        run: what.run,
        trigger: what.trigger,
        started_at,
        duration: sent.duration,
        status_code: None,
        error: None,
        remote_address: sent.remote_address.map(|address| address.ip()),
        endpoint_version: prepared.version,
        signed_at: started_at.as_secs(),
        response_headers: Vec::new(),
        response_body: Bytes::new(),
    };
    let (retry_after, directive) = judge(&mut record, sent, prepared.profile().delivery());
    Made { record, retry_after, directive }
}

/// Notes what the answer says.
fn judge(
    record: &mut AttemptRecord,
    sent: Sent,
    rules: &DeliveryRules,
) -> (Option<Duration>, Option<Directive>) {
    let response = match sent.result {
        Ok(response) => response,
        Err(Unanswered { kind, detail, retry_after }) => {
            record.error = Some((kind, detail.into()));
            return (retry_after, None);
        }
    };
    record.status_code = Some(response.status);
    let acknowledged = rules.acknowledged.by(response.status, &response.body);
    if !acknowledged {
        let further = sent.further.map_or_else(String::new, |further| format!(", {further}"));
        let short = if (200..300).contains(&response.status) {
            ", which its profile does not take for an acknowledgement"
        } else {
            ""
        };
        let detail = format!("the receiver answered {}{short}{further}", response.status);
        record.error = Some((ErrorKind::Status, detail.into()));
    }
    if !record.is_first_try_success() {
        record.response_headers = kept_headers(&response.headers);
        record.response_body = kept_body(response.body, response.body_truncated);
    }
    let header = |name: &str| response.headers.get(name).map(http::HeaderValue::as_bytes);
    let retry_after =
        header("retry-after").and_then(|value| retry::parse_retry_after(value, record.started_at));
    let directive =
        header(wire::WEBHOOK_DELIVERY).filter(|_| rules.directives).and_then(retry::parse_directive);
    (retry_after.filter(|_| !acknowledged), directive)
}

/// The attempt that was not made because the endpoint cannot be made ready for it.
fn not_made(unprepared: &Unprepared, number: u32, run: u16, trigger: Trigger) -> Made {
    let started_at = clock::wall();
    let record = AttemptRecord {
        number,
        run,
        trigger,
        started_at,
        duration: Duration::ZERO,
        status_code: None,
        error: Some((ErrorKind::Guard, unprepared.shown().into())),
        remote_address: None,
        endpoint_version: 0,
        signed_at: started_at.as_secs(),
        response_headers: Vec::new(),
        response_body: Bytes::new(),
    };
    Made { record, retry_after: None, directive: None }
}

fn error_kind(kind: FailureKind) -> ErrorKind {
    match kind {
        FailureKind::Dns => ErrorKind::Dns,
        FailureKind::Connect => ErrorKind::Connect,
        FailureKind::Tls => ErrorKind::Tls,
        FailureKind::Timeout => ErrorKind::Timeout,
        FailureKind::Reset => ErrorKind::Reset,
        FailureKind::Guard => ErrorKind::Guard,
        FailureKind::Status => ErrorKind::Status,
        FailureKind::Local => ErrorKind::Local,
    }
}
