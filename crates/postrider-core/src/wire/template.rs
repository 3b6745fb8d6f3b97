//! Texts with values of a delivery in them: `{event.id}.{timestamp:unix_s}`, read once, written for each attempt.

use std::fmt::{self, Write as _};

use super::Message;
use crate::json::Detail;
use crate::time::Timestamp;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 512;
/// What a place that is filled in may be called.
const NAMES: &str = "event.id, event.type, event.key, event.subject, event.occurred_at, event.accepted_at, sequence, attempt, \
                     timestamp, endpoint.id, tenant.id";
/// How times may be written.
const FORMATS: &str = "rfc3339, rfc3339_s, unix_s, unix_ms";

/// Something known of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// The event's id, the same on every attempt.
    EventId,
    /// The event's type.
    EventType,
    /// The event's ordering key.
    EventKey,
    /// What the event is about.
    EventSubject,
    /// When it happened.
    OccurredAt(TimeFormat),
    /// When it was accepted.
    AcceptedAt(TimeFormat),
    /// The endpoint's number for the delivery.
    Sequence,
    /// The number of the attempt.
    Attempt,
    /// The time of the attempt.
    Timestamp(TimeFormat),
    /// The endpoint's id.
    EndpointId,
    /// The tenant's id.
    TenantId,
}

/// How a time is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum TimeFormat {
    /// RFC 3339 in UTC, with milliseconds.
    #[default]
    Rfc3339,
    /// RFC 3339 in UTC, whole seconds.
    Rfc3339Seconds,
    /// Whole seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
}

impl TimeFormat {
    /// Whether JSON writes it as a number.
    pub(crate) const fn is_number(self) -> bool {
        matches!(self, Self::UnixSeconds | Self::UnixMillis)
    }

    /// Reads what was written.
    pub(crate) fn read(self, text: &str) -> Option<Timestamp> {
        let number = |per_s: i64| {
            let number: i64 = text.parse().ok()?;
            number.checked_mul(1_000_000 / per_s).map(Timestamp::from_micros)
        };
        match self {
            Self::Rfc3339 | Self::Rfc3339Seconds => Timestamp::parse(text).ok(),
            Self::UnixSeconds => number(1),
            Self::UnixMillis => number(1_000),
        }
    }

    pub(crate) fn write(self, at: Timestamp, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Rfc3339 => write!(out, "{at}"),
            Self::Rfc3339Seconds => write!(out, "{}", Seconds(at)),
            Self::UnixSeconds => write!(out, "{}", at.as_secs()),
            Self::UnixMillis => write!(out, "{}", at.as_millis()),
        };
    }

    pub(crate) fn write_to(self, at: Timestamp, out: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::Rfc3339 => write!(out, "{at}"),
            Self::Rfc3339Seconds => write!(out, "{}", Seconds(at)),
            Self::UnixSeconds => write!(out, "{}", at.as_secs()),
            Self::UnixMillis => write!(out, "{}", at.as_millis()),
        };
    }
}

/// A time without its milliseconds.
struct Seconds(Timestamp);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `2025-11-13T02:13:20` of `2025-11-13T02:13:20.123Z`.
        let text = self.0.rfc3339();
        write!(f, "{}Z", text.split('.').next().unwrap_or_default())
    }
}

impl Value {
    /// Reads `event.id` or `timestamp:unix_s`.
    pub(crate) fn parse(text: &str) -> Result<Self, Detail> {
        let (name, format) = text.split_once(':').map_or((text, None), |(name, format)| (name, Some(format)));
        let time = || match format {
            None | Some("rfc3339") => Ok(TimeFormat::Rfc3339),
            Some("rfc3339_s") => Ok(TimeFormat::Rfc3339Seconds),
            Some("unix_s") => Ok(TimeFormat::UnixSeconds),
            Some("unix_ms") => Ok(TimeFormat::UnixMillis),
            Some(_) => Err(Detail::from(format!("names a form of time that is none; there are {FORMATS}"))),
        };
        let value = match name {
            "event.id" => Self::EventId,
            "event.type" => Self::EventType,
            "event.key" => Self::EventKey,
            "event.subject" => Self::EventSubject,
            "event.occurred_at" => Self::OccurredAt(time()?),
            "event.accepted_at" => Self::AcceptedAt(time()?),
            "sequence" => Self::Sequence,
            "attempt" => Self::Attempt,
            "timestamp" => Self::Timestamp(time()?),
            "endpoint.id" => Self::EndpointId,
            "tenant.id" => Self::TenantId,
            _ => return Err(format!("names a value that is none; there are {NAMES}").into()),
        };
        match value {
            Self::OccurredAt(_) | Self::AcceptedAt(_) | Self::Timestamp(_) => Ok(value),
            _ if format.is_some() => Err("gives a form to what is no time".into()),
            _ => Ok(value),
        }
    }

