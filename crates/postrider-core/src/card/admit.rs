//! Admitting an event: card data in it is refused, hidden or let through, before anything keeps it.

use bytes::Bytes;

use super::edits::{NeverDone, until_nothing_changes};
use super::layer::Layer;
use super::policy::{AuthenticationData, CardPolicy, Numbers};
use super::quick;
use super::walk::{Place, Verdict, Walk, What};
use super::{Faults, NUMBER, SECRET, may_hold_number, numbers_in};
use crate::fault::Fault;
use crate::publication::Publication;

/// Said of a place whose text names something, and so cannot be changed.
const UNMASKED: &str =
    "holds what looks like a card number; send a token instead (what is none may stand beside a letter)";

/// Whether an event is to be shown to a policy: nearly all of them have nothing that could be card data.
pub fn is_suspicious(event: &Publication) -> bool {
    let json = |bytes: &Bytes| std::str::from_utf8(bytes).map_or(true, quick::is_suspicious);
    json(&event.data)
        || !event.attributes.is_empty() && json(&event.attributes)
        || texts(event).into_iter().any(|(_, text)| may_hold_number(text))
}

/// The parts of an event that name something, with the fields that they stand in.
fn texts(event: &Publication) -> [(&'static str, &str); 4] {
    [
        ("type", &event.event_type),
        ("id", event.own_id.as_deref().unwrap_or_default()),
        ("key", event.key.as_deref().unwrap_or_default()),
        ("subject", event.subject.as_deref().unwrap_or_default()),
    ]
}

impl CardPolicy {
    /// Admits an event as far as card data is concerned, after changing its data and attributes where the policy says so.
    /// Whether it did.
    ///
    /// # Errors
    /// The places that hold what the policy refuses, at most [`MAX_FAULTS`](crate::fault::MAX_FAULTS); never the digits.
    pub fn admit(&self, event: &mut Publication) -> Result<bool, Vec<Fault>> {
        let mut faults = Faults::default();
        for (field, text) in texts(event) {
            if self.refuses(&event.event_type, field, text) {
                faults.push(format!("/{field}"), UNMASKED);
            }
        }
        let data = self.judge(&event.event_type, "data", &event.data, &mut faults);
        let attributes = self.judge(&event.event_type, "attributes", &event.attributes, &mut faults);
        faults.none()?;
        let changed = data.is_some() || attributes.is_some();
        event.data = data.unwrap_or_else(|| std::mem::take(&mut event.data));
        event.attributes = attributes.unwrap_or_else(|| std::mem::take(&mut event.attributes));
        Ok(changed)
    }

    /// Whether a text that names something is refused in a field of an event, `id` for its idempotency key too.
    pub fn refuses(&self, event_type: &str, field: &str, text: &str) -> bool {
        let found = numbers_in(text);
        found
            .into_iter()
            .any(|what| self.verdict(event_type, field, Place::default(), what) != Ok(Verdict::Pass))
    }

    /// What becomes of a field that is JSON, if it changes.
    fn judge(&self, event_type: &str, field: &str, json: &[u8], faults: &mut Faults) -> Option<Bytes> {
        let mut judge = |place: Place<'_>, what| {
            self.verdict(event_type, field, place, what).unwrap_or_else(|detail| {
                faults.push(place.pointer(field), detail);
                Verdict::Pass
            })
        };
        let changed = until_nothing_changes(json, |json| {
            let mut walk = Walk::new(&mut judge);
            walk.document(&Layer::of_bytes(json));
            walk.into_edits()
        });
        match changed {
            Ok(changed) => changed.map(Bytes::from),
            Err(NeverDone) => {
                faults.push(format!("/{field}"), NUMBER);
                None
            }
        }
    }

    /// What becomes of something in a field of an event.
    ///
    /// # Errors
    /// What is to be said of it, where it is refused.
    fn verdict(
        &self,
        event_type: &str,
        field: &str,
        place: Place<'_>,
        what: What,
    ) -> Result<Verdict, &'static str> {
        let numbers = match what {
            What::Number | What::Track if self.exempts(event_type, field, place) => Numbers::Allow,
            _ => self.numbers,
        };
        match (what, numbers) {
            (What::Number, Numbers::Allow) => Ok(Verdict::Pass),
            (What::Number | What::Track, Numbers::Mask) => Ok(Verdict::Mask),
            (What::Number | What::Track, Numbers::Reject) => Err(NUMBER),
            (What::Track, Numbers::Allow) | (What::Secret, _) => match self.authentication_data {
                AuthenticationData::Reject => Err(SECRET),
                AuthenticationData::Strip => Ok(Verdict::Strip),
            },
        }
    }
}
