//! The card guard at every door: events before they are queued, what is configured before it is stored, and what receivers
//! answer before it is kept. What counts as card data is the core's to say.

use bytes::Bytes;
use http::HeaderMap;
use postrider_core::card;
use postrider_core::fault::Fault;
use postrider_core::id::TenantNo;
use postrider_core::publication::Publication;

use crate::Engine;
use crate::slice::Slice;

/// Said of a name that would stand in logs, addresses and on screens.
const NAME: &str = "holds what looks like a card number; give it another name";

impl Engine {
    /// Takes out the events that their tenants' policies refuse, with their indices and faults, in order. In the others what
    /// the policies say is hidden or gone.
    pub(crate) async fn guard(
        &self,
        items: Vec<Publication>,
        slice: &mut Slice,
    ) -> (Vec<Publication>, Vec<(usize, Vec<Fault>)>) {
        let (mut admitted, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, mut item) in items.into_iter().enumerate() {
            match self.admit(&mut item) {
                Ok(()) => admitted.push(item),
                Err(faults) => refused.push((index, faults)),
            }
            slice.pause().await;
        }
        (admitted, refused)
    }

    /// The faults for which a tenant's policy refuses an event, if it does.
    pub fn refused_card_data(&self, item: &Publication) -> Option<Vec<Fault>> {
        if !card::is_suspicious(item) {
            return None;
        }
        let tenant = self.directory().tenant_by_no(item.tenant)?;
        tenant.cards.admit(&mut item.clone()).err()
    }

    fn admit(&self, item: &mut Publication) -> Result<(), Vec<Fault>> {
        if !card::is_suspicious(item) {
            return Ok(());
        }
        // A tenant that was removed a moment ago has no policy any more.
        let tenant = self.directory().tenant_by_no(item.tenant);
        let (policy, id) = match &tenant {
            Some(tenant) => (&tenant.cards, tenant.id.as_str()),
            None => (&self.config().cards, ""),
        };
        match policy.admit(item) {
            Ok(true) => {
                // What stays must not tell the digits that were hidden.
                item.body = item.body.map(|_| item.fingerprint(id));
                metrics::counter!("postrider_card_data_total", "result" => "hidden").increment(1);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(faults) => {
                metrics::counter!("postrider_card_data_total", "result" => "refused").increment(1);
                Err(faults)
            }
        }
    }

    /// Whether a tenant's policy refuses a text that stands for an event of a type, such as an idempotency key. It is judged
    /// like the event's own id.
    pub fn refuses_event_name(&self, tenant: TenantNo, event_type: &str, text: &str) -> bool {
        card::holds_number(text)
            && self
                .directory()
                .tenant_by_no(tenant)
                .is_some_and(|tenant| tenant.cards.refuses(event_type, "id", text))
    }
}

/// The fault of a name, if it holds a card number.
pub(crate) fn fault_of_name(pointer: &str, name: &str) -> Option<Fault> {
    card::holds_number(name).then(|| Fault::new(pointer, NAME))
}

/// What is kept of an answer's headers.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Vec<(Box<str>, Bytes)> {
    let kept = |bytes: &[u8]| card::mask_header(bytes).unwrap_or_else(|| Bytes::copy_from_slice(bytes));
    headers
        .iter()
        .map(|(name, value)| {
            let name = kept(name.as_str().as_bytes());
            (String::from_utf8_lossy(&name).into(), kept(value.as_bytes()))
        })
        .collect()
}

/// What is kept of an answer's body. `is_cut`: there was more of it.
pub(crate) fn kept_body(body: Bytes, is_cut: bool) -> Bytes {
    card::mask_body(&body, is_cut).unwrap_or(body)
}