    /// Whether it differs from attempt to attempt.
    pub(crate) const fn varies(self) -> bool {
        matches!(self, Self::Attempt | Self::Timestamp(_))
    }

    /// Whether a delivery may be without it.
    pub(crate) const fn may_lack(self) -> bool {
        matches!(self, Self::EventKey | Self::EventSubject | Self::Sequence)
    }

    /// Its text, if there is one; numbers and times are written to `room`.
    pub(crate) fn text<'a>(self, message: &Message<'a>, room: &'a mut String) -> Option<&'a str> {
        match self {
            Self::EventId => return Some(message.id),
            Self::EventType => return Some(&message.event.event_type),
            Self::EventKey => return message.event.key.as_deref(),
            Self::EventSubject => return message.event.subject.as_deref(),
            Self::EndpointId => return Some(message.endpoint),
            Self::TenantId => return Some(message.tenant),
            Self::OccurredAt(format) => format.write(message.event.occurred_at, room),
            Self::AcceptedAt(format) => format.write(message.event.accepted_at, room),
            Self::Timestamp(format) => format.write(message.at, room),
            Self::Sequence => {
                let _ = write!(room, "{}", message.sequence?);
            }
            Self::Attempt => {
                let _ = write!(room, "{}", message.attempt);
            }
        }
        Some(room)
    }

    /// Appends it to a text in which only visible ASCII may stand. What a publisher or an owner chose freely is written as in
    /// a URL (RFC 3986, section 2.1) where it holds anything else. `false` where there is none.
    fn write(self, message: &Message<'_>, out: &mut String) -> bool {
        let mut room = String::new();
        match self {
            Self::OccurredAt(format) => format.write(message.event.occurred_at, out),
            Self::AcceptedAt(format) => format.write(message.event.accepted_at, out),
            Self::Timestamp(format) => format.write(message.at, out),
            Self::Sequence | Self::Attempt => {
                let number =
                    if self == Self::Sequence { message.sequence } else { Some(message.attempt.into()) };
                let Some(number) = number else { return false };
                let _ = write!(out, "{number}");
            }
            _ => match self.text(message, &mut room) {
                Some(text) => visible_into(out, text),
                None => return false,
            },
        }
        true
    }
}

/// Appends a text, with everything that a header could not carry, and `%`, written as `%` and two digits.
pub(super) fn visible_into(out: &mut String, text: &str) {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'%';
    if text.bytes().all(plain) {
        out.push_str(text);
        return;
    }
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A part of a template. `S` is what else may stand in it: nothing, a signature, the body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part<S> {
    /// As it stands.
    Text(Box<str>),
    /// A value of the delivery.
    Value(Value),
    /// Something of its own.
    Special(S),
}

/// Reads a template; `special` says what names of its own mean.
pub(crate) fn parse<S>(
    text: &str,
    special: impl Fn(&str) -> Option<Result<S, Detail>>,
) -> Result<Vec<Part<S>>, Detail> {
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("must not be longer than {MAX_TEMPLATE_BYTES} bytes").into());
    }
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let doubled = rest[at..].starts_with("{{") || rest[at..].starts_with("}}");
        if doubled {
            literal.push_str(&rest[at..=at]);
            rest = &rest[at + 2..];
            continue;
        }
        let inner = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = inner else {
            return Err("has a brace without its other half; a brace that is meant is doubled".into());
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(match special(name) {
            Some(special) => Part::Special(special?),
            None => Part::Value(Value::parse(name)?),
        });
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(parts)
}

/// Finds what stands in the places of a template that was written. `None` where the text has another form, or where two places
/// without a text between them cannot be told apart.
pub(crate) fn read<'t, S>(parts: &'t [Part<S>], text: &'t str) -> Option<Vec<(&'t Part<S>, &'t str)>> {
    let (mut found, mut rest) = (Vec::new(), text);
    for (at, part) in parts.iter().enumerate() {
        if let Part::Text(literal) = part {
            rest = rest.strip_prefix(&**literal)?;
            continue;
        }
        let end = match parts.get(at + 1) {
            None => rest.len(),
            Some(Part::Text(next)) => rest.find(&**next)?,
            Some(_) => return None,
        };
        found.push((part, &rest[..end]));
        rest = &rest[end..];
    }
    rest.is_empty().then_some(found)
}

/// Writes a template. `false` where a value in it is absent, or `special` says so: what is left of it means nothing then.
pub(crate) fn write<S>(
    parts: &[Part<S>],
    message: &Message<'_>,
    out: &mut String,
    mut special: impl FnMut(&S, &mut String) -> bool,
) -> bool {
    parts.iter().all(|part| match part {
        Part::Text(text) => {
            out.push_str(text);
            true
        }
        Part::Value(value) => value.write(message, out),
        Part::Special(one) => special(one, out),
    })
}
