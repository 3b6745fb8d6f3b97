//! What is owed by the newest groups and has no row of its own yet: the deliveries that end before anyone had to write them down.
//!
//! A delivery accepted as due or held is pending by its journal row alone. It leaves the overlay when an update speaks of it,
//! or when it is *settled*: given a row in `pending`, because it stays for longer than a moment or too many do.

use std::collections::VecDeque;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{DeliveryRef, LaneKey, PendingRow, Place, Progress};
use postrider_core::time::Timestamp;
use rustc_hash::FxHashMap;

/// An open delivery, in the state in which it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) delivery: DeliveryRef,
    /// The lane that it is held in, if it is.
    pub(crate) held: Option<LaneKey>,
    /// The lane of its event's ordering key.
    pub(crate) lane: Option<LaneKey>,
}

impl Open {
    /// As a pending delivery that nothing has happened to.
    pub(crate) fn row(&self) -> PendingRow {
        let place = self.held.map_or(Place::Due(self.delivery.position), Place::Held);
        PendingRow { delivery: self.delivery, place, progress: Progress::default(), lane: self.lane }
    }
}

/// The open deliveries of one journal row or commit.
#[derive(Debug)]
struct OpenGroup {
    first: Position,
    last: Position,
    at: Timestamp,
    /// In order of position; `None` once it is not open any more.
    entries: Vec<(Position, Option<Open>)>,
    open: usize,
}

/// All open deliveries, in order of acceptance.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    groups: VecDeque<OpenGroup>,
    open: usize,
    by_endpoint: FxHashMap<EndpointNo, u32>,
}

impl Overlay {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    /// Takes in what a group opened, in order of position.
    pub(crate) fn push(&mut self, first: Position, last: Position, at: Timestamp, opened: Vec<Open>) {
        debug_assert!(self.groups.back().is_none_or(|g| g.last < first), "groups come in order");
        if opened.is_empty() {
            return;
        }
        for open in &opened {
            *self.by_endpoint.entry(open.delivery.endpoint).or_default() += 1;
        }
        self.open += opened.len();
        let open = opened.len();
        let entries = opened.into_iter().map(|o| (o.delivery.position, Some(o))).collect();
        self.groups.push_back(OpenGroup { first, last, at, entries, open });
    }

    fn find(&self, position: Position) -> Option<(usize, usize)> {
        let group = self.groups.partition_point(|g| g.last < position);
        let entries = &self.groups.get(group)?.entries;
        let entry = entries.binary_search_by_key(&position, |e| e.0).ok()?;
        Some((group, entry))
    }

    /// The open delivery at a position.
    pub(crate) fn get(&self, position: Position) -> Option<Open> {
        let (group, entry) = self.find(position)?;
        self.groups[group].entries[entry].1
    }

    /// Takes a delivery out: it has ended, or has a row of its own now.
    pub(crate) fn close(&mut self, position: Position) {
        let Some((group, entry)) = self.find(position) else { return };
        let group = &mut self.groups[group];
        let Some(was) = group.entries[entry].1.take() else { return };
        group.open -= 1;
        self.open -= 1;
        if let Some(count) = self.by_endpoint.get_mut(&was.delivery.endpoint) {
            *count -= 1;
            if *count == 0 {
                self.by_endpoint.remove(&was.delivery.endpoint);
            }
        }
        while self.groups.front().is_some_and(|g| g.open == 0) {
            self.groups.pop_front();
        }
    }

    /// How many of an endpoint's are open.
    pub(crate) fn count(&self, endpoint: EndpointNo) -> u32 {
        self.by_endpoint.get(&endpoint).copied().unwrap_or(0)
    }

