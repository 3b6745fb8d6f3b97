//! The partners' side: a receiver that verifies every delivery as `postrider receiver` does, and fails now and then.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use postrider_core::endpoint::Auth;
use postrider_core::profile::Profile;
use postrider_core::secret::Secret;
use tokio::net::TcpListener;

use super::cast::{CAST, PASSWORD, USER};
use super::ledger::{Arrival, Ledger, Verdict};
use crate::receiver::{Partner, now};

/// A request's body is no larger.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a busy endpoint asks to wait, in seconds.
const BUSY_S: &str = "1";

/// The receiver's state.
#[derive(Debug)]
pub(super) struct Receiver {
    ledger: Ledger,
    /// What each endpoint's partner checks, once its secret is known.
    partners: [OnceLock<Partner>; CAST.len()],
}

impl Receiver {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(super) async fn start(seconds: f64) -> anyhow::Result<(Arc<Self>, SocketAddr)> {
        let receiver = Arc::new(Self {
            ledger: Ledger::new(seconds),
            partners: std::array::from_fn(|_| OnceLock::new()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the receiver cannot listen")?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/{endpoint}", post(receive))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(receiver.clone());
        // It ends with the process. Should it end before, deliveries fail and the summary does not add up.
        drop(tokio::spawn(async move { axum::serve(listener, app).await }));
        Ok((receiver, address))
    }

    /// What it saw.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Tells it the secret of an endpoint (`whsec_` and base64).
    ///
    /// # Errors
    /// When the secret has another form.
    pub(super) fn trust(&self, endpoint: usize, secret: &str) -> anyhow::Result<()> {
        let auth = if CAST[endpoint].basic {
            Auth::Basic { username: USER.into(), password: Secret::new(PASSWORD) }
        } else {
            Auth::None
        };
        let partner = Partner::new(Arc::clone(Profile::standard()), Some(Secret::new(secret)), auth);
        // Set once, when the endpoint is made.
        let _ = self.partners[endpoint].set(partner.map_err(|detail| anyhow!("the secret {detail}"))?);
        Ok(())
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    Path(endpoint): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(partner) = receiver.partners.get(endpoint).and_then(OnceLock::get) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let received = partner.received(&headers, &body, now());
    let arrival = Arrival {
        id: received.event_id.as_deref().unwrap_or_default(),
        sequence: received.sequence.unwrap_or(0),
        signed: received.faults.is_empty(),
        known: partner.knows(&headers),
        body: &body,
    };
    match receiver.ledger.arrive(endpoint, &arrival) {
        Verdict::Taken => StatusCode::OK.into_response(),
        Verdict::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "out of order, try again").into_response(),
        Verdict::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, BUSY_S)], "busy").into_response()
        }
        Verdict::Down => (StatusCode::BAD_GATEWAY, "nobody is home").into_response(),
        Verdict::Unwelcome => StatusCode::UNAUTHORIZED.into_response(),
    }
}
