//! Telling the operator that stored credentials went along to another host, where a platform's partners expect them to.

use postrider_core::publication::Publication;
use postrider_core::tenant::OPERATOR;
use serde_json::json;

use crate::Engine;
use crate::directory::{Endpoint, Tenant};

/// The type of the operational event.
const MOVED: &str = "endpoint.moved";

impl Engine {
    /// Publishes an operational event: the URL of an endpoint leads to another host now, and its credentials with it. It holds
    /// hosts and ports alone, since the rest of a URL may be secret.
    pub async fn tell_moved(&self, tenant: &Tenant, endpoint: &Endpoint, from: &str, to: &str) {
        let Some(operator) = self.tenant_no(OPERATOR) else { return };
        let host = |url: &str| {
            url.parse::<http::Uri>()
                .ok()
                .and_then(|url| url.authority().map(ToString::to_string))
                .unwrap_or_default()
        };
        let (tenant, endpoint_id, version) = (tenant.id.as_str(), endpoint.id.as_str(), endpoint.version);
        let data = json!({
            "tenant": tenant, "endpoint": endpoint_id, "from_host": host(from), "to_host": host(to), "version": version,
        });
        let event = Publication {
            tenant: operator,
            entitled: true,
            event_type: MOVED.into(),
            own_id: Some(format!("moved_{}_{version}", endpoint.no.0).into()),
            key: Some(format!("{tenant}/{endpoint_id}").into()),
            subject: None,
            expires_at: None,
            attributes: json!({"tenant": tenant, "endpoint": endpoint_id}).to_string().into(),
            occurred_at: Some(endpoint.updated_at),
            data: data.to_string().into(),
            idempotency: None,
            body: None,
            unfit: Vec::new(),
            judged: None,
        };
        for answer in self.publish(vec![event]).await {
            if let Err(refusal) = answer {
                tracing::error!(tenant, endpoint = endpoint_id, %refusal, "the operator cannot be told that an endpoint moved");
            }
        }
        tracing::info!(
            tenant,
            endpoint = endpoint_id,
            "an endpoint moved to another host, its credentials with it"
        );
    }
}