    /// The open deliveries of an endpoint after a position, oldest first.
    pub(crate) fn of_endpoint(
        &self,
        endpoint: EndpointNo,
        after: Position,
    ) -> impl Iterator<Item = Open> + '_ {
        let none = self.count(endpoint) == 0;
        let from = if none { self.groups.len() } else { self.groups.partition_point(|g| g.last <= after) };
        self.groups
            .range(from..)
            .flat_map(|g| g.entries.iter().filter_map(|e| e.1))
            .filter(move |o| o.delivery.endpoint == endpoint && o.delivery.position > after)
    }

    /// The open deliveries below a position, newest first.
    pub(crate) fn newest_below(&self, before: Position) -> impl Iterator<Item = Open> + '_ {
        let to = self.groups.partition_point(|g| g.first < before);
        self.groups
            .range(..to)
            .rev()
            .flat_map(|g| g.entries.iter().rev().filter_map(|e| e.1))
            .filter(move |o| o.delivery.position < before)
    }

    /// Whether anything between two positions is open.
    pub(crate) fn any_within(&self, first: Position, last: Position) -> bool {
        let from = self.groups.partition_point(|g| g.last < first);
        self.groups
            .range(from..)
            .take_while(|g| g.first <= last)
            .flat_map(|g| g.entries.iter().filter_map(|e| e.1))
            .any(|o| o.delivery.position >= first && o.delivery.position <= last)
    }

    /// The oldest open deliveries: of groups built before `older_than`, or while more than `bound` are open; at most
    /// `limit`, and none of `except`. Sorted by endpoint, so that their rows are written side by side.
    pub(crate) fn to_settle(
        &self,
        older_than: Timestamp,
        bound: usize,
        limit: usize,
        except: impl Fn(Position) -> bool,
    ) -> Vec<Open> {
        let over = self.open.saturating_sub(bound);
        let mut chosen: Vec<Open> = Vec::new();
        'groups: for group in &self.groups {
            if group.at >= older_than && chosen.len() >= over {
                break;
            }
            for open in group.entries.iter().filter_map(|e| e.1) {
                if chosen.len() >= limit {
                    break 'groups;
                }
                if !except(open.delivery.position) {
                    chosen.push(open);
                }
            }
        }
        chosen.sort_unstable_by_key(|o| (o.delivery.endpoint, o.held, o.delivery.position));
        chosen
    }

    /// The first position that may still be open; everything before it is settled or ended.
    pub(crate) fn open_from(&self, committed: Position) -> Position {
        self.groups.front().map_or(committed.plus(1), |g| g.first)
    }
}

/// The open delivery that a delivery of an accepted event is.
pub(crate) fn open(
    event: Position,
    tenant: TenantNo,
    position: Position,
    owed: &postrider_core::record::Owed,
    lane: Option<LaneKey>,
) -> Option<Open> {
    use postrider_core::record::Start;
    let held = match owed.start {
        Start::Due => None,
        Start::Held(lane) => Some(lane),
        Start::Skipped(_) => return None,
    };
    let delivery = DeliveryRef { position, event, tenant, endpoint: owed.endpoint, sequence: owed.sequence };
    Some(Open { delivery, held, lane })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(position: u64, endpoint: u32) -> Open {
        let delivery = DeliveryRef {
            position: Position(position),
            event: Position(position - 1),
            tenant: TenantNo(1),
            endpoint: EndpointNo(endpoint),
            sequence: position,
        };
        Open { delivery, held: None, lane: None }
    }

    #[test]
    fn what_is_closed_is_gone_and_the_front_moves_on() {
        let mut overlay = Overlay::default();
        let at = Timestamp::from_secs(1);
        overlay.push(Position(1), Position(4), at, vec![opened(2, 7), opened(4, 8)]);
        overlay.push(Position(5), Position(6), Timestamp::from_secs(3), vec![opened(6, 7)]);
        let all = |o: &Overlay, e| {
            o.of_endpoint(EndpointNo(e), Position(0)).map(|o| o.delivery.position.0).collect::<Vec<_>>()
        };
        assert_eq!(all(&overlay, 7), [2, 6]);
        assert_eq!(
            overlay.newest_below(Position(6)).map(|o| o.delivery.position.0).collect::<Vec<_>>(),
            [4, 2]
        );
        overlay.close(Position(2));
        overlay.close(Position(2));
        assert_eq!((all(&overlay, 7), overlay.len(), overlay.count(EndpointNo(7))), (vec![6], 2, 1));
        assert_eq!(overlay.open_from(Position(6)), Position(1));
        let due = overlay.to_settle(Timestamp::from_secs(2), 10, 10, |_| false);
        assert_eq!(due.iter().map(|o| o.delivery.position.0).collect::<Vec<_>>(), [4]);
        overlay.close(Position(4));
        assert_eq!(overlay.open_from(Position(6)), Position(5));
        assert_eq!(overlay.to_settle(Timestamp::EPOCH, 0, 10, |_| false).len(), 1);
        assert!(
            overlay.any_within(Position(6), Position(9)) && !overlay.any_within(Position(1), Position(5))
        );
    }
}
