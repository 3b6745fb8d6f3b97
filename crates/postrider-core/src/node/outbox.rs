//! The outbox: what the operator is to be told, gathered so that much of the same becomes little.
//!
//! Of what happens to an endpoint, the first of a kind within a minute is told at once, the rest of that minute as one
//! when it is over. Both are durable with what they tell of: the count of the rest grows by the commits that cause it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::common::Owner;
use crate::id::{Position, TenantNo};
use crate::operational::{Kind, Notice, ReplayNotice};
use crate::record::Edit;
use crate::time::Timestamp;

/// For how long the same is gathered.
const GATHERED: Duration = Duration::from_secs(60);
/// Endpoints and kinds that are told apart within a minute; what befalls further endpoints is told of them together.
const TOLD_APART: usize = 4_096;

/// To whom it happened (none: to several endpoints), and what.
type Key = (Option<Owner>, Kind);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The operator's tenant: it is told, and nothing is told of its own endpoints.
    pub(crate) operator: Option<TenantNo>,
    minutes: FxHashMap<Key, Minute>,
    ends: BTreeSet<(Timestamp, Key)>,
    /// What is told at once, with the next group.
    first: Vec<Notice>,
    /// What has to be written anew with the next group.
    grown: Vec<Key>,
}

/// What is gathered after a first time.
#[derive(Debug)]
struct Minute {
    end: Timestamp,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    notice: Notice,
    /// Its place, once a group has it.
    position: Option<Position>,
    /// How much of its count groups have.
    written: u64,
}

impl Rest {
    fn has_grown(&self) -> bool {
        self.written < self.notice.count
    }
}

/// One case of something.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) reason: &'static str,
    pub(crate) delivery: Option<Position>,
    pub(crate) replay: Option<ReplayNotice>,
}

impl Outbox {
    /// Something happened to an endpoint. Says whether it has to be written down.
    pub(crate) fn happened(&mut self, kind: Kind, owner: Owner, case: Case, now: Timestamp) -> bool {
        if self.operator.is_none_or(|operator| operator == owner.0) {
            return false;
        }
        self.close(now);
        let key = (Some(owner), kind);
        let apart = self.minutes.len() < TOLD_APART || self.minutes.contains_key(&key);
        let key = if apart { key } else { (None, kind) };
        let (tenant, endpoint) = key.0.unzip();
        let notice = || Notice {
            kind,
            tenant,
            endpoint,
            reason: Cow::Borrowed(case.reason),
            count: 1,
            since: now,
            until: now,
            delivery: case.delivery,
            replay: case.replay,
        };
        let Some(minute) = self.minutes.get_mut(&key) else {
            let end = now + GATHERED;
            self.minutes.insert(key, Minute { end, rest: None });
            self.ends.insert((end, key));
            self.first.push(notice());
            return true;
        };
        match &mut minute.rest {
            Some(rest) => {
                if !rest.has_grown() {
                    self.grown.push(key);
                }
                rest.notice.count += 1;
                rest.notice.until = now;
            }
            none => {
                *none = Some(Rest { notice: notice(), position: None, written: 0 });
                self.grown.push(key);
            }
        }
        true
    }

    /// Ends what has been gathered for long enough. What no group has of it goes by itself: the rest may be told already.
    fn close(&mut self, now: Timestamp) {
        while let Some(&(end, key)) = self.ends.first() {
            if end > now {
                return;
            }
            self.ends.pop_first();
            let rest = self.minutes.remove(&key).and_then(|minute| minute.rest);
            if let Some(mut rest) = rest.filter(Rest::has_grown) {
                rest.notice.count -= rest.written;
                self.first.push(rest.notice);
            }
        }
    }

    /// What the next group writes. `next` gives places.
    pub(crate) fn write(&mut self, next: &mut Position, now: Timestamp, edits: &mut Vec<Edit>) {
        self.close(now);
        let mut place = || std::mem::replace(next, next.plus(1));
        for notice in self.first.drain(..) {
            edits.push(Edit::PutNotice { due: now, position: place(), doc: notice.to_doc() });
        }
        for key in self.grown.drain(..) {
            let Some(Minute { end, rest: Some(rest) }) = self.minutes.get_mut(&key) else { continue };
            if rest.has_grown() {
                rest.written = rest.notice.count;
                let position = *rest.position.get_or_insert_with(&mut place);
                edits.push(Edit::PutNotice { due: *end, position, doc: rest.notice.to_doc() });
            }
        }
    }

