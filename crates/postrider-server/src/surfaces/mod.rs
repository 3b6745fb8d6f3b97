//! The management APIs of the platforms, as their partners know them: one file or folder a platform, each a translation
//! between that API and the service functions that `/v1` calls too.
//!
//! A surface says what its form can say, and loses nothing: what an endpoint has beside it stays as it is. Fields that it does
//! not know are passed over, as its partners expect.

mod change;
mod clevercards;
mod fourpay;
mod history;
mod ids;
mod mcards;
mod opencard;
mod partner;
mod penny;
mod seen;
mod told;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;

use crate::app::{App, no_such_method, no_such_path};
use crate::problem::{Form, WrittenAs};
use crate::routes::json_text;

/// The management API of one platform.
#[derive(Clone, Copy)]
pub struct Surface {
    name: &'static str,
    routes: fn() -> OpenApiRouter<App>,
    form: Form,
}

/// All of them, by name. That of a surface is that of its profile.
const ALL: [Surface; 5] = [
    Surface { name: clevercards::NAME, routes: clevercards::routes, form: clevercards::written },
    Surface { name: fourpay::NAME, routes: fourpay::routes, form: fourpay::written },
    Surface { name: mcards::NAME, routes: mcards::routes, form: mcards::written },
    Surface { name: opencard::NAME, routes: opencard::routes, form: opencard::written },
    Surface { name: penny::NAME, routes: penny::routes, form: penny::written },
];

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

    /// Its routes; whatever goes wrong under them is told in its form.
    pub(crate) fn router(self) -> Router<App> {
        let written_as = WrittenAs(self.form);
        (self.routes)().split_for_parts().0.method_not_allowed_fallback(no_such_method).layer(
            middleware::from_fn(move |request: Request, next: Next| async move {
                let mut response: Response = next.run(request).await;
                response.extensions_mut().insert(written_as);
                response
            }),
        )
    }

    /// Its OpenAPI document, as JSON.
    fn document(self) -> String {
        (self.routes)().split_for_parts().1.to_json().unwrap_or_default()
    }
}

/// The routes of `/v1`, and beside them those of each surface under its name, with its document at `/{name}/openapi.json`.
pub(crate) fn mounted(native: Router<App>) -> Router<App> {
    ALL.into_iter().fold(native, |router, surface| {
        let nothing_there = async move || {
            let mut response = no_such_path().await.into_response();
            response.extensions_mut().insert(WrittenAs(surface.form));
            response
        };
        let document = surface.document();
        let document = get(async move || json_text(StatusCode::OK, document.clone()));
        let under = surface.router().route("/openapi.json", document).fallback(nothing_there);
        router.nest(&format!("/{}", surface.name), under)
    })
}
