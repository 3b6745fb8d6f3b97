//! Who takes part: three tenants with their endpoints, and how each endpoint behaves.

use postrider_client::EndpointSpec;
use serde_json::json;

use super::traffic::Kind;

/// The tenants; event number n belongs to tenant n modulo their number.
pub(super) const TENANTS: [&str; 3] = ["corner-coffee", "loyalty-club", "city-guide"];

/// User name and password of endpoints that want them.
pub(super) const USER: &str = "postrider";
pub(super) const PASSWORD: &str = "let me in: 42";

/// How an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Always takes what comes.
    Steady,
    /// Answers 500 to every so many-th delivery, once or twice.
    Flaky(u64),
    /// Answers 503 with `Retry-After` to every so many-th delivery, once.
    Busy(u64),
    /// Answers 502 to everything for a while in the middle, as a proxy before a dead application does.
    Down,
}

impl Manner {
    /// How often the `nth` delivery (from 1) is refused before it is taken.
    pub(super) fn refusals(self, nth: u64) -> u32 {
        match self {
            Self::Flaky(every) if nth.is_multiple_of(every) => 1 + u32::from((nth / every).is_multiple_of(2)),
            Self::Busy(every) if nth.is_multiple_of(every) => 1,
            _ => 0,
        }
    }

    /// What is said of it in the table.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Flaky(_) => "500 now and then",
            Self::Busy(_) => "503, Retry-After",
            Self::Down => "down for 2 s",
        }
    }
}

/// One endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Index in [`TENANTS`].
    pub(super) tenant: usize,
    pub(super) name: &'static str,
    /// Its one subscription.
    pub(super) takes: &'static str,
    pub(super) manner: Manner,
    /// Whether it wants user name and password.
    pub(super) basic: bool,
    /// Whether it wants the events of a card in order.
    pub(super) ordered: bool,
}

/// The endpoints.
pub(super) const CAST: [Part; 6] = [
    Part { tenant: 0, name: "till", takes: "*", manner: Manner::Steady, basic: false, ordered: false },
    Part {
        tenant: 0,
        name: "ledger",
        takes: "card.*",
        manner: Manner::Flaky(6),
        basic: false,
        ordered: true,
    },
    Part {
        tenant: 1,
        name: "points",
        takes: "card.transaction",
        manner: Manner::Flaky(5),
        basic: true,
        ordered: false,
    },
    Part {
        tenant: 1,
        name: "offers",
        takes: "card.claimed_offer",
        manner: Manner::Busy(8),
        basic: false,
        ordered: false,
    },
    Part {
        tenant: 2,
        name: "map",
        takes: "cardholder.location",
        manner: Manner::Steady,
        basic: false,
        ordered: false,
    },
    Part { tenant: 2, name: "archive", takes: "*", manner: Manner::Down, basic: false, ordered: false },
];

impl Part {
    /// Whether event `number` of this kind is owed to it; decided here anew, not taken from the server.
    pub(super) fn is_owed(&self, number: u64, kind: Kind) -> bool {
        let matches = match self.takes.strip_suffix('*') {
            Some(prefix) => kind.event_type().starts_with(prefix),
            None => kind.event_type() == self.takes,
        };
        matches && number % TENANTS.len() as u64 == self.tenant as u64
    }

    /// Its tenant's id.
    pub(super) fn tenant_id(&self) -> &'static str {
        TENANTS[self.tenant]
    }

    /// Tenant and name.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.tenant_id(), self.name)
    }

    /// What the API is told.
    pub(super) fn spec(&self, url: String) -> EndpointSpec {
        EndpointSpec {
            url,
            name: Some(self.name.into()),
            event_types: Some(vec![self.takes.into()]),
            auth: self.basic.then(|| json!({"type": "basic", "username": USER, "password": PASSWORD})),
            ordering: self.ordered.then(|| "key".into()),
            ..EndpointSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_owed_something_and_some_events_fan_out() {
        use crate::demo::traffic::Happening;
        let owed = |number: u64| {
            let kind = Happening::new(number).kind;
            CAST.iter().filter(move |part| part.is_owed(number, kind))
        };
        for part in &CAST {
            assert!((0..48).any(|n| owed(n).any(|p| p.name == part.name)), "{}", part.name);
        }
        assert!((0..48).any(|n| owed(n).count() == 2));
    }

    #[test]
    fn nothing_is_refused_so_often_that_its_schedule_ends() {
        for part in &CAST {
            assert!((1..1_000).all(|nth| part.manner.refusals(nth) <= 2), "{}", part.name);
        }
    }
}
