//! Publishing: events in, receipts out when they are durable.

use std::sync::atomic::Ordering;

use postrider_core::node::{Input, Reply};
use postrider_core::publication::{Publication, Receipt, Refusal};

use crate::Engine;

impl Engine {
    /// Accepts events. The answers come in the order of the items, when everything that is accepted is durable.
    pub async fn publish(&self, items: Vec<Publication>) -> Vec<Result<Receipt, Refusal>> {
        let count = items.len();
        let refused = |why| (0..count).map(|_| Err(Refusal::Overloaded(why))).collect();
        if self.driver().0.health.disk_low.load(Ordering::Relaxed) {
            return refused("the disk is nearly full");
        }
        match self.driver().ask(|asker| Input::Publish(items, asker)).await {
            Ok(Reply::Published(answers)) => answers,
            Ok(Reply::Overloaded(why)) => refused(why),
            _ => refused("the engine stopped"),
        }
    }
}
