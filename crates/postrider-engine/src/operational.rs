//! Tells the operator: what lies in the outbox becomes events of the operator's own tenant, by the way of every other event.
//!
//! An event's id follows from its place in the outbox, so what is published again after a crash is still one event. What
//! cannot be read is set aside with its fault, and what is behind it goes on.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::TenantNo;
use postrider_core::node::Change;
use postrider_core::operational::{Notice, ReplayNotice};
use postrider_core::publication::{Publication, Refusal};
use postrider_core::record::{Edit, KeyHash};
use postrider_core::time::Timestamp;
use postrider_store::{NoticePage, Store, StoreError, StoredNotice};
use serde_json::{Map, Value, json};

use crate::driver::Supervised;
use crate::{Engine, OPERATOR};

/// Notices that are published at once.
const BATCH: usize = 64;
/// Between two looks into the outbox: what is told leaves the way free for what is published.
const PAUSE: Duration = Duration::from_millis(50);
/// How long until what could not be told is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Runs until the engine stops.
pub(crate) async fn run(engine: Engine) {
    let shared = engine.driver().0.clone();
    let _supervised = Supervised { name: "operational events", shared: shared.clone() };
    tokio::select! {
        () = tell_all(&engine) => {}
        // Whoever waits for a commit by then waits for ever.
        () = shared.teller_stop.notified() => {}
    }
}

async fn tell_all(engine: &Engine) {
    let shared = &engine.driver().0;
    loop {
        let until = {
            let mut machine = shared.machine.lock();
            machine.teller_until = Timestamp::FAR_FUTURE;
            machine.node.notices_until(shared.clock.now())
        };
        let wait = match engine.read_in_background(move |store| Due::read(store, until)).await {
            Ok(due) if due.notices.is_empty() => {
                shared.machine.lock().teller_until = due.next;
                due.next.since(shared.clock.now())
            }
            Ok(due) => {
                if engine.tell(due.notices).await {
                    Duration::ZERO
                } else {
                    TRY_AGAIN
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox could not be read; trying again");
                TRY_AGAIN
            }
        };
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.teller_wake.notified() => {}
        }
    }
}

/// What is to be told now, and when the next is due.
struct Due {
    notices: Vec<(StoredNotice, Result<Told, String>)>,
    next: Timestamp,
}

/// A notice, and the id of the delivery that it names.
struct Told {
    notice: Notice,
    delivery: Option<String>,
}

impl Due {
    fn read(store: &dyn Store, until: Timestamp) -> Result<Self, StoreError> {
        let NoticePage { notices, next } = store.notices(until, BATCH)?;
        let notices = notices.into_iter().map(|row| {
            let told = Notice::from_stored(&row.doc)
                .map(|notice| Told { delivery: delivery_id(store, &notice), notice });
            (row, told)
        });
        let notices = notices.collect();
        Ok(Self { notices, next: next.unwrap_or(Timestamp::FAR_FUTURE) })
    }
}

/// `None` for one that is not kept any more, or cannot be read.
fn delivery_id(store: &dyn Store, notice: &Notice) -> Option<String> {
    let position = notice.delivery?;
    let entry = store.delivery(position).ok()??;
    Some(entry.row.event.delivery_id(position).to_string())
}

impl Engine {
    /// Publishes notices, and removes what is durable as an event from the outbox. Says whether all of them went.
    async fn tell(&self, due: Vec<(StoredNotice, Result<Told, String>)>) -> bool {
        let Some(operator) = self.tenant_no(OPERATOR) else { return false };
        let (count, mut rows, mut events, mut edits) = (due.len(), Vec::new(), Vec::new(), Vec::new());
        for (row, told) in due {
            match told {
                Ok(told) => {
                    events.push(self.operational_event(operator, &row, &told));
                    rows.push(row);
                }
                Err(fault) => edits.push(set_aside(&row, &fault)),
            }
        }
        let answers = if events.is_empty() { Vec::new() } else { self.publish(events).await };
        for (row, answer) in rows.iter().zip(answers) {
            match answer {
                Ok(_) => edits.push(Edit::RemoveNotice { due: row.due, position: row.position }),
                Err(Refusal::Conflict(why)) => edits.push(set_aside(row, why)),
                // Names and reasons hold none: whoever made it is at fault.
                Err(refusal @ (Refusal::CardData(_) | Refusal::Unfit(_))) => {
                    edits.push(set_aside(row, &refusal.to_string()))
                }
                // There will be room later.
                Err(Refusal::Overloaded(_) | Refusal::OverQuota { .. }) => {}
            }
        }
        let all = edits.len() == count;
        let changes: Vec<_> = edits.into_iter().map(|edit| Change { edit, policy: None }).collect();
        !changes.is_empty() && self.driver().edit(changes).await.is_ok() && all
    }

    fn operational_event(&self, operator: TenantNo, row: &StoredNotice, told: &Told) -> Publication {
        let Told { notice, delivery } = told;
        let tenant = notice.tenant.and_then(|no| self.directory().tenant_by_no(no));
        let tenant = tenant.as_ref().map(|tenant| tenant.id.as_str());
        let endpoint = notice.endpoint.and_then(|no| self.directory().endpoint_id(no));
        let endpoint = endpoint.as_ref().map(|id| id.as_str());
        let key = tenant.zip(endpoint).map(|(tenant, endpoint)| format!("{tenant}/{endpoint}").into());
        Publication {
            tenant: operator,
            entitled: true,
            event_type: notice.kind.as_str().into(),
            own_id: Some(notice.event_id(row.position).into()),
            key,
            subject: None,
            expires_at: None,
            attributes: attributes(tenant, endpoint),
            occurred_at: Some(notice.until),
            data: data(notice, tenant, endpoint, delivery.as_deref()),
            idempotency: None,
            // The names may be others when it is published again, the notice is the same.
            body: Some(KeyHash::body(&row.doc)),
            unfit: Vec::new(),
            judged: None,
        }
    }
}

fn set_aside(row: &StoredNotice, fault: &str) -> Edit {
    tracing::error!(place = row.position.0, fault, "an operational event cannot be told; it is set aside");
    Edit::SetNoticeAside { due: row.due, position: row.position, fault: fault.into() }
}

fn attributes(tenant: Option<&str>, endpoint: Option<&str>) -> Bytes {
    let named = [("tenant", tenant), ("endpoint", endpoint)];
    let named = named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), json!(id?))));
    let named: Map<String, Value> = named.collect();
    if named.is_empty() { Bytes::new() } else { Value::Object(named).to_string().into() }
}

fn data(notice: &Notice, tenant: Option<&str>, endpoint: Option<&str>, delivery: Option<&str>) -> Bytes {
    let mut data = json!({
        "tenant": tenant,
        "endpoint": endpoint,
        "reason": notice.reason,
        "count": notice.count,
        "since": notice.since.rfc3339(),
        "until": notice.until.rfc3339(),
    });
    if notice.delivery.is_some() {
        data["delivery"] = json!(delivery);
    }
    if let Some(ReplayNotice { id, state, matched, done, skipped, expired }) = &notice.replay {
        data["replay"] = json!({
            "id": id, "state": state, "matched": matched, "done": done, "skipped": skipped, "expired": expired,
        });
    }
    data.to_string().into()
}
