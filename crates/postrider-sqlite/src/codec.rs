//! The head of a journal row: events without their data, packed. Decoding never panics and never takes more memory than its input.
//!
//! ```text
//! head    := version(1) at:zigzag first:varint types:varint {text} events:varint {event}
//! event   := flags(1) gap:varint tenant:varint accepted:zigzag(after at) [occurred:zigzag(after accepted)] type:varint
//!            [own id:text] [key:text] [subject:text subject hash(16)] [expires:zigzag(after accepted)]
//!            [key hash(16) body hash(16)] [own id hash(16)] [ordering key hash(16)]
//!            attributes:varint data:varint deliveries:varint {delivery}
//! delivery:= endpoint:varint sequence:varint start(1) [lane(8) | reason(1)]
//! text    := length:varint bytes
//! ```
//! `gap` is what lies between the end of the event before and this one; lengths are of what the row's data holds, in this order.

use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{Accepted, Event, KeyHash, LaneKey, Owed, Reason, Start};
use postrider_core::time::Timestamp;

/// The version that is written; others are refused.
const VERSION: u8 = 1;

const OWN_ID: u8 = 1;
const KEY: u8 = 2;
const IDEMPOTENCY: u8 = 4;
const OWN_HASH: u8 = 8;
const KEY_HASH: u8 = 16;
const OCCURRED: u8 = 32;
const SUBJECT: u8 = 64;
const EXPIRES: u8 = 128;

/// The bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

type Read<T> = Result<T, Malformed>;

/// An event as its head tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadEvent {
    /// Without attributes and data.
    pub(crate) event: Arc<Event>,
    /// Where its bytes begin in the row's data, and the lengths of its attributes and data.
    pub(crate) offset: usize,
    pub(crate) attributes: usize,
    pub(crate) data: usize,
    pub(crate) deliveries: Vec<Owed>,
    pub(crate) idempotency: Option<(KeyHash, KeyHash)>,
    pub(crate) own_id: Option<KeyHash>,
    pub(crate) key: Option<KeyHash>,
    pub(crate) subject: Option<KeyHash>,
}

impl HeadEvent {
    /// The last position that it takes.
    pub(crate) fn last(&self) -> Position {
        self.event.position.plus(self.deliveries.len() as u64)
    }

    /// The delivery at a position, if it is one of this event.
    pub(crate) fn delivery(&self, position: Position) -> Option<Owed> {
        let index = position.0.checked_sub(self.event.position.0 + 1)?;
        self.deliveries.get(usize::try_from(index).ok()?).copied()
    }

    /// How many deliveries it owed, skipped ones not counted.
    pub(crate) fn owed(&self) -> usize {
        self.deliveries.iter().filter(|d| !matches!(d.start, Start::Skipped(_))).count()
    }

    /// The lane of its ordering key.
    pub(crate) fn lane(&self) -> Option<LaneKey> {
        self.key.map(KeyHash::lane)
    }
}

