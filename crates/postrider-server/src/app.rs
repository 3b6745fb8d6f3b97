//! The whole service: every request gets an id, and every problem is written in one place.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use postrider_engine::Engine;
use tokio::net::TcpListener;
use tower_service::Service as _;

use crate::auth::{API_KEY, Peer, bearer};
use crate::connection::{ServerConfig, serve_with};
use crate::guesses::Guesses;
use crate::problem::{Kind, Problem, WrittenAs};
use crate::surfaces::{self, Surface};
use crate::{request_id, routes};

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    metrics: Option<PrometheusHandle>,
    stopping: Arc<AtomicBool>,
}

impl App {
    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Whether the server finishes what is under way: nobody is kept waiting any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.0.metrics.as_ref()
    }
}

/// Serves the native API on a listener until `shutdown` is ready; then finishes the requests under way.
///
/// `metrics` is what `/metrics` shows; without it that path answers 404. `surface` is the platform that the server stands in
/// for: its management API is found at `/` too.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    metrics: Option<PrometheusHandle>,
    surface: Option<Surface>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    let workers = engine.workers().clone();
    let app = App(Arc::new(Inner { engine, metrics, stopping: Arc::clone(&stopping) }));
    let service = Service::new(app, surface);
    let shutdown = async move {
        shutdown.await;
        stopping.store(true, Ordering::Relaxed);
    };
    let answer = move |peer, request| service.clone().answer(peer, request);
    serve_with(listener, &workers, answer, config, shutdown).await
}

/// Answers requests, each with its id.
#[derive(Clone)]
struct Service {
    router: Router,
    app: App,
    guesses: Arc<Guesses>,
}

impl Service {
    fn new(app: App, surface: Option<Surface>) -> Self {
        let native = routes::router().split_for_parts().0;
        let native =
            surfaces::mounted(native).fallback(no_such_path).method_not_allowed_fallback(no_such_method);
        let router = match surface {
            // What the platform's API has comes first, all the rest is as everywhere.
            Some(surface) => surface.router().fallback_service(native.with_state(app.clone())),
            None => native,
        };
        Self { router: router.with_state(app.clone()), app, guesses: Arc::default() }
    }

    async fn answer(mut self, peer: IpAddr, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(Peer(peer));
        let id = request_id::of(request.headers());
        let with_token = self.is_guess(request.headers());
        let mut response = match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let written_as = response.extensions_mut().remove::<WrittenAs>();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            let wrong_token = problem.kind() == Kind::Unauthorized && (with_token || problem.is_guess());
            let problem = if wrong_token { self.wrong_token(peer, problem) } else { problem };
            let rendered = match written_as {
                Some(WrittenAs(form)) => problem.render_as(form),
                None => problem.render(id.to_str().unwrap_or("-")),
            };
            // What routing had to say (`Allow`) stays.
            let mut headers = std::mem::take(response.headers_mut());
            headers.remove(header::CONTENT_LENGTH);
            headers.extend(rendered.headers().clone());
            response = rendered;
            *response.headers_mut() = headers;
        }
        response.headers_mut().insert(request_id::HEADER, id);
        response
    }

    /// Whether a request brings something that may be a guess, should it be none that is valid.
    fn is_guess(&self, headers: &HeaderMap) -> bool {
        let given = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let is_over = |value: &[u8]| {
            let text = std::str::from_utf8(bearer(value).map_or(value, str::as_bytes));
            text.is_ok_and(|text| self.app.engine().is_access_token(text))
        };
        match given(header::AUTHORIZATION.as_str()) {
            Some(value) => !is_over(value),
            None => given("x-api-token").or_else(|| given(API_KEY)).is_some(),
        }
    }

    /// What whoever sent a wrong token is told.
    fn wrong_token(&self, peer: IpAddr, problem: Problem) -> Problem {
        match self.guesses.note(peer) {
            Ok(()) => problem,
            Err(wait) => {
                Problem::too_many("too many wrong tokens come from this address: wait a little", wait)
            }
        }
    }
}

pub(crate) async fn no_such_path() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path; see /openapi.json")
}

/// The router adds `Allow`, which is all that OPTIONS asks for (RFC 9110, section 9.3.7).
pub(crate) async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Kind::MethodNotAllowed, "see the Allow header for what this path takes").into_response()
}
