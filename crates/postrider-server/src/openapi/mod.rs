//! The OpenAPI document, made from the handlers and their types. The copy in the crate's folder is for review: a change
//! of the API shows as a change of that file.

mod answers;
mod webhooks;

use std::sync::LazyLock;

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

pub(crate) use self::answers::Overloaded;
use crate::routes;

/// The name of the one way to authenticate.
const TOKEN: &str = "token";

/// What is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Postrider",
        description = include_str!("introduction.md"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "The server that this document comes from")),
    tags(
        (name = "events", description = "Publishing what happened, and looking it up."),
        (name = "event types", description = "The catalogue: what there is to subscribe to, what its data looks like. Changed by operators, \
            read by anybody with a token."),
        (name = "subjects", description = "Whose a card or account is, so that an event can be published by what it is about. For \
            operators."),
        (name = "endpoints", description = "The webhooks of a tenant: where its deliveries go, which, and how; what each of them \
            is owed, and how it fares."),
        (name = "replays", description = "Delivering many again: what did not arrive in a range of time or of sequence numbers, as a job."),
        (name = "deliveries", description = "The log: one delivery for each event and endpoint that subscribed, with every attempt."),
        (name = "tenants", description = "Whoever owns webhooks: merchants, partners, programs. For operators."),
        (name = "tokens", description = "Who may call, and what for. For operators."),
        (name = "health", description = "Whether the server is well, what it counts, and this document."),
    ),
    modifiers(&Token),
)]
pub(crate) struct ApiDoc;

/// `Authorization: Bearer <token>`.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let description = "A token as `POST /v1/tokens` shows it once, or the operator's. Of the scopes that a call names the token \
                           needs all; `admin` stands for any.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document.
pub fn document() -> Document {
    let mut document = routes::router().split_for_parts().1;
    webhooks::describe(&mut document);
    answers::complete(&mut document);
    document
}

/// The document as JSON.
pub(crate) fn text() -> &'static str {
    &TEXT
}

#[cfg(test)]
mod tests;
