//! Operational events, published as a driver does it.

use postrider_core::id::Position;
use postrider_core::node::{Change, Input, Reply};
use postrider_core::operational::Notice;
use postrider_core::publication::Publication;
use postrider_core::record::{Edit, KeyHash};

use super::{Due, World, event, ms, secs};
use crate::guarantee::Guarantee;
use crate::situation::Situation;

impl World {
    /// As a driver does it: what is due is published under its own id, and removed when that is answered.
    pub(super) fn publish_notices(&mut self) {
        let Some(operator) = self.operator else { return };
        if let Some((call, rows)) = self.telling.take() {
            match self.replies.remove(&call) {
                None => self.telling = Some((call, rows)),
                Some(Reply::Published(answers)) => {
                    self.saw(Situation::ToldTheOperator);
                    let told = rows.into_iter().zip(answers).filter(|(_, answer)| answer.is_ok());
                    let remove = |((due, position), _)| Edit::RemoveNotice { due, position };
                    let changes = told.map(remove).map(|edit| Change { edit, policy: None }).collect();
                    let call = self.call();
                    self.input(Input::Edit(changes, call));
                }
                Some(_) => {}
            }
        } else if self.open.is_empty() {
            // Nothing of before is on its way: what is there was not removed yet.
            let until = self.node.notices_until(self.now);
            let due = self.store.notices.range(..=(until, Position::MAX)).take(5);
            let due: Vec<_> = due.map(|(place, doc)| (*place, doc.clone())).collect();
            if !due.is_empty() {
                let items = due.iter().map(|((_, position), doc)| {
                    let Ok(notice) = Notice::from_stored(doc) else {
                        self.fail(Guarantee::Told, "a notice that cannot be read")
                    };
                    Publication {
                        tenant: operator,
                        event_type: notice.kind.as_str().into(),
                        own_id: Some(notice.event_id(*position).into()),
                        data: doc.clone(),
                        body: Some(KeyHash::body(doc)),
                        ..event(None)
                    }
                });
                let items = items.collect();
                let call = self.publish(items);
                self.telling = Some((call, due.into_iter().map(|(place, _)| place).collect()));
            }
        }
        let busy = self.telling.is_some() || !self.open.is_empty();
        let next = self.store.notices.keys().next().map(|(due, _)| due.since(self.now));
        let wait = if busy { ms(20) } else { next.unwrap_or(secs(1)).max(ms(20)).min(secs(1)) };
        self.at(wait, Due::Notices);
    }
}