    /// Whether nothing is left to be written.
    pub(crate) fn is_written(&self) -> bool {
        self.first.is_empty() && self.grown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EndpointNo;

    const ONE: Owner = (TenantNo(1), EndpointNo(1));

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn outbox() -> Outbox {
        Outbox { operator: Some(TenantNo(9)), ..Outbox::default() }
    }

    fn fail(outbox: &mut Outbox, owner: Owner, delivery: u64, now: Timestamp) -> bool {
        let case = Case { reason: "x", delivery: Some(Position(delivery)), replay: None };
        outbox.happened(Kind::DeliveryFailed, owner, case, now)
    }

    /// What is written: due, place, count, sample.
    fn written(outbox: &mut Outbox, next: &mut Position, now: Timestamp) -> Vec<(Timestamp, u64, u64, u64)> {
        let mut edits = Vec::new();
        outbox.write(next, now, &mut edits);
        edits
            .into_iter()
            .map(|edit| {
                let Edit::PutNotice { due, position, doc } = edit else { panic!("{edit:?}") };
                let notice = Notice::from_stored(&doc).unwrap();
                (due, position.0, notice.count, notice.delivery.unwrap().0)
            })
            .collect()
    }

    #[test]
    fn the_first_of_a_minute_goes_at_once_and_the_rest_as_one_when_it_is_over() {
        let (mut o, mut next) = (outbox(), Position(50));
        (0..3).for_each(|n| assert!(fail(&mut o, ONE, n, at(0))));
        assert_eq!(written(&mut o, &mut next, at(1)), [(at(1), 50, 1, 0), (at(60), 51, 2, 1)]);
        assert!(o.is_written() && written(&mut o, &mut next, at(2)).is_empty());
        fail(&mut o, ONE, 3, at(30));
        assert_eq!(written(&mut o, &mut next, at(31)), [(at(60), 51, 3, 1)], "the same row, grown");
        fail(&mut o, ONE, 4, at(60));
        assert_eq!(written(&mut o, &mut next, at(60)), [(at(60), 52, 1, 4)], "a new minute");
    }

    #[test]
    fn what_is_due_is_not_touched_by_a_group_that_is_built_later() {
        let (mut o, mut next) = (outbox(), Position(50));
        (0..3).for_each(|n| assert!(fail(&mut o, ONE, n, at(0))));
        written(&mut o, &mut next, at(1));
        fail(&mut o, ONE, 3, at(59));
        assert_eq!(written(&mut o, &mut next, at(61)), [(at(61), 52, 1, 1)], "by itself");
        fail(&mut o, ONE, 4, at(62));
        fail(&mut o, ONE, 5, at(62));
        fail(&mut o, ONE, 6, at(130));
        assert_eq!(
            written(&mut o, &mut next, at(131)),
            [(at(131), 53, 1, 4), (at(131), 54, 1, 5), (at(131), 55, 1, 6)],
            "three at once, none of them twice"
        );
    }

    #[test]
    fn abuse_a88_of_the_operator_s_own_endpoints_nothing_is_told() {
        let mut o = outbox();
        assert!(!fail(&mut o, (TenantNo(9), EndpointNo(1)), 1, at(0)));
        assert!(!fail(&mut Outbox::default(), ONE, 1, at(0)), "nobody to tell");
        assert!(o.is_written());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_left_out_of_the_counts() {
        let (mut o, mut next) = (outbox(), Position(1));
        let endpoints = u32::try_from(TOLD_APART).unwrap() + 1_000;
        let (mut told, mut apart) = (0, 0);
        for round in 0..3 {
            for no in 0..endpoints {
                fail(&mut o, (TenantNo(1), EndpointNo(no)), 1, at(round));
            }
            assert!(o.minutes.len() <= TOLD_APART + Kind::ALL.len());
        }
        let mut edits = Vec::new();
        o.write(&mut next, at(3), &mut edits);
        for edit in edits {
            let Edit::PutNotice { doc, .. } = edit else { panic!("{edit:?}") };
            let notice = Notice::from_stored(&doc).unwrap();
            told += notice.count;
            apart += u64::from(notice.endpoint.is_some());
        }
        assert_eq!((told, apart), (3 * u64::from(endpoints), 2 * TOLD_APART as u64));
        o.close(at(100));
        assert!(o.minutes.is_empty() && o.ends.is_empty());
    }
}
