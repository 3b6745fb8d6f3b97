//! The end of the demo: what was accepted, what the log says and what the receiver saw must be the same story.

use postrider_client::{Client, DeliveryFilter, Endpoint, PageRequest};
use serde::Serialize;

use super::cast::{CAST, Part};
use super::ledger::Tally;
use super::publish::Progress;
use super::receiver::Receiver;
use super::traffic::Happening;
use crate::output::Rows;

/// Entries of a page of the log.
const PAGE: u32 = 250;

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) adds_up: bool,
    /// What does not add up.
    pub(super) faults: Vec<String>,
    pub(super) seconds: f64,
    pub(super) published: u64,
    pub(super) accepted: u64,
    /// Deliveries, as the server's answers said.
    pub(super) owed: u64,
    pub(super) delivered: u64,
    pub(super) attempts: u64,
    pub(super) refused: u64,
    pub(super) retried: u64,
    pub(super) signatures_verified: u64,
    pub(super) signatures_failed: u64,
    pub(super) pending: u64,
    pub(super) endpoints: Vec<Line>,
}

/// One endpoint.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    tenant: &'static str,
    endpoint: &'static str,
    subscription: &'static str,
    /// By the demo's own reckoning.
    owed: u64,
    /// By the delivery log.
    #[serde(flatten)]
    logged: Logged,
    /// By the receiver: errors that it answered on purpose.
    refused: u64,
    arrivals: u64,
    arrivals_unique: u64,
    /// Arrivals of what it had taken before.
    arrivals_repeated: u64,
    signatures_verified: u64,
    signatures_failed: u64,
    /// `null` where no order is asked for.
    order_kept: Option<bool>,
    sequence_gapless: bool,
}

/// What the delivery log says of one endpoint.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Logged {
    deliveries: u64,
    delivered: u64,
    pending: u64,
    /// Neither delivered nor pending.
    gave_up: u64,
    attempts: u64,
    /// Deliveries that took more than one attempt.
    retried: u64,
}

impl Summary {
    /// Reads the log and compares.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) async fn gather(
        client: &Client,
        endpoints: &[Endpoint],
        receiver: &Receiver,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let (published, accepted, owed) = (progress.published(), progress.accepted(), progress.owed());
        let mut faults = Vec::new();
        let mut lines = Vec::new();
        for (at, (part, endpoint)) in CAST.iter().zip(endpoints).enumerate() {
            let logged = Logged::read(client, endpoint).await?;
            let expected =
                (0..published).filter(|n| part.is_owed(*n, Happening::new(*n).kind)).count() as u64;
            let line = Line::new(part, expected, logged, receiver.ledger().tally(at), &mut faults);
            lines.push(line);
        }
        let sum = |pick: fn(&Line) -> u64| lines.iter().map(pick).sum::<u64>();
        expect(&mut faults, "events", &[("published", published), ("accepted", accepted)]);
        expect(
            &mut faults,
            "deliveries",
            &[("owed by the answers", owed), ("subscribed to", sum(|l| l.owed))],
        );
        let mut summary = Self {
            adds_up: false,
            seconds: (receiver.ledger().elapsed().as_secs_f64() * 10.0).round() / 10.0,
            published,
            accepted,
            owed,
            delivered: sum(|l| l.logged.delivered),
            attempts: sum(|l| l.logged.attempts),
            refused: sum(|l| l.refused),
            retried: sum(|l| l.logged.retried),
            signatures_verified: sum(|l| l.signatures_verified),
            signatures_failed: sum(|l| l.signatures_failed),
            pending: sum(|l| l.logged.pending),
            endpoints: lines,
            faults,
        };
        summary.adds_up = summary.faults.is_empty();
        Ok(summary)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut rows = Rows::new(&[
            "endpoint",
            "takes",
            "owed",
            "delivered",
            "attempts",
            "refused",
            "retried",
            "twice",
            "signed",
            "order",
        ]);
        for line in &self.endpoints {
            rows.row([
                format!("{}/{}", line.tenant, line.endpoint),
                line.subscription.into(),
                line.owed.to_string(),
                line.logged.delivered.to_string(),
                line.logged.attempts.to_string(),
                line.refused.to_string(),
                line.logged.retried.to_string(),
                line.arrivals_repeated.to_string(),
                format!("{} of {}", line.signatures_verified, line.arrivals),
                line.order_kept.map_or("-", |kept| if kept { "kept" } else { "LOST" }).into(),
            ]);
        }
        let mut text = format!(
            "{}\n\n{} events published, {} accepted, {} deliveries owed: {} delivered in {} attempts, {} pending.\n\
             The receiver refused {} on purpose; {} deliveries were tried again until they were taken.\n\
             {} signatures verified, {} failed.\n",
            rows.render(),
            self.published,
            self.accepted,
            self.owed,
            self.delivered,
            self.attempts,
            self.pending,
            self.refused,
            self.retried,
            self.signatures_verified,
            self.signatures_failed,
        );
        if self.adds_up {
            text.push_str("It adds up: what was accepted, what the log says and what arrived are the same.");
        } else {
            text.push_str("IT DOES NOT ADD UP:");
            for fault in &self.faults {
                text.push_str(&format!("\n  {fault}"));
            }
        }
        text
    }
}

