//! Publishing: one event, an array, or lines of JSON. The one call that must be cheap.

use std::io::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use postrider_core::event::{self, NewEvent};
use postrider_core::fault::ParseError;
use postrider_core::id::TenantId;
use postrider_core::publication::{Receipt, Refusal};
use postrider_core::token::Scope;
use postrider_engine::Slice;

use super::json_text;
use crate::app::App;
use crate::auth::Caller;
use crate::body::{self, MediaType};
use crate::openapi::Overloaded;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::schema;

mod prepare;

use prepare::{Prepared, Subjects, prepare};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 256;
/// Room for the answer of one item, in bytes.
const ANSWER_BYTES: usize = 64;

/// What is answered to one event.
enum Answer {
    One(Receipt),
    /// Of a subject's event, tenant by tenant.
    Shared(Vec<(TenantId, Receipt)>),
}

/// Publish one event, an array of events, or lines of JSON with one event each.
///
/// 202 means that the event and all its deliveries are durable. An array and lines are answered item by item, in order,
/// with errors in place; a single event with its own receipt, one that names only its subject with one for each tenant
/// of it. Data must fit the schema of its event type, if that is registered and has one. A batch of which nothing was
/// accepted, for want of room or because a quota of the tenant is used up, is answered 503 or 429 like a single event.
#[utoipa::path(post, path = "/v1/events", tag = "events", operation_id = "publishEvents",
    security(("token" = ["events-write"])),
    params(schema::IdempotencyKey),
    request_body(description = "One event, an array of them, or lines of JSON with one event each", content(
        (schema::EventOrBatch = "application/json", examples(
            ("one" = (summary = "One event", value = json!({
                "tenant": "acme", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
                "attributes": {"country": "SE"}, "data": {"amount": 42.50, "currency": "USD"}
            }))),
            ("batch" = (summary = "A batch", value = json!([
                {"tenant": "acme", "type": "card.frozen", "id": "freeze-17", "data": {"card": "f9e8d7c6"}},
                {"tenant": "acme", "type": "card.unfrozen", "id": "unfreeze-18", "data": {"card": "f9e8d7c6"}}
            ]))),
        )),
        (String = "application/x-ndjson", example = json!(
            "{\"tenant\":\"acme\",\"type\":\"card.frozen\",\"data\":{}}\n{\"tenant\":\"acme\",\"type\":\"card.unfrozen\",\"data\":{}}\n"
        )),
    )),
    responses(
    (status = 202, description = "The event and everything owed for it are durable. Of a batch: each item was accepted, or has its \
        error in its place", body = schema::PublishAnswer),
    (status = 404, description = "The tenant does not exist, or is not within the token's reach."),
    (status = 409, description = "The idempotency key, or the event's own id, belongs to another event."),
    (status = 413, description = "The event, or the batch, is too large. The rest of it is not read, and the connection is closed."),
    (status = 429, description = "A quota of the tenant is used up; or too many wrong tokens come from this address."),
    Overloaded,
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
    let subjects = Subjects::of(app, std::iter::once(event)).await?;
    let Prepared { publications, shared } = prepare(app, caller, &subjects, event, key, None)?;
    let mut answers = app.engine().publish(publications).await.into_iter();
    let mut out = Vec::with_capacity(ANSWER_BYTES);
    write_answer(&mut out, &gather(shared, &mut answers)?);
    Ok(json_text(StatusCode::ACCEPTED, out))
}

async fn publish_batch(
    app: &App,
    caller: &Caller,
    items: Vec<Result<NewEvent, ParseError>>,
    key: Option<&str>,
) -> Result<Response, Problem> {
    let subjects = Subjects::of(app, items.iter().flatten()).await?;
    let mut publications = Vec::with_capacity(items.len());
    // Schemas may take a while.
    let mut slice = Slice::begin();
    // For each item who gets it, or what is wrong with it.
    let mut prepared = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let key = key.map(|key| format!("{key}#{index}"));
        let made = item
            .map_err(Problem::from)
            .and_then(|event| prepare(app, caller, &subjects, &event, key.as_deref(), Some(index)));
        prepared.push(made.map(|made| {
            publications.extend(made.publications);
            made.shared
        }));
        slice.pause().await;
    }
    let answers = if publications.is_empty() { Vec::new() } else { app.engine().publish(publications).await };
    let mut answers = answers.into_iter();
    let gathered = |(index, shared): (usize, Result<_, Problem>)| {
        gather(shared?, &mut answers).map_err(|problem| problem.under(&format!("/{index}")))
    };
    let answers: Vec<_> = prepared.into_iter().enumerate().map(gathered).collect();
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
            Ok(answer) => write_answer(&mut out, answer),
            Err(problem) => write_error(&mut out, problem),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(json_text(StatusCode::ACCEPTED, out))
}

