//! Publishing: one event, an array, or lines of JSON. The one call that must be cheap.

use std::io::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use postrider_core::event::{self, NewEvent};
use postrider_core::fault::ParseError;
use postrider_core::publication::{Publication, Receipt, Refusal};
use postrider_core::record::KeyHash;
use postrider_core::token::Scope;

use super::json_text;
use crate::app::App;
use crate::auth::Caller;
use crate::body::{self, MediaType};
use crate::problem::{Kind, Problem, ProblemDocument};
use crate::query::Query;
use crate::schema;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 256;
/// Room for the answer of one item, in bytes.
const ANSWER_BYTES: usize = 64;

/// Publish one event, an array of events, or lines of JSON with one event each.
///
/// 202 means that the event and all its deliveries are durable. An array and lines are answered item by item, in order,
/// with errors in place; a single event with its own receipt. A batch of which nothing was accepted, for want of room or
/// because a quota of the tenant is used up, is answered 503 or 429 like a single event.
#[utoipa::path(post, path = "/v1/events", tag = "events", operation_id = "publishEvents",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 256 visible ASCII characters; on a batch it stands for `key#index`. The same key with the \
                       same event leads to the first answer for 24 hours at least, with another event to 409.")),
    request_body(content(
        (schema::EventOrBatch = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
    (status = 202, body = schema::PublishAnswer),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn publish(
    State(app): State<App>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Problem> {
    caller.may(Scope::EventsWrite)?;
    Query::none(request.uri())?;
    let media_type = MediaType::of(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let limits = app.engine().config();
    let (event_limit, batch_limit) = (limits.max_event_bytes, limits.max_batch_bytes);
    let body = match media_type {
        MediaType::NdJson => body::collect(request, batch_limit).await?,
        MediaType::Json => {
            let limit = |first: &[u8]| if is_array(first) { batch_limit } else { event_limit };
            body::collect_within(request, limit).await?
        }
        MediaType::MergePatch => {
            return Err(Problem::new(
                Kind::UnsupportedMedia,
                "events are application/json or application/x-ndjson",
            ));
        }
    };
    match media_type {
        MediaType::Json if is_array(&body) => {
            let items = event::parse_batch(&body, event_limit)?;
            publish_batch(&app, &caller, items, key.as_deref()).await
        }
        MediaType::NdJson => {
            let items = event::parse_ndjson(&body, event_limit)?;
            publish_batch(&app, &caller, items, key.as_deref()).await
        }
        _ => publish_one(&app, &caller, &NewEvent::parse(&body, event_limit)?, key.as_deref()).await,
    }
}

async fn publish_one(
    app: &App,
    caller: &Caller,
    event: &NewEvent,
    key: Option<&str>,
) -> Result<Response, Problem> {
    let publication = publication(app, caller, event, key)?;
    let answer = app.engine().publish(vec![publication]).await.pop();
    let receipt = answer.unwrap_or(Err(Refusal::Overloaded("the engine stopped")))?;
    let mut out = Vec::with_capacity(ANSWER_BYTES);
    write_receipt(&mut out, &receipt);
    Ok(json_text(StatusCode::ACCEPTED, out))
}

async fn publish_batch(
    app: &App,
    caller: &Caller,
    items: Vec<Result<NewEvent, ParseError>>,
    key: Option<&str>,
) -> Result<Response, Problem> {
    let mut publications = Vec::with_capacity(items.len());
    // For each item what is wrong with it, where it gets no further.
    let mut faults = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let key = key.map(|key| format!("{key}#{index}"));
        let made =
            item.map_err(Problem::from).and_then(|event| publication(app, caller, &event, key.as_deref()));
        faults.push(match made {
            Ok(publication) => {
                publications.push(publication);
                None
            }
            Err(problem) => Some(problem),
        });
    }
    let answers = if publications.is_empty() { Vec::new() } else { app.engine().publish(publications).await };
    let mut answers = answers.into_iter();
    let mut next = || {
        let answer = answers.next().unwrap_or(Err(Refusal::Overloaded("the engine stopped")));
        answer.map_err(Problem::from)
    };
    let answers: Vec<_> = faults.into_iter().map(|fault| fault.map_or_else(&mut next, Err)).collect();
    if let Some(overload) = overload(&answers) {
        return Err(overload.clone());
    }
    let mut out = Vec::with_capacity(answers.len() * ANSWER_BYTES + ANSWER_BYTES);
    out.extend_from_slice(br#"{"data":["#);
    for (index, answer) in answers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match answer {
            Ok(receipt) => write_receipt(&mut out, receipt),
            Err(problem) => write_error(&mut out, problem),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(json_text(StatusCode::ACCEPTED, out))
}

/// What turned a whole batch away for a while, an overload or a quota: nothing of it was accepted, so its publisher should
/// come again with all of it, as with a single event. A batch of which something was accepted has such answers in place.
fn overload(answers: &[Result<Receipt, Problem>]) -> Option<&Problem> {
    if answers.iter().any(Result::is_ok) {
        return None;
    }
    answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .find(|problem| matches!(problem.kind(), Kind::Overloaded | Kind::TooMany))
}

/// An event ready to be accepted, if it is within the caller's reach.
///
/// # Errors
/// The same 404 for a tenant that does not exist and for somebody else's.
fn publication(
    app: &App,
    caller: &Caller,
    event: &NewEvent,
    key: Option<&str>,
) -> Result<Publication, Problem> {
    let id = event.tenant.as_str();
    let tenant = if caller.reaches(id) { app.engine().tenant_no(id) } else { None };
    let tenant = tenant.ok_or_else(|| Problem::not_found("the tenant"))?;
    Ok(Publication {
        tenant,
        event_type: event.event_type.clone(),
        own_id: event.own_id.clone(),
        key: event.key.clone(),
        subject: None,
        expires_at: None,
        // Copies: a slice would keep the whole body, and the buffer it was read into, as long as the event.
        attributes: Bytes::copy_from_slice(&event.attributes),
        occurred_at: event.occurred_at,
        data: Bytes::copy_from_slice(&event.data),
        idempotency: key.map(|key| KeyHash::idempotency(tenant, key)),
        body: (key.is_some() || event.own_id.is_some()).then(|| fingerprint(event)),
    })
}

/// What makes two events with one key the same: every field, whatever stands around them in the body, so that a batch
/// can be repeated in another layout, or item by item.
fn fingerprint(event: &NewEvent) -> KeyHash {
    let occurred_at = event.occurred_at.map(|at| at.as_micros().to_be_bytes());
    let parts: [&[u8]; 7] = [
        event.tenant.as_str().as_bytes(),
        event.event_type.as_bytes(),
        event.own_id.as_deref().unwrap_or_default().as_bytes(),
        event.key.as_deref().unwrap_or_default().as_bytes(),
        occurred_at.as_ref().map_or(&[], |at| &at[..]),
        &event.attributes,
        &event.data,
    ];
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    KeyHash::body(&bytes)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let fits =
        (1..=MAX_IDEMPOTENCY_KEY).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(text) if fits && given.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(Problem::fault(
            "",
            "comes with an Idempotency-Key header that is not one of 1 to 256 visible ASCII characters",
        )),
    }
}

fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Ids are made of letters, digits, `_`, `:` and `-`: nothing needs escaping.
fn write_receipt(out: &mut Vec<u8>, receipt: &Receipt) {
    // Writing to a vector cannot fail.
    let _ = write!(out, r#"{{"id":"{}","deliveries":{}}}"#, receipt.id, receipt.deliveries);
}

fn write_error(out: &mut Vec<u8>, problem: &Problem) {
    let document = serde_json::to_vec(&problem.document(None)).unwrap_or_default();
    out.extend_from_slice(br#"{"error":"#);
    out.extend_from_slice(&document);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_in_another_layout_has_the_same_fingerprint() {
        let of = |text: &'static str| {
            fingerprint(&NewEvent::parse(&Bytes::from_static(text.as_bytes()), 1 << 20).unwrap())
        };
        let one = of(r#"{"tenant":"a","type":"t","data":{"n":1.0},"key":"k"}"#);
        assert_eq!(one, of(r#" { "key":"k", "data":{"n":1.0}, "type" : "t", "tenant":"a" } "#));
        for other in [
            r#"{"tenant":"a","type":"t","data":{"n":1.00},"key":"k"}"#,
            r#"{"tenant":"a","type":"t","data":{"n":1.0}}"#,
            r#"{"tenant":"a","type":"tk","data":{"n":1.0}}"#,
            r#"{"tenant":"b","type":"t","data":{"n":1.0},"key":"k"}"#,
            r#"{"tenant":"a","type":"t","data":{"n":1.0},"id":"k"}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
    }

    #[test]
    fn a_batch_of_which_nothing_was_accepted_for_want_of_room_is_an_overload() {
        let full = || Err(Problem::from(Refusal::Overloaded("full")));
        let wait = std::time::Duration::from_secs(5);
        let over =
            || Err(Problem::from(Refusal::OverQuota { quota: "pending", allowed: 1, retry_after: wait }));
        let bad = || Err(Problem::fault("/type", "is missing"));
        let taken = || Ok(Receipt { id: "evt_1".into(), deliveries: 1 });
        let whole = |answers: &[_]| overload(answers).is_some();
        assert!(whole(&[full()]) && whole(&[bad(), full()]));
        assert!(!whole(&[bad()]) && !whole(&[full(), taken()]) && !whole(&[taken()]) && !whole(&[]));
        for (answer, status, retry_after) in [(full(), 503, "1"), (over(), 429, "5")] {
            let response = overload(&[bad(), answer]).unwrap().render("r");
            assert_eq!(
                (response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()),
                (status, retry_after)
            );
        }
        assert!(!whole(&[over(), taken()]));
    }

    #[test]
    fn abuse_a12_odd_idempotency_keys_are_refused() {
        let with = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", http::HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&headers).map_err(|problem| problem.kind())
        };
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[b"order-7"]), Ok(Some("order-7".into())));
        for bad in [&[&b""[..]][..], &[b"a b"], &[b"\xff"], &[&[b'x'; 257]], &[b"a", b"b"]] {
            assert_eq!(with(bad), Err(Kind::Invalid), "{bad:?}");
        }
    }
}
