//! Replays: which deliveries of an endpoint are to go out again, and how far a job has come with them.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::endpoint::MAX_EVENT_TYPES;
use crate::fault::ParseError;
use crate::id::{EndpointNo, Position, TenantNo};
use crate::json::{self, Detail, Object, utf8};
use crate::record::{Reason, Status};
use crate::subscription::Pattern;
use crate::time::Timestamp;

/// How many deliveries a second a replay may let go.
pub const PER_SECOND: RangeInclusive<u32> = 1..=10_000;
/// How many it does where nothing is said.
pub const DEFAULT_PER_SECOND: u32 = 100;

/// The verdicts of deliveries that a replay takes up again. Never [`Status::Pending`]: those are on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statuses(u8);

impl Statuses {
    /// What did not arrive.
    pub const MISSED: Self =
        Self(1 << Status::Failed as u8 | 1 << Status::Cancelled as u8 | 1 << Status::Skipped as u8);

    /// These, without pending.
    pub fn of(statuses: impl IntoIterator<Item = Status>) -> Self {
        let bits = statuses.into_iter().fold(0, |bits, status| bits | (1 << status as u8));
        Self(bits & !(1 << Status::Pending as u8))
    }

    /// Whether it is one of them.
    pub const fn contains(self, status: Status) -> bool {
        self.0 & (1 << status as u8) != 0
    }

    /// They, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Status> {
        Status::ALL.into_iter().filter(move |status| self.contains(*status))
    }
}

/// Which deliveries of an endpoint. All conditions hold at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayFilter {
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// With this sequence number or a later one.
    pub sequence_from: Option<u64>,
    /// With this sequence number or an earlier one.
    pub sequence_to: Option<u64>,
    /// With one of these verdicts.
    pub statuses: Statuses,
    /// Of a type that one of these covers; of any where there are none.
    pub types: Vec<Pattern>,
}

/// What somebody asks for.
///
/// ```
/// use postrider_core::replay::ReplayRequest;
/// let asked = ReplayRequest::parse(br#"{"since": "2025-03-15T00:00:00Z", "types": ["card.*"]}"#).unwrap();
/// assert_eq!((asked.per_second, asked.dry_run), (100, false));
/// assert!(ReplayRequest::parse(br#"{"types": ["card.*"]}"#).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayRequest {
    /// Which deliveries.
    pub filter: ReplayFilter,
    /// How many a second at most; within [`PER_SECOND`].
    pub per_second: u32,
    /// Only count them.
    pub dry_run: bool,
}

impl ReplayRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut object = Object::parse(utf8(body)?)?;
        let filter = ReplayFilter::read(&mut object);
        let per_second = object.optional("per_second", |v| json::integer(v, PER_SECOND));
        let dry_run = object.optional("dry_run", json::boolean).unwrap_or(false);
        if filter.since.is_none()
            && filter.sequence_from.is_none()
            && !object.has("since")
            && !object.has("sequence_from")
        {
            object.fault("since", "is missing: say from when on, or from which sequence_from on");
        }
        let per_second = per_second.unwrap_or(DEFAULT_PER_SECOND);
        object.end(Some(Self { filter, per_second, dry_run }))
    }
}

impl ReplayFilter {
    fn read(object: &mut Object<'_>) -> Self {
        let time = |v| Ok(Timestamp::parse(&json::string(v)?)?);
        let (since, until) = (object.optional("since", time), object.optional("until", time));
        let statuses = some(object, "statuses", Status::ALL.len(), status);
        let types = some(object, "types", MAX_EVENT_TYPES, |v| Ok(Pattern::parse(&json::string(v)?)?));
        let sequence_from = object.optional("sequence_from", sequence);
        let sequence_to = object.optional("sequence_to", sequence);
        if since.zip(until).is_some_and(|(since, until)| until <= since) {
            object.fault("until", "must lie after since");
        }
        if sequence_from.zip(sequence_to).is_some_and(|(from, to)| to < from) {
            object.fault("sequence_to", "must not lie before sequence_from");
        }
        let statuses = statuses.map_or(Statuses::MISSED, Statuses::of);
        Self { since, until, sequence_from, sequence_to, statuses, types: types.unwrap_or_default() }
    }

    /// Whether it covers an event type.
    pub fn takes_type(&self, event_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// What who may read it is shown: every field.
    pub fn public_view(&self) -> Map<String, Value> {
        let statuses: Vec<&str> = self.statuses.iter().map(Status::as_str).collect();
        let types: Vec<String> = self.types.iter().map(Pattern::to_string).collect();
        let fields = [
            ("since", json!(self.since.map(Timestamp::rfc3339))),
            ("until", json!(self.until.map(Timestamp::rfc3339))),
            ("sequence_from", json!(self.sequence_from)),
            ("sequence_to", json!(self.sequence_to)),
            ("statuses", json!(statuses)),
            ("types", if types.is_empty() { Value::Null } else { json!(types) }),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The document for the store, as JSON: the same as [`Self::public_view`].
    pub fn to_doc(&self) -> Bytes {
        Value::Object(self.public_view()).to_string().into()
    }

    /// What [`Self::to_doc`] wrote; times in it are whole milliseconds.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, ParseError> {
        let mut object = Object::parse(utf8(doc)?)?;
        let filter = Self::read(&mut object);
        object.end(Some(filter))
    }
}

/// Reads an array that must not be empty, if it is there.
fn some<'a, T>(
    object: &mut Object<'a>,
    name: &'static str,
    max: usize,
    read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
) -> Option<Vec<T>> {
    if object.has(name) { object.required_list(name, 1..=max, read) } else { object.list(name, max, read) }
}

fn status(value: &RawValue) -> Result<Status, Detail> {
    match Status::parse(&json::string(value)?) {
        Some(Status::Pending) => {
            Err("pending ones are on their way: wait for them, or retry one by itself".into())
        }
        Some(status) => Ok(status),
        None => Err("must be one of failed, cancelled, skipped, succeeded".into()),
    }
}

fn sequence(value: &RawValue) -> Result<u64, Detail> {
    let number = value.get().parse().ok().filter(|n| (1..=Position::MAX.0).contains(n));
    number.ok_or_else(|| Detail::from("must be a sequence number: a whole number from 1 on"))
}

/// What was found for a filter, as of one moment: a job goes through this, whatever happens meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplaySpan {
    /// Everything that is covered lies after this position ...
    pub after: Position,
    /// ... and not after this one.
    pub through: Position,
    /// Of deliveries between them those that had ended by then.
    pub as_of: Timestamp,
    /// How many are covered.
    pub matched: u64,
}

