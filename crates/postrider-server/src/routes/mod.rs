//! One file a resource; each handler stands under the description that goes into the OpenAPI document.

mod deliveries;
mod docs;
mod endpoints;
mod event_types;
mod events;
mod feed;
mod health;
mod lookup;
mod overview;
pub(crate) mod path;
mod replays;
mod stats;
mod subjects;
mod tenants;
mod tokens;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::openapi::ApiDoc;
use crate::schema;

#[cfg(feature = "fuzzing")]
pub(crate) use events::idempotency_key;

/// Every route with its description.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(events::publish))
        .routes(routes!(event_types::list))
        .routes(routes!(event_types::put, event_types::get, event_types::delete))
        .routes(routes!(subjects::put, subjects::get, subjects::delete))
        .routes(routes!(lookup::list))
        .routes(routes!(lookup::get))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::put, tenants::get, tenants::delete))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::delete))
        .routes(routes!(endpoints::create, endpoints::list))
        .routes(routes!(endpoints::get, endpoints::put, endpoints::patch, endpoints::delete))
        .routes(routes!(endpoints::find_matches))
        .routes(routes!(endpoints::secret))
        .routes(routes!(endpoints::rotate))
        .routes(routes!(endpoints::challenge))
        .routes(routes!(endpoints::test))
        .routes(routes!(replays::create, replays::list))
        .routes(routes!(replays::get, replays::cancel))
        .routes(routes!(feed::read))
        .routes(routes!(stats::get))
        .routes(routes!(overview::endpoints))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::list_all))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::openapi))
        // Pages for people: no part of what the document describes.
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
}

/// An answer of JSON text.
pub(crate) fn json_text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of a value as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_text(status, body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer without anything in it.
pub(crate) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A page of a list.
#[derive(Serialize, utoipa::ToSchema)]
struct Page<T> {
    /// The entries, in the order of the list. May be fewer than `limit` although there is a next page.
    #[schema(max_items = 250)]
    data: Vec<T>,
    /// Where the next page begins; null at the end.
    #[schema(required, value_type = Option<schema::Cursor>)]
    next_cursor: Option<String>,
}

/// An answer that holds a secret, which nothing on its way may keep.
pub(crate) fn secret_json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let mut response = json(status, value);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