/// The answer to one event: the next of the answers to publications, or as many of them as tenants share it.
///
/// # Errors
/// What stands in the way of any of them; what is for a while before what stays, since then the same event again, with
/// its key, goes on where this one left off.
fn gather(
    shared: Option<Vec<TenantId>>,
    answers: &mut impl Iterator<Item = Result<Receipt, Refusal>>,
) -> Result<Answer, Problem> {
    let mut next = || answers.next().unwrap_or(Err(Refusal::Overloaded("the engine stopped")));
    let Some(tenants) = shared else { return Ok(Answer::One(next()?)) };
    let mut receipts = Vec::with_capacity(tenants.len());
    let mut refusals = Vec::new();
    for tenant in tenants {
        match next() {
            Ok(receipt) => receipts.push((tenant, receipt)),
            Err(refusal) => refusals.push((tenant, refusal)),
        }
    }
    let lasts = |refusal: &Refusal| match refusal {
        Refusal::Overloaded(_) => 0,
        Refusal::OverQuota { .. } => 1,
        Refusal::Conflict(_) | Refusal::Unfit(_) | Refusal::CardData(_) => 2,
    };
    match refusals.into_iter().min_by_key(|(_, refusal)| lasts(refusal)) {
        Some((tenant, refusal)) => Err(Problem::from(refusal).explained(&partly(&tenant, &receipts))),
        None => Ok(Answer::Shared(receipts)),
    }
}

/// What is said of a subject's event that not all of its tenants got.
fn partly(refused: &TenantId, receipts: &[(TenantId, Receipt)]) -> String {
    if receipts.is_empty() {
        return format!("refused for {refused}, stored for no tenant of the subject");
    }
    let stored: Vec<&str> = receipts.iter().map(|(tenant, _)| tenant.as_str()).collect();
    format!(
        "refused for {refused}, stored for {}; the same event with the same Idempotency-Key or id completes it, without one it \
         is stored again",
        stored.join(", ")
    )
}

/// What turned a whole batch away for a while, an overload or a quota: nothing of it was accepted, so its publisher should
/// come again with all of it, as with a single event. A batch of which something was accepted has such answers in place.
fn overload(answers: &[Result<Answer, Problem>]) -> Option<&Problem> {
    if answers.iter().any(Result::is_ok) {
        return None;
    }
    answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .find(|problem| matches!(problem.kind(), Kind::Overloaded | Kind::TooMany))
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
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

/// Ids are made of letters, digits, `.`, `_`, `:` and `-`: nothing needs escaping.
fn write_answer(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::One(receipt) => write_receipt(out, "", receipt),
        Answer::Shared(receipts) => {
            out.extend_from_slice(br#"{"data":["#);
            for (index, (tenant, receipt)) in receipts.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_receipt(out, &format!(r#""tenant":"{tenant}","#), receipt);
            }
            out.extend_from_slice(b"]}");
        }
    }
}

fn write_receipt(out: &mut Vec<u8>, owner: &str, receipt: &Receipt) {
    // Writing to a vector cannot fail.
    let _ = write!(out, r#"{{{owner}"id":"{}","deliveries":{}}}"#, receipt.id, receipt.deliveries);
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
    fn a_batch_of_which_nothing_was_accepted_for_want_of_room_is_an_overload() {
        let full = || Err(Problem::from(Refusal::Overloaded("full")));
        let wait = std::time::Duration::from_secs(5);
        let over =
            || Err(Problem::from(Refusal::OverQuota { quota: "pending", allowed: 1, retry_after: wait }));
        let bad = || Err(Problem::fault("/type", "is missing"));
        let taken = || Ok(Answer::One(Receipt { id: "evt_1".into(), deliveries: 1 }));
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
    fn an_event_of_a_subject_is_answered_as_a_whole() {
        let taken = |id: &str| Ok(Receipt { id: id.into(), deliveries: 2 });
        let (full, conflict) = (|| Err(Refusal::Overloaded("full")), || Err(Refusal::Conflict("other")));
        let wait = std::time::Duration::from_secs(5);
        let over = || Err(Refusal::OverQuota { quota: "pending", allowed: 1, retry_after: wait });
        let tenants = || Some(vec!["a".parse().unwrap(), "b".parse().unwrap()]);
        let gathered = |answers: Vec<Result<Receipt, Refusal>>| {
            gather(tenants(), &mut answers.into_iter()).map_err(|problem| problem.kind())
        };
        let mut out = Vec::new();
        write_answer(&mut out, &gathered(vec![taken("x"), taken("y"), taken("of the next")]).unwrap());
        let expected =
            r#"{"data":[{"tenant":"a","id":"x","deliveries":2},{"tenant":"b","id":"y","deliveries":2}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        for (answers, kind) in [
            (vec![taken("x"), full()], Kind::Overloaded),
            (vec![full(), conflict()], Kind::Overloaded),
            (vec![conflict(), full()], Kind::Overloaded),
            (vec![over(), full()], Kind::Overloaded),
            (vec![conflict(), over()], Kind::TooMany),
            (vec![conflict(), taken("x")], Kind::Conflict),
            (vec![taken("x")], Kind::Overloaded),
        ] {
            assert_eq!(gathered(answers).err(), Some(kind));
        }
        // All that belongs to it is taken, whatever became of it.
        let mut answers = vec![full(), full(), taken("of the next")].into_iter();
        assert!(gather(tenants(), &mut answers).is_err());
        assert_eq!(answers.count(), 1);
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