/// A job: what of it never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// Its public id.
    pub id: Box<str>,
    /// Whose it is.
    pub tenant: TenantNo,
    /// Of which endpoint.
    pub endpoint: EndpointNo,
    /// Which deliveries were asked for.
    pub filter: ReplayFilter,
    /// Where they lie.
    pub span: ReplaySpan,
    /// How many are let go a second, at most.
    pub per_second: u32,
    /// When it was made, as who asked for it is told.
    pub created_at: Timestamp,
}

/// How far a job has come. It is written in the commit that lets deliveries go, so that each goes once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayProgress {
    /// Everything up to this position is dealt with.
    pub cursor: Position,
    /// Deliveries that were let go.
    pub done: u64,
    /// Deliveries that were passed over, because somebody else was faster or they are not kept any more. Known at the
    /// end of a job: then `done + skipped + expired` is what was matched.
    pub skipped: u64,
    /// Deliveries that were passed over because nobody wants their events any more.
    pub expired: u64,
    /// Whether it goes on.
    pub state: ReplayState,
    /// When this was written.
    pub updated_at: Timestamp,
}

/// Whether a job goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayState {
    /// It does.
    Running,
    /// Everything is dealt with.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It cannot go on: [`Reason::EndpointDisabled`] or [`Reason::EndpointDeleted`].
    Failed(Reason),
}

impl ReplayState {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it cannot go on.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Failed(reason) => Some(reason),
            Self::Running | Self::Done | Self::Cancelled => None,
        }
    }
}

impl ReplayProgress {
    /// Of a job that begins.
    pub const fn begun(span: ReplaySpan, now: Timestamp) -> Self {
        Self {
            cursor: span.after,
            done: 0,
            skipped: 0,
            expired: 0,
            state: ReplayState::Running,
            updated_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(body: &str) -> Vec<String> {
        let error = ReplayRequest::parse(body.as_bytes()).unwrap_err();
        error.faults().iter().map(|fault| fault.pointer.clone()).collect()
    }

    #[test]
    fn a_range_is_needed_and_what_did_not_arrive_is_the_default() {
        let asked =
            ReplayRequest::parse(br#"{"sequence_from": 7, "until": "2025-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(asked.filter.statuses, Statuses::MISSED);
        let names: Vec<&str> = asked.filter.statuses.iter().map(Status::as_str).collect();
        assert_eq!(names, ["failed", "cancelled", "skipped"]);
        assert!(asked.filter.takes_type("anything"));
        assert_eq!(pointers("{}"), ["/since"]);
        assert_eq!(pointers(r#"{"until": "2025-01-01T00:00:00Z", "sequence_to": 5}"#), ["/since"]);
    }

    #[test]
    fn abuse_a02_a14_all_faults_of_a_request_come_at_once() {
        let body = r#"{"since":"yesterday","until":"2025-01-01T00:00:00Z","statuses":["pending","lost"],"types":["card*"],
            "sequence_from":0,"sequence_to":1.5,"per_second":10001,"dry_run":"yes","speed":1}"#;
        assert_eq!(
            pointers(body),
            [
                "/since",
                "/statuses/0",
                "/statuses/1",
                "/types/0",
                "/sequence_from",
                "/sequence_to",
                "/per_second",
                "/dry_run",
                "/speed"
            ]
        );
        let body = r#"{"since":"2025-01-01T00:00:00Z","until":"2025-01-01T00:00:00Z","sequence_from":2,"sequence_to":1,
            "statuses":[],"types":[],"per_second":0}"#;
        assert_eq!(pointers(body), ["/statuses", "/types", "/until", "/sequence_to", "/per_second"]);
    }

    #[test]
    fn what_is_stored_of_a_filter_is_read_back() {
        for body in [
            r#"{"since":"2025-01-01T00:00:00.125Z"}"#,
            r#"{"since":"2025-01-01T00:00:00Z","until":"2025-01-02T00:00:00Z","statuses":["succeeded","failed"],"types":["card.*","a"]}"#,
            r#"{"sequence_from":1,"sequence_to":17592186044415}"#,
        ] {
            let filter = ReplayRequest::parse(body.as_bytes()).unwrap().filter;
            assert_eq!(ReplayFilter::from_stored(&filter.to_doc()).unwrap(), filter, "{body}");
        }
        assert!(ReplayFilter::from_stored(b"{\"colour\":1}").is_err());
    }
}
