//! The management APIs of the platforms, as their partners know them: one file or folder a platform, each a translation
//! between that API and the service functions that `/v1` calls too.
//!
//! A surface says what its form can say, and loses nothing: what an endpoint has beside it stays as it is. Fields that it does
//! not know are passed over, as its partners expect.

mod change;
mod fourpay;
mod history;
mod ids;
mod partner;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;

use crate::app::{App, no_such_method, no_such_path};
use crate::problem::{Form, WrittenAs};

/// The management API of one platform.
#[derive(Clone, Copy)]
pub struct Surface {
    name: &'static str,
    routes: fn() -> OpenApiRouter<App>,
    form: Form,
}

/// All of them, by name. That of a surface is that of its profile.
const ALL: [Surface; 1] = [Surface { name: fourpay::NAME, routes: fourpay::routes, form: fourpay::written }];

impl Surface {
    /// The one of that name.
    ///
    /// ```
    /// use postrider_server::Surface;
    /// assert!(Surface::named("fourpay").is_some());
    /// assert!(Surface::named("standard").is_none());
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|surface| surface.name == name)
    }

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|surface| surface.name)
    }

    /// Its routes; whatever goes wrong under them is told in its form. Its OpenAPI document is at `/openapi.json` among them.
    pub(crate) fn router(self) -> Router<App> {
        let (router, document) = (self.routes)().split_for_parts();
        let document = document.to_json().unwrap_or_default();
        let written_as = WrittenAs(self.form);
        router
            .route(
                "/openapi.json",
                axum::routing::get(async move || {
                    crate::routes::json_text(http::StatusCode::OK, document.clone())
                }),
            )
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn(move |request: Request, next: Next| async move {
                let mut response: Response = next.run(request).await;
                response.extensions_mut().insert(written_as);
                response
            }))
    }
}

/// The routes of `/v1`, and beside them those of each surface under its name.
pub(crate) fn mounted(native: Router<App>) -> Router<App> {
    ALL.into_iter().fold(native, |router, surface| {
        router.nest(&format!("/{}", surface.name), surface.router().fallback(no_such_path))
    })
}
