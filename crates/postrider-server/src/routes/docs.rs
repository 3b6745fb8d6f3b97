//! `/docs`: the reference of the API for people. Swagger UI makes it in the browser from `/openapi.json`; all that it needs is
//! in the program.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::{HeaderValue, header};
use utoipa_swagger_ui::Config;

use crate::problem::Problem;

/// Own origin alone, nothing inline, in nobody's frame. The style sheet has its icons as `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page asks for of Swagger UI's files, and as what; the rest of them is not served.
const ASSETS: [(&str, &str); 4] = [
    ("swagger-ui-bundle.js", JAVASCRIPT),
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("index.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Settings of a page that is not served; ours are in `start.js`.
static NO_CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("")));

/// The page.
pub(super) async fn page() -> Response {
    let page = Body::from(include_str!("docs/index.html"));
    answer(page, "text/html; charset=utf-8", "no-cache")
}

/// A file that the page asks for.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    if name == "start.js" {
        return Ok(answer(Body::from(include_str!("docs/start.js")), JAVASCRIPT, "no-cache"));
    }
    let missing = || Problem::not_found("the file");
    let (name, kind) = ASSETS.into_iter().find(|(known, _)| *known == name).ok_or_else(missing)?;
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&NO_CONFIG)).ok().flatten().ok_or_else(missing)?;
    let bytes: Cow<'static, [u8]> = file.bytes;
    let mut response = answer(Body::from(bytes), kind, "max-age=3600");
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn answer(body: Body, kind: &'static str, keep: &'static str) -> Response {
    let mut response = Response::new(body);
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, keep),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
