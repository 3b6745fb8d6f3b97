//! Turns at what there is little of: so many at once, a few places to wait in, and tenants one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider_core::id::TenantNo;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

/// The longest that anybody waits for a turn.
const WAIT: Duration = Duration::from_secs(5);

/// Who waits: a tenant, or the operator, who asks over all of them.
pub(crate) type Who = Option<TenantNo>;

/// No turn: every place to wait in is taken, or the wait was long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Turns at once.
    at_once: usize,
    /// Places to wait in, of all and of one tenant.
    places: usize,
    places_each: usize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    taken: usize,
    waiting: usize,
    /// Who waits, in turn; each once.
    order: VecDeque<Who>,
    /// For each of these, its askers, first come first; never empty.
    askers: FxHashMap<Who, VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn, over when dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    pub(crate) fn new(at_once: usize, places: usize, places_each: usize) -> Arc<Self> {
        Arc::new(Self { at_once, places, places_each, line: Mutex::default() })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Busy`], at once where there is no place to wait in.
    pub(crate) async fn take(self: &Arc<Self>, who: Who) -> Result<Turn, Busy> {
        let waits = {
            let mut line = self.line.lock();
            if line.taken < self.at_once {
                line.taken += 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            line.join(who, self.places, self.places_each)?
        };
        match tokio::time::timeout(WAIT, waits).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Busy),
        }
    }
}

impl Line {
    fn join(&mut self, who: Who, places: usize, places_each: usize) -> Result<oneshot::Receiver<Turn>, Busy> {
        let of_it = |line: &Self| line.askers.get(&who).map_or(0, VecDeque::len);
        if self.waiting >= places || of_it(self) >= places_each {
            self.forget_gone();
        }
        if self.waiting >= places || of_it(self) >= places_each {
            return Err(Busy);
        }
        let (asker, waits) = oneshot::channel();
        let askers = self.askers.entry(who).or_default();
        if askers.is_empty() {
            self.order.push_back(who);
        }
        askers.push_back(asker);
        self.waiting += 1;
        Ok(waits)
    }

    /// Gives the places of those back who went away.
    fn forget_gone(&mut self) {
        self.askers.retain(|_, askers| {
            askers.retain(|asker| !asker.is_closed());
            !askers.is_empty()
        });
        self.order.retain(|who| self.askers.contains_key(who));
        self.waiting = self.askers.values().map(VecDeque::len).sum();
    }

    /// Whose turn it is next; its tenant goes to the end of the line.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let who = self.order.pop_front()?;
        let askers = self.askers.get_mut(&who)?;
        let asker = askers.pop_front()?;
        self.waiting -= 1;
        if askers.is_empty() {
            self.askers.remove(&who);
        } else {
            self.order.push_back(who);
        }
        Some(asker)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut line = turns.line.lock();
                let next = line.next();
                if next.is_none() {
                    line.taken -= 1;
                }
                next
            };
            let Some(asker) = next else { return };
            match asker.send(Turn(Some(Arc::clone(&turns)))) {
                Ok(()) => return,
                // It went away: what it would have had goes to the next, from here.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Asking = Pin<Box<dyn Future<Output = Result<Turn, Busy>>>>;

    fn ask(turns: &Arc<Turns>, tenant: u32) -> Asking {
        let turns = Arc::clone(turns);
        let mut asking: Asking = Box::pin(async move { turns.take(Some(TenantNo(tenant))).await });
        // It takes its place in the line.
        assert!(poll(&mut asking).is_none());
        asking
    }

    fn poll(asking: &mut Asking) -> Option<Result<Turn, Busy>> {
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn abuse_a82_whoever_asks_most_waits_behind_whoever_asks_once() {
        let turns = Turns::new(1, 10, 5);
        let first = turns.take(Some(TenantNo(1))).await.unwrap();
        let mut greedy: Vec<_> = (0..5).map(|_| ask(&turns, 1)).collect();
        let mut modest = ask(&turns, 2);
        drop(first);
        let second = poll(&mut greedy[0]).unwrap().unwrap();
        assert!(poll(&mut modest).is_none());
        drop(second);
        let third = poll(&mut modest).unwrap().unwrap();
        assert!(greedy[1..].iter_mut().all(|asking| poll(asking).is_none()));
        drop(third);
        assert!(poll(&mut greedy[1]).unwrap().is_ok());
    }

    #[tokio::test]
    async fn places_to_wait_in_are_few_and_no_tenant_has_them_all() {
        let turns = Turns::new(1, 8, 5);
        let taken = turns.take(None).await.unwrap();
        let mut waiting: Vec<_> = (0..5).map(|_| ask(&turns, 1)).collect();
        assert_eq!(turns.take(Some(TenantNo(1))).await.unwrap_err(), Busy);
        waiting.extend((0..3).map(|_| ask(&turns, 2)));
        assert_eq!(turns.take(Some(TenantNo(3))).await.unwrap_err(), Busy);
        // Who goes away leaves its place, also where the turn was already on its way.
        waiting.truncate(7);
        waiting.push(ask(&turns, 3));
        drop(taken);
        drop(waiting);
        assert!(turns.take(Some(TenantNo(1))).await.is_ok());
        let line = turns.line.lock();
        assert_eq!((line.taken, line.waiting, line.order.len(), line.askers.len()), (0, 0, 0, 0));
    }
}