/// Appends an unsigned number, seven bits a byte, lowest first.
#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)).cast_unsigned());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Packs the head of a row.
pub(crate) fn encode(at: Timestamp, first: Position, accepted: &[Accepted]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + accepted.len() * 96);
    out.push(VERSION);
    put_signed(&mut out, at.as_micros());
    put(&mut out, first.0);
    let mut types: Vec<&str> = Vec::new();
    for a in accepted {
        if !types.contains(&&*a.event.event_type) {
            types.push(&a.event.event_type);
        }
    }
    put(&mut out, types.len() as u64);
    types.iter().for_each(|t| put_text(&mut out, t.as_bytes()));
    put(&mut out, accepted.len() as u64);
    let mut next = first.0;
    for a in accepted {
        let e = &a.event;
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            flag(e.own_id.is_some(), OWN_ID)
                | flag(e.key.is_some(), KEY)
                | flag(a.idempotency.is_some(), IDEMPOTENCY)
                | flag(a.own_id.is_some(), OWN_HASH)
                | flag(a.key.is_some(), KEY_HASH)
                | flag(e.occurred_at != e.accepted_at, OCCURRED)
                | flag(e.subject.is_some(), SUBJECT)
                | flag(e.expires_at.is_some(), EXPIRES),
        );
        put(&mut out, e.position.0.saturating_sub(next));
        next = a.last_position().0 + 1;
        put(&mut out, u64::from(e.tenant.0));
        put_signed(&mut out, e.accepted_at.as_micros().wrapping_sub(at.as_micros()));
        if e.occurred_at != e.accepted_at {
            put_signed(&mut out, e.occurred_at.as_micros().wrapping_sub(e.accepted_at.as_micros()));
        }
        put(&mut out, types.iter().position(|t| **t == *e.event_type).unwrap_or(0) as u64);
        if let Some(id) = &e.own_id {
            put_text(&mut out, id.as_bytes());
        }
        if let Some(key) = &e.key {
            put_text(&mut out, key.as_bytes());
        }
        if let Some(subject) = &e.subject {
            put_text(&mut out, subject.as_bytes());
            out.extend_from_slice(&a.subject.map_or([0; 16], |hash| hash.0.to_be_bytes()));
        }
        if let Some(end) = e.expires_at {
            put_signed(&mut out, end.as_micros().wrapping_sub(e.accepted_at.as_micros()));
        }
        let hashes = a.idempotency.map_or([None, None], |(k, b)| [Some(k), Some(b)]);
        for hash in hashes.into_iter().chain([a.own_id, a.key]).flatten() {
            out.extend_from_slice(&hash.0.to_be_bytes());
        }
        put(&mut out, e.attributes.len() as u64);
        put(&mut out, e.data.len() as u64);
        put(&mut out, a.deliveries.len() as u64);
        for d in &a.deliveries {
            put(&mut out, u64::from(d.endpoint.0));
            put(&mut out, d.sequence);
            match d.start {
                Start::Due => out.push(0),
                Start::Held(lane) => {
                    out.push(1);
                    out.extend_from_slice(&lane.0.to_be_bytes());
                }
                Start::Skipped(reason) => out.extend_from_slice(&[2, reason as u8]),
            }
        }
    }
    out
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(head: &[u8]) -> Read<Vec<HeadEvent>> {
    let mut r = Reader { rest: head };
    if r.byte()? != VERSION {
        return Err(Malformed);
    }
    let at = r.signed()?;
    let mut next = r.varint()?;
    let types = r.count()?;
    let types = (0..types).map(|_| r.text().map(Arc::<str>::from)).collect::<Read<Vec<_>>>()?;
    let count = r.count()?;
    let mut events = Vec::with_capacity(count);
    let mut offset = 0_usize;
    for _ in 0..count {
        let event = r.event(at, &types, &mut next, &mut offset)?;
        events.push(event);
    }
    if r.rest.is_empty() { Ok(events) } else { Err(Malformed) }
}

/// What is left to read.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Read<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let bits = u64::from(b & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            n |= bits << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Malformed)
    }

    fn signed(&mut self) -> Read<i64> {
        let n = self.varint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// A number of things to come, each of which takes a byte at least.
    fn count(&mut self) -> Read<usize> {
        let n = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        if n <= self.rest.len() { Ok(n) } else { Err(Malformed) }
    }

    pub(crate) fn bytes(&mut self) -> Read<&'a [u8]> {
        let n = self.count()?;
        self.take(n)
    }

    pub(crate) fn text(&mut self) -> Read<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn hash(&mut self) -> Read<KeyHash> {
        let bytes = self.take(16)?.try_into().map_err(|_| Malformed)?;
        Ok(KeyHash(u128::from_be_bytes(bytes)))
    }

    fn small(&mut self) -> Read<u32> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    fn event(&mut self, at: i64, types: &[Arc<str>], next: &mut u64, offset: &mut usize) -> Read<HeadEvent> {
        let flags = self.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let position = next.checked_add(self.varint()?).filter(|p| *p <= Position::MAX.0).ok_or(Malformed)?;
        let tenant = TenantNo(self.small()?);
        let accepted = at.wrapping_add(self.signed()?);
        let occurred = if has(OCCURRED) { accepted.wrapping_add(self.signed()?) } else { accepted };
        let kind = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let event_type = types.get(kind).cloned().ok_or(Malformed)?;
        let own = if has(OWN_ID) { Some(self.text()?.into()) } else { None };
        let key = if has(KEY) { Some(self.text()?.into()) } else { None };
        let (subject, subject_hash) =
            if has(SUBJECT) { (Some(self.text()?.into()), Some(self.hash()?)) } else { (None, None) };
        let expires = if has(EXPIRES) { Some(accepted.wrapping_add(self.signed()?)) } else { None };
        let idempotency = if has(IDEMPOTENCY) { Some((self.hash()?, self.hash()?)) } else { None };
        let own_hash = if has(OWN_HASH) { Some(self.hash()?) } else { None };
        let key_hash = if has(KEY_HASH) { Some(self.hash()?) } else { None };
        let attributes = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let data = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let count = self.count()?;
        let mut deliveries = Vec::with_capacity(count);
        for _ in 0..count {
            let endpoint = EndpointNo(self.small()?);
            let sequence = self.varint()?;
            let start = match self.byte()? {
                0 => Start::Due,
                1 => {
                    let lane = self.take(8)?.try_into().map_err(|_| Malformed)?;
                    Start::Held(LaneKey(u64::from_be_bytes(lane)))
                }
                2 => Start::Skipped(Reason::from_u8(self.byte()?).ok_or(Malformed)?),
                _ => return Err(Malformed),
            };
            deliveries.push(Owed { endpoint, sequence, start });
        }
        *next = position + count as u64 + 1;
        let begins = *offset;
        *offset = begins.checked_add(attributes).and_then(|o| o.checked_add(data)).ok_or(Malformed)?;
        let event = Arc::new(Event {
            position: Position(position),
            tenant,
            accepted_at: Timestamp::from_micros(accepted),
            occurred_at: Timestamp::from_micros(occurred),
            event_type,
            own_id: own,
            key,
            subject,
            expires_at: expires.map(Timestamp::from_micros),
            attributes: Bytes::new(),
            data: Bytes::new(),
        });
        Ok(HeadEvent {
            event,
            offset: begins,
            attributes,
            data,
            deliveries,
            idempotency,
            own_id: own_hash,
            key: key_hash,
            subject: subject_hash,
        })
    }
}

