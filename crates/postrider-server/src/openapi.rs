//! The OpenAPI document, made from the handlers and their types. The copy in the crate's folder is for review: a change
//! of the API shows as a change of that file.

use std::sync::LazyLock;

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes;

/// What is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Postrider",
        description = "Delivers events to partners' endpoints: durable when acknowledged, at least once, in order where \
                       asked for. Times are RFC 3339, UTC, with milliseconds. Errors are RFC 9457 problem documents \
                       that list all bad fields at once. Unknown fields and parameters are errors.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("token" = [])),
    modifiers(&Token),
)]
pub(crate) struct ApiDoc;

/// `Authorization: Bearer <token>`.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document.
pub fn document() -> Document {
    routes::router().split_for_parts().1
}

/// The document as JSON.
pub(crate) fn text() -> &'static str {
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renew the copy with `POSTRIDER_BLESS=1 cargo test -p postrider-server openapi`.
    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        if std::env::var_os("POSTRIDER_BLESS").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == text(), "the API has changed; see the comment above this test");
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_a_tag_and_answers() {
        let document: serde_json::Value = serde_json::from_str(text()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut ids = std::collections::BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["tags"].is_array(), "{method} {path}");
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
                assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            }
        }
    }
}
