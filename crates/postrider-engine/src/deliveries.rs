//! What people do to single deliveries: try one again, withdraw one.

use postrider_core::id::{IdKind, PublicId, TenantNo};
use postrider_core::node::{CHANGING, Input, Reply, Wanted};
use postrider_core::record::Status;
use postrider_store::LogRow;

use crate::Engine;
use crate::driver::{RETRY_AFTER, done};
use crate::error::ServiceError;
use crate::reading::For;

/// How often a delivery is read again that changed between reading and asking.
const TRIES: u32 = 20;

impl Engine {
    /// Brings a pending delivery's next attempt forward, or starts a new run of one that has ended.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Conflict`] where its endpoint or its ordering key does not allow it.
    pub async fn retry_delivery(&self, tenant: TenantNo, id: &str) -> Result<(), ServiceError> {
        self.ask_for(tenant, id, |wanted, asker| Input::Retry(Box::new(wanted), asker), |_| Ok(())).await
    }

    /// Withdraws a pending delivery.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or [`ServiceError::Conflict`] if it has ended or is being attempted.
    pub async fn cancel_delivery(&self, tenant: TenantNo, id: &str) -> Result<(), ServiceError> {
        let pending = |row: &LogRow| match row.status {
            Status::Pending => Ok(()),
            ended => Err(ServiceError::Conflict(format!(
                "the delivery {} {}: only a pending one can be cancelled",
                if matches!(ended, Status::Succeeded | Status::Failed) { "has" } else { "is" },
                ended.as_str()
            ))),
        };
        self.ask_for(tenant, id, |wanted, asker| Input::Cancel(Box::new(wanted), asker), pending).await
    }

    async fn ask_for(
        &self,
        tenant: TenantNo,
        id: &str,
        input: impl Fn(Wanted, crate::driver::Asker) -> Input<crate::driver::Asker>,
        check: impl Fn(&LogRow) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let id = PublicId::parse(IdKind::Delivery, id).map_err(|_| ServiceError::NotFound("the delivery"))?;
        for _ in 0..TRIES {
            let as_of = self.store().committed();
            let position = id.position;
            let entry = self.read(For::Page(Some(tenant)), move |store| store.delivery(position)).await?;
            let row = entry
                .map(|entry| entry.row)
                .filter(|row| row.delivery.tenant == tenant && row.event.delivery_id(position) == id)
                .ok_or(ServiceError::NotFound("the delivery"))?;
            check(&row)?;
            let wanted = Wanted {
                delivery: row.delivery,
                event: row.event,
                progress: row.progress,
                place: row.place,
                as_of,
            };
            match self.driver().ask(|asker| input(wanted, asker)).await? {
                Reply::Conflict(CHANGING) => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
                reply => return done(reply),
            }
        }
        Err(ServiceError::Overloaded { reason: CHANGING.to_owned(), retry_after: RETRY_AFTER })
    }
}
