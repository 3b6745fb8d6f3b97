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
use crate::error::ServiceError;
use crate::reading::For;

/// Bytes of data and attributes of a page, at most, unless one entry has more.
const PAGE_BYTES: usize = 4 << 20;
/// Who may wait for news of one endpoint at once, of those of one tenant, and of all.
const WAITERS_EACH: usize = 16;
const WAITERS_OF_TENANT: usize = 64;
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
        self.read(For::Page(Some(tenant)), move |store| store.feed(endpoint, after, limit)).await
    }

    /// Begins to wait for what an endpoint is owed next. To be begun before the feed is read: what is durable then is in the
    /// feed, of everything later there is news. `None` while too many wait already.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn wait_for_feed(&self, tenant: TenantNo, id: &str) -> Result<Option<Waiter>, ServiceError> {
        Ok(self.driver().0.waiters.wait(tenant, self.found(tenant, id)?.no))
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
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    endpoints: FxHashMap<EndpointNo, watch::Sender<()>>,
    /// How many wait for endpoints of a tenant; at least one.
    tenants: FxHashMap<TenantNo, usize>,
}

impl Waiters {
    /// `None` where there is no room.
    fn wait(self: &Arc<Self>, tenant: TenantNo, endpoint: EndpointNo) -> Option<Waiter> {
        let mut waiting = self.waiting.lock();
        let each = waiting.endpoints.get(&endpoint).map_or(0, watch::Sender::receiver_count);
        let of_tenant = waiting.tenants.get(&tenant).copied().unwrap_or(0);
        let all = self.count.load(Ordering::Acquire);
        if each >= WAITERS_EACH || of_tenant >= WAITERS_OF_TENANT || all >= WAITERS {
            return None;
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        waiting.tenants.insert(tenant, of_tenant + 1);
        let news = waiting.endpoints.entry(endpoint).or_insert_with(|| watch::Sender::new(()));
        Some(Waiter { waiters: Arc::clone(self), tenant, endpoint, news: Some(news.subscribe()) })
    }

    /// These events are durable now.
    pub(crate) fn tell(&self, accepted: &[Accepted]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let waiting = self.waiting.lock();
        for owed in accepted.iter().flat_map(|accepted| &accepted.deliveries) {
            if let Some(news) = waiting.endpoints.get(&owed.endpoint) {
                news.send_replace(());
            }
        }
    }
}

/// Somebody who waits for news of an endpoint, until dropped.
#[derive(Debug)]
pub struct Waiter {
    waiters: Arc<Waiters>,
    tenant: TenantNo,
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
        if waiting.endpoints.get(&self.endpoint).is_some_and(|news| news.receiver_count() == 0) {
            waiting.endpoints.remove(&self.endpoint);
        }
        if let Some(of_tenant) = waiting.tenants.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                waiting.tenants.remove(&self.tenant);
            }
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
        let wait = |no| waiters.wait(TenantNo(1), EndpointNo(no)).unwrap();
        let (mut one, mut two) = (wait(1), wait(2));
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
        let waiting = waiters.waiting.lock();
        let left = (waiters.count.load(Ordering::Acquire), waiting.endpoints.len(), waiting.tenants.len());
        assert_eq!(left, (0, 0, 0));
    }

    #[test]
    fn abuse_a82_no_more_wait_than_there_is_room_for_and_no_tenant_takes_it_all() {
        let waiters = Arc::new(Waiters::default());
        let wait = |tenant, no| waiters.wait(TenantNo(tenant), EndpointNo(no));
        let mut all: Vec<_> = (0..WAITERS_EACH).map(|_| wait(0, 0).unwrap()).collect();
        assert!(wait(0, 0).is_none() && wait(0, 1).is_some());
        all.pop();
        all.push(wait(0, 0).unwrap());
        let mut no = 0;
        all.extend((WAITERS_EACH..WAITERS_OF_TENANT).map(|_| {
            no += 1;
            wait(0, no).unwrap()
        }));
        assert!(wait(0, no + 1).is_none() && wait(1, no + 1).is_some());
        for tenant in (1..).take(WAITERS / WAITERS_OF_TENANT - 1) {
            all.extend((0..WAITERS_OF_TENANT).map(|_| {
                no += 1;
                wait(tenant, no).unwrap()
            }));
        }
        assert!(wait(999_999, 999_999).is_none());
        all.pop();
        assert!(wait(999_999, 999_999).is_some());
        assert!(waiters.waiting.lock().endpoints.len() <= WAITERS);
    }
}