impl Line {
    fn new(part: &Part, owed: u64, logged: Logged, tally: Tally, faults: &mut Vec<String>) -> Self {
        let title = part.title();
        expect(
            faults,
            &title,
            &[
                ("owed", owed),
                ("in the log", logged.deliveries),
                ("delivered", logged.delivered),
                ("taken", tally.taken),
            ],
        );
        expect(faults, &title, &[("attempts in the log", logged.attempts), ("requests", tally.arrivals)]);
        expect(
            faults,
            &title,
            &[("attempts", logged.attempts), ("delivered and refused", logged.delivered + tally.refused)],
        );
        expect(faults, &title, &[("owed", owed), ("the last sequence number", tally.last_sequence)]);
        for (count, what) in [
            (logged.pending, "still pending"),
            (logged.gave_up, "given up"),
            (tally.forged, "signatures that do not hold"),
            (tally.strangers, "requests without the right user name and password"),
            (tally.altered, "bodies other than published"),
            (tally.repeated, "arrivals of what had been taken before"),
            (tally.strays, "requests that nobody owed it"),
            (tally.disordered, "arrivals out of order"),
            (tally.sequence_clashes, "sequence numbers given twice"),
        ] {
            if count > 0 {
                faults.push(format!("{title}: {count} {what}"));
            }
        }
        Self {
            tenant: part.tenant_id(),
            endpoint: part.name,
            subscription: part.takes,
            owed,
            logged,
            refused: tally.refused,
            arrivals: tally.arrivals,
            arrivals_unique: tally.unique,
            arrivals_repeated: tally.repeated,
            signatures_verified: tally.verified,
            signatures_failed: tally.forged,
            order_kept: part.ordered.then_some(tally.disordered == 0),
            sequence_gapless: tally.sequence_clashes == 0 && tally.last_sequence == owed,
        }
    }
}

impl Logged {
    async fn read(client: &Client, endpoint: &Endpoint) -> anyhow::Result<Self> {
        let filter = DeliveryFilter { endpoint: Some(endpoint.id.clone()), ..DeliveryFilter::default() };
        let mut page = PageRequest { limit: Some(PAGE), cursor: None };
        let mut logged = Self::default();
        // The cursor goes to older deliveries each time, so the end of the log is reached.
        loop {
            let answer = client.list_deliveries(&endpoint.tenant, &filter, &page).await?.into_value();
            for delivery in &answer.data {
                logged.deliveries += 1;
                logged.attempts += delivery.attempts;
                logged.retried += u64::from(delivery.attempts > 1);
                match delivery.status.as_str() {
                    "succeeded" => logged.delivered += 1,
                    "pending" => logged.pending += 1,
                    _ => logged.gave_up += 1,
                }
            }
            match answer.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(logged),
            }
        }
    }
}

/// Notes a fault unless all counts are the same.
fn expect(faults: &mut Vec<String>, whose: &str, counts: &[(&str, u64)]) {
    if counts.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        let told: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        faults.push(format!("{whose}: {} should be the same", told.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(logged: Logged, tally: Tally) -> Vec<String> {
        let mut faults = Vec::new();
        Line::new(&CAST[1], 10, logged, tally, &mut faults);
        faults
    }

    #[test]
    fn a_story_that_agrees_has_no_fault_and_every_disagreement_is_named() {
        let logged = Logged { deliveries: 10, delivered: 10, attempts: 12, retried: 2, ..Logged::default() };
        let tally = Tally {
            arrivals: 12,
            unique: 10,
            taken: 10,
            refused: 2,
            verified: 12,
            last_sequence: 10,
            ..Tally::default()
        };
        assert_eq!(line(logged, tally), Vec::<String>::new());
        for (logged, tally, told) in [
            (Logged { delivered: 9, pending: 1, ..logged }, tally, "1 still pending"),
            (Logged { deliveries: 9, ..logged }, tally, "9 in the log"),
            (Logged { attempts: 11, ..logged }, tally, "11 attempts in the log"),
            (logged, Tally { forged: 1, ..tally }, "1 signatures that do not hold"),
            (logged, Tally { altered: 3, ..tally }, "3 bodies other than published"),
            (logged, Tally { disordered: 1, ..tally }, "1 arrivals out of order"),
            (logged, Tally { last_sequence: 11, ..tally }, "11 the last sequence number"),
        ] {
            let faults = line(logged, tally);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:?}");
        }
    }
}
