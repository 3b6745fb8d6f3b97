//! Who would get an event, and why (not): what decides when one is accepted, asked in advance.

use std::sync::Arc;

use crate::event::Sample;
use crate::filter::Facts;
use crate::policy::Policy;
use crate::record::Reason;
use crate::subscription::names;

/// An endpoint as it stands, to be asked about an event of a type that is given already: its node gives it out, so that the
/// event is looked into without keeping the node waiting.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(crate) policy: Arc<Policy>,
    /// It wants events of that type.
    pub(crate) subscribed: bool,
    pub(crate) outlook: Outlook,
}

/// What becomes of what an endpoint is owed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    Sent,
    Held(Hold),
    Skipped(Reason),
}

/// Why deliveries are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Paused,
    Tripped,
}

/// Whether an event would be owed to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// It would be.
    pub matches: bool,
    /// Why, or why not: names the type, attribute or pointer that decides, and where it matches what would become of it
    /// unless it would be sent at once. Never holds a value.
    pub reason: String,
}

/// Asks each of some endpoints about an event. `entitled`: their tenant may have events of its type.
pub fn judge(sample: &Sample, entitled: bool, candidates: &[Candidate]) -> Vec<Judgement> {
    let filters = candidates.iter().filter_map(|candidate| candidate.policy.filters.as_deref());
    let facts = Facts::of(filters, &sample.attributes, &sample.data);
    candidates.iter().map(|candidate| candidate.judge(sample, entitled, &facts)).collect()
}

impl Candidate {
    fn judge(&self, sample: &Sample, entitled: bool, facts: &Facts<'_>) -> Judgement {
        let not = |reason| Judgement { matches: false, reason };
        if !self.subscribed {
            return not(format!("no event type of it covers {}", sample.event_type));
        }
        if !entitled && !names(&self.policy.patterns, &sample.event_type) {
            return not(format!(
                "no integration of its tenant allows {}, and a wildcard stands for what is allowed",
                sample.event_type
            ));
        }
        let filters = self.policy.filters.as_deref().filter(|filters| filters.ask_of(&sample.event_type));
        if let Some(unmet) = filters.and_then(|filters| filters.check(facts).err()) {
            return not(unmet.to_string());
        }
        let covering = self.policy.patterns.iter().find(|pattern| pattern.matches(&sample.event_type));
        let covering = covering.map_or_else(|| "its subscription".to_owned(), ToString::to_string);
        let held = if filters.is_some() { ", and its filters hold" } else { "" };
        let outlook = if entitled { self.outlook } else { Outlook::Skipped(Reason::NotEntitled) };
        let outlook = match outlook {
            Outlook::Sent => String::new(),
            Outlook::Held(Hold::Paused) => "; it would be held until the endpoint is enabled".to_owned(),
            Outlook::Held(Hold::Tripped) => {
                "; it would be held until the endpoint can be reached again".to_owned()
            }
            Outlook::Skipped(reason) => format!("; it would be skipped: {}", reason.as_str()),
        };
        Judgement { matches: true, reason: format!("{covering} covers {}{held}{outlook}", sample.event_type) }
    }
}
