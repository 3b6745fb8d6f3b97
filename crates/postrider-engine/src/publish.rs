//! Publishing: events in, receipts out when they are durable.

use std::sync::atomic::Ordering;

use postrider_core::node::{Input, Reply};
use postrider_core::publication::{Publication, Receipt, Refusal};

use crate::Engine;
use crate::slice::Slice;

impl Engine {
    /// Accepts events. The answers come in the order of the items, when everything that is accepted is durable.
    ///
    /// Each passes the card guard first: nothing that it refuses or hides is queued or stored. Then it is judged by what its tenant
    /// may have, and by filters, which could not be done in the node without keeping everybody waiting.
    pub async fn publish(&self, items: Vec<Publication>) -> Vec<Result<Receipt, Refusal>> {
        let mut slice = Slice::begin();
        let (mut items, refused) = self.guard(items, &mut slice).await;
        for item in &mut items {
            item.entitled = self.is_entitled(item.tenant, &item.event_type);
        }
        self.judge(&mut items, &mut slice).await;
        let mut answers = if items.is_empty() { Vec::new() } else { self.accept(items).await };
        // In ascending order, so that each comes to stand where it was.
        for (index, faults) in refused {
            answers.insert(index, Err(Refusal::CardData(faults)));
        }
        answers
    }

    async fn accept(&self, items: Vec<Publication>) -> Vec<Result<Receipt, Refusal>> {
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
