//! The feed of an endpoint: everything it is owed, by sequence; and waiting for what comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::record::Accepted;
use postrider_store::{FeedPage, PageLimit};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::Engine;
use crate::driver::RETRY_AFTER;
use crate::error::ServiceError;

/// Bytes of data and attributes of a page, at most, unless one entry has more.
const PAGE_BYTES: usize = 4 << 20;
/// Who may wait for news of one endpoint at once, and of all.
const WAITERS_EACH: usize = 16;
const WAITERS: usize = 1_024;

impl Engine {
    /// Reads what is owed to an endpoint after a sequence number, oldest first, in any state of the endpoint and the
    /// deliveries: at most `limit` of them, and 4 MiB, but one at least if there is one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn feed(
        &self,
        tenant: TenantNo,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<FeedPage, ServiceError> {
        let endpoint = self.found(tenant, id)?.no;
        let limit = PageLimit { entries: limit, bytes: PAGE_BYTES };
        self.read(move |store| store.feed(endpoint, after, limit)).await
    }

    /// Begins to wait for what an endpoint is owed next. To be begun before the feed is read: what is durable then is in the
    /// feed, of everything later there is news.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::TooMany`] while too many wait already.
    pub fn wait_for_feed(&self, tenant: TenantNo, id: &str) -> Result<Waiter, ServiceError> {
        self.driver().0.waiters.wait(self.found(tenant, id)?.no)
    }

    /// Whether an endpoint is (still) there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn is_there(&self, tenant: TenantNo, id: &str) -> Result<(), ServiceError> {
        self.found(tenant, id).map(drop)
    }
}

/// Who waits for news of which endpoint.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many wait in all: a commit for which nobody waits looks at nothing else.
    count: AtomicUsize,
    waiting: Mutex<FxHashMap<EndpointNo, watch::Sender<()>>>,
}

impl Waiters {
    fn wait(self: &Arc<Self>, endpoint: EndpointNo) -> Result<Waiter, ServiceError> {
        let full = || ServiceError::TooMany {
            reason: "too many wait already: read the feed without wait_s".to_owned(),
            retry_after: RETRY_AFTER,
        };
        let mut waiting = self.waiting.lock();
        if self.count.load(Ordering::Acquire) >= WAITERS {
            return Err(full());
        }
        let news = waiting.entry(endpoint).or_insert_with(|| watch::Sender::new(()));
        if news.receiver_count() >= WAITERS_EACH {
            return Err(full());
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(Waiter { waiters: Arc::clone(self), endpoint, news: Some(news.subscribe()) })
    }

    /// These events are durable now.
    pub(crate) fn tell(&self, accepted: &[Accepted]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let waiting = self.waiting.lock();
        for owed in accepted.iter().flat_map(|accepted| &accepted.deliveries) {
            if let Some(news) = waiting.get(&owed.endpoint) {
                news.send_replace(());
            }
        }
    }
}

/// Somebody who waits for news of an endpoint, until dropped.
#[derive(Debug)]
pub struct Waiter {
    waiters: Arc<Waiters>,
    endpoint: EndpointNo,
    /// `None` only while it is dropped.
    news: Option<watch::Receiver<()>>,
}

impl Waiter {
    /// Ready when the endpoint was owed something since the last time, or since the wait began.
    pub async fn news(&mut self) {
        match &mut self.news {
            // The sender is there as long as somebody waits.
            Some(news) => drop(news.changed().await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting.lock();
        self.news = None;
        self.waiters.count.fetch_sub(1, Ordering::AcqRel);
        if waiting.get(&self.endpoint).is_some_and(|news| news.receiver_count() == 0) {
            waiting.remove(&self.endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_core::id::Position;
    use postrider_core::record::Start;
    use postrider_store::conformance::build::{Builder, Draft};

    use super::*;

    #[tokio::test]
    async fn who_waits_hears_of_its_own_endpoint_alone_and_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let (mut one, mut two) = (waiters.wait(EndpointNo(1)).unwrap(), waiters.wait(EndpointNo(2)).unwrap());
        let mut b = Builder::default();
        b.event(Draft { deliveries: vec![(1, Start::Due), (3, Start::Due)], ..Draft::default() });
        waiters.tell(&b.group(Position(1)).accepted);
        // Also what came before it began to listen.
        one.news().await;
        let quiet = |waiter: &mut Waiter| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            std::pin::pin!(waiter.news()).as_mut().poll(&mut context).is_pending()
        };
        assert!(quiet(&mut one) && quiet(&mut two));
        drop((one, two));
        assert_eq!((waiters.count.load(Ordering::Acquire), waiters.waiting.lock().len()), (0, 0));
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let waiters = Arc::new(Waiters::default());
        let full = |no| matches!(waiters.wait(EndpointNo(no)), Err(ServiceError::TooMany { .. }));
        let mut all: Vec<_> = (0..WAITERS_EACH).map(|_| waiters.wait(EndpointNo(0)).unwrap()).collect();
        assert!(full(0) && !full(1));
        all.pop();
        all.push(waiters.wait(EndpointNo(0)).unwrap());
        let others = WAITERS - all.len();
        all.extend((0..others).map(|n| {
            let no = 1 + u32::try_from(n / WAITERS_EACH).unwrap();
            waiters.wait(EndpointNo(no)).unwrap()
        }));
        assert!(full(999_999));
        all.pop();
        assert!(!full(999_999));
        assert!(waiters.waiting.lock().len() <= WAITERS);
    }
}
