//! The partners' side: a receiver that verifies every signature with code of its own, and fails now and then.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;

use super::cast::{CAST, PASSWORD, USER};
use super::ledger::{Arrival, Ledger, Verdict};

/// A timestamp may be this far from now, in seconds (the Standard Webhooks libraries use the same).
const TOLERANCE_S: u64 = 300;
/// A request's body is no larger.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a busy endpoint asks to wait, in seconds.
const BUSY_S: &str = "1";

/// The receiver's state.
#[derive(Debug)]
pub(super) struct Receiver {
    ledger: Ledger,
    /// The signing secret of each endpoint, once it is known.
    keys: [OnceLock<hmac::Key>; CAST.len()],
}

impl Receiver {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(super) async fn start(seconds: f64) -> anyhow::Result<(Arc<Self>, SocketAddr)> {
        let receiver =
            Arc::new(Self { ledger: Ledger::new(seconds), keys: std::array::from_fn(|_| OnceLock::new()) });
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
        let bytes = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
        let bytes = bytes.context("a signing secret must be whsec_ and base64")?;
        // Set once, when the endpoint is made.
        let _ = self.keys[endpoint].set(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        Ok(())
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    Path(endpoint): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((part, key)) = CAST.get(endpoint).zip(receiver.keys.get(endpoint).and_then(OnceLock::get))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let arrival = Arrival {
        id: text(&headers, "webhook-id"),
        sequence: text(&headers, "webhook-sequence").parse().unwrap_or(0),
        signed: verifies(key, &headers, &body, now),
        known: !part.basic || authorized(&headers),
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

/// Whether one of the signatures is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, made lately
/// (Standard Webhooks specification, "Verifying signatures"). `now` is in seconds since 1970.
fn verifies(key: &hmac::Key, headers: &HeaderMap, body: &[u8], now: u64) -> bool {
    let (id, timestamp) = (text(headers, "webhook-id"), text(headers, "webhook-timestamp"));
    if !timestamp.parse::<u64>().is_ok_and(|made| made.abs_diff(now) <= TOLERANCE_S) {
        return false;
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    text(headers, "webhook-signature")
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .any(|tag| hmac::verify(key, &signed, &tag).is_ok())
}

fn authorized(headers: &HeaderMap) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

/// A header's value; empty when it is absent or not text.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> &'a str {
    headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks reference libraries.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const MADE: u64 = 1_614_265_330;

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        headers.insert("webhook-timestamp", MADE.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn a_signature_holds_for_its_own_content_and_time_alone() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).unwrap());
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(verifies(&key, &headers(good), BODY, MADE + 10));
        let two = headers(&format!("v1,AAAA v1a,{} {good}", &good[3..]));
        assert!(verifies(&key, &two, BODY, MADE), "one of several is enough");
        assert!(!verifies(&key, &headers(good), br#"{"test":2432232314}"#, MADE));
        assert!(!verifies(&key, &headers(good), BODY, MADE + TOLERANCE_S + 1));
        assert!(!verifies(&key, &headers(""), BODY, MADE));
        assert!(!verifies(&key, &HeaderMap::new(), BODY, MADE));
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"another");
        assert!(!verifies(&other, &headers(good), BODY, MADE));
    }
}