/// Packs response headers.
pub(crate) fn encode_headers(headers: &[(Box<str>, Bytes)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        put_text(&mut out, name.as_bytes());
        put_text(&mut out, value);
    }
    out
}

/// Reads what [`encode_headers`] wrote.
pub(crate) fn decode_headers(bytes: &[u8]) -> Read<Vec<(Box<str>, Bytes)>> {
    let mut r = Reader { rest: bytes };
    let mut headers = Vec::new();
    while !r.rest.is_empty() {
        headers.push((r.text()?.into(), Bytes::copy_from_slice(r.bytes()?)));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(position: u64, bits: u32) -> Accepted {
        let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(bits % 977));
        let on = |n: u32| bits & (1 << n) != 0;
        let event = Event {
            position: Position(position),
            tenant: TenantNo(bits % 7),
            accepted_at: at,
            occurred_at: if on(1) { at } else { Timestamp::from_micros(-5) },
            event_type: if on(2) { "card.settled".into() } else { "card.opened".into() },
            own_id: on(3).then(|| "own-1".into()),
            key: on(4).then(|| "kärte".into()),
            subject: on(9).then(|| "card-1".into()),
            expires_at: on(10).then(|| Timestamp::from_micros(7)),
            attributes: if on(5) { Bytes::from_static(b"{\"a\":1}") } else { Bytes::new() },
            data: Bytes::from(vec![b'x'; (bits % 300) as usize]),
        };
        let starts = [Start::Due, Start::Held(LaneKey(u64::MAX)), Start::Skipped(Reason::Paused)];
        Accepted {
            deliveries: (0..bits % 4)
                .map(|i| Owed {
                    endpoint: EndpointNo(bits),
                    sequence: u64::from(bits) << 9,
                    start: starts[i as usize % 3],
                })
                .collect(),
            event: Arc::new(event),
            idempotency: on(6).then_some((KeyHash(u128::from(bits) << 70), KeyHash(3))),
            own_id: on(7).then_some(KeyHash(u128::MAX)),
            key: on(8).then_some(KeyHash(1)),
            subject: on(9).then_some(KeyHash(2)),
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(bits in proptest::collection::vec(any::<u32>(), 0..20), at in any::<u32>()) {
            let mut next = 5;
            let group: Vec<Accepted> = bits.iter().map(|b| {
                let a = accepted(next, *b);
                next = a.last_position().0 + 1 + u64::from(b % 2);
                a
            }).collect();
            let head = encode(Timestamp::from_micros(i64::from(at)), Position(5), &group);
            let events = decode(&head).unwrap();
            prop_assert_eq!(events.len(), group.len());
            for (e, a) in events.iter().zip(&group) {
                let bare = Event { data: Bytes::new(), attributes: Bytes::new(), ..(*a.event).clone() };
                prop_assert_eq!(&*e.event, &bare);
                prop_assert_eq!((e.data, e.attributes), (a.event.data.len(), a.event.attributes.len()));
                prop_assert_eq!(&e.deliveries, &a.deliveries);
                prop_assert_eq!((e.idempotency, e.own_id, e.key, e.subject), (a.idempotency, a.own_id, a.key, a.subject));
            }
            for cut in 0..head.len() {
                prop_assert!(decode(&head[..cut]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
            let _ = decode_headers(&bytes);
            if let Some(first) = bytes.first_mut() { *first = VERSION; }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn headers_survive_a_round_trip() {
        let headers = vec![("x-a".into(), Bytes::from_static(b"\xff\0")), ("b".into(), Bytes::new())];
        assert_eq!(decode_headers(&encode_headers(&headers)), Ok(headers));
    }
}
