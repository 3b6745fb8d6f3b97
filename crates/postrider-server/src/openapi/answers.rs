//! What any call may answer, beside what its handler says: it follows from what the call is.
//!
//! A handler names what is special to it, with its meaning. A problem that many calls have in common is described once and
//! referred to.

use std::collections::BTreeMap;

use postrider_core::fault::Fault;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Header, ObjectBuilder, OpenApi, Ref, RefOr, Response, Schema, Type};
use utoipa::{IntoResponses, ToSchema};

use super::TOKEN;
use crate::problem::{Kind, Problem, ProblemDocument};
use crate::schema::add;

/// The media type of a problem document.
const PROBLEM: &str = "application/problem+json";
/// The name of what is answered to a request whose head is too long, which is refused before it is one.
const HEAD_TOO_LARGE: &str = "HeadTooLarge";
/// The request's id in examples.
const REQUEST_ID: &str = "19a2b3c4d5e-2f";

/// A problem that many calls have in common.
struct Common {
    kind: Kind,
    /// Its name among the document's components.
    name: &'static str,
    meaning: &'static str,
    /// The `detail` of its example.
    detail: &'static str,
}

const COMMON: [Common; 11] = [
    Common {
        kind: Kind::Malformed,
        name: "Malformed",
        meaning: "The request cannot be read: the query is not percent-encoded UTF-8, or the body is not JSON.",
        detail: "line 1, column 14: expected value",
    },
    Common {
        kind: Kind::Unauthorized,
        name: "Unauthorized",
        meaning: "No token, or one that is unknown, revoked or expired.",
        detail: "send Authorization: Bearer and a token that is neither revoked nor expired",
    },
    Common {
        kind: Kind::Forbidden,
        name: "Forbidden",
        meaning: "The token lacks the scope, which `detail` names.",
        detail: "the token lacks the scope webhooks-write",
    },
    Common {
        kind: Kind::NotFound,
        name: "NotFound",
        meaning: "What the path names does not exist, or belongs to a tenant that the token is not for.",
        detail: "the tenant does not exist",
    },
    Common {
        kind: Kind::Timeout,
        name: "Timeout",
        meaning: "The body did not arrive within 30 seconds.",
        detail: "the body did not arrive in time",
    },
    Common {
        kind: Kind::TooLarge,
        name: "TooLarge",
        meaning: "The body is too large. The rest of it is not read, and the connection is closed.",
        detail: "the body is longer than 262144 bytes",
    },
    Common {
        kind: Kind::UnsupportedMedia,
        name: "UnsupportedMediaType",
        meaning: "The body is of another kind, is compressed, or does not say of which kind it is.",
        detail: "say what the body is: Content-Type: application/json",
    },
    Common {
        kind: Kind::Invalid,
        name: "Invalid",
        meaning: "Fields or parameters are at fault; `errors` names all of them.",
        detail: "see errors for each fault",
    },
    Common {
        kind: Kind::TooMany,
        name: "TooManyRequests",
        meaning: "Too many wrong tokens come from this address.",
        detail: "too many wrong tokens come from this address: wait a little",
    },
    Common {
        kind: Kind::Internal,
        name: "Internal",
        meaning: "A fault of the server, whose log has the details under the `request_id`.",
        detail: "the server's log has the details",
    },
    Common {
        kind: Kind::Overloaded,
        name: "Overloaded",
        meaning: "The store is busy, cannot write, or the server is stopping. Nothing was done: the same request may be sent again.",
        detail: "the store cannot write now",
    },
];

/// 503, for a call that asks the store.
pub(crate) struct Overloaded;

impl IntoResponses for Overloaded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        reference(Kind::Overloaded).into_iter().collect()
    }
}

/// Completes the answers of every call.
pub(super) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.values_mut().for_each(never_null);
            }
            for (status, common) in expected(path, operation).into_iter().filter_map(reference) {
                operation.responses.responses.entry(status).or_insert(common);
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    fill(status, response);
                }
            }
            if operation.parameters.is_some() {
                let too_long = Ref::from_response_name(HEAD_TOO_LARGE).into();
                operation.responses.responses.insert("431".into(), too_long);
            }
        }
    }
    let components = document.components.get_or_insert_default();
    refer_to_entries(&mut components.schemas);
    components.headers.extend(described_headers().map(|(name, header)| (name.into(), header.into())));
    for common in &COMMON {
        components.responses.insert(common.name.into(), common.response().into());
    }
    let head_too_large = Response::new(
        "Path, query and headers are longer than 16 KiB together. Nothing is said of it: the request is not read, and the connection is closed.",
    );
    components.responses.insert(HEAD_TOO_LARGE.into(), head_too_large.into());
    let mut schemas = Vec::new();
    add::<ProblemDocument<'_>>(&mut schemas);
    components.schemas.extend(schemas);
}

/// A body that need not be there is left out then, and not null.
fn never_null(content: &mut RefOr<Content>) {
    if let RefOr::T(content) = content
        && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
    {
        let body = either.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned();
        content.schema = body.or(content.schema.take());
    }
}

/// A page refers to what its entries are, instead of saying it again.
fn refer_to_entries(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    for (name, schema) in schemas {
        if let Some(entry) = name.strip_prefix("Page_")
            && let RefOr::T(Schema::Object(page)) = schema
            && let Some(RefOr::T(Schema::Array(data))) = page.properties.get_mut("data")
        {
            data.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(entry).into()));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// The problems that a call may have whatever it does.
fn expected(path: &str, operation: &Operation) -> Vec<Kind> {
    let security = operation.security.as_deref().unwrap_or_default();
    let mut kinds = Vec::new();
    // A call without a token looks at nothing that is sent.
    if !security.contains(&SecurityRequirement::default()) {
        kinds.extend([Kind::Malformed, Kind::Unauthorized, Kind::Invalid, Kind::TooMany, Kind::Internal]);
        if !security.contains(&SecurityRequirement::new(TOKEN, [""; 0])) {
            kinds.push(Kind::Forbidden);
        }
    }
    if path.contains('{') {
        kinds.push(Kind::NotFound);
    }
    if operation.request_body.is_some() {
        kinds.extend([Kind::Timeout, Kind::TooLarge, Kind::UnsupportedMedia]);
    }
    kinds
}

/// A status, and where its problem is described.
fn reference(kind: Kind) -> Option<(String, RefOr<Response>)> {
    let common = COMMON.iter().find(|common| common.kind == kind)?;
    Some((kind.status().as_str().into(), Ref::from_response_name(common.name).into()))
}

impl Common {
    fn response(&self) -> Response {
        let status = self.kind.status();
        let mut response = Response::new(self.meaning);
        fill(status.as_str(), &mut response);
        if let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM) {
            let faults = match self.kind {
                Kind::Invalid => vec![Fault::new("/url", "is missing")],
                _ => Vec::new(),
            };
            let problem = Problem::new(self.kind, self.detail).with(faults);
            content.example = serde_json::to_value(problem.document(Some(REQUEST_ID))).ok();
        }
        response
    }
}

/// Adds to an answer what goes without saying: the problem document of an error, and headers.
fn fill(status: &str, response: &mut Response) {
    if status.starts_with(['4', '5']) && response.content.is_empty() {
        let content = Content::new(Some(Ref::from_schema_name(ProblemDocument::name())));
        response.content.insert(PROBLEM.into(), content.into());
    }
    for (name, component) in headers(status) {
        let header = Ref::new(format!("#/components/headers/{component}"));
        response.headers.insert(name.into(), RefOr::Ref(header));
    }
}

/// The headers of an answer, and what they are called among the document's components.
fn headers(status: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let further = match status {
        "401" => Some(("WWW-Authenticate", "Challenge")),
        "405" => Some(("Allow", "Allow")),
        "429" | "503" => Some(("Retry-After", "RetryAfter")),
        _ => None,
    };
    [("X-Request-Id", "RequestId")].into_iter().chain(further)
}

fn described_headers() -> [(&'static str, Header); 4] {
    let header = |schema: ObjectBuilder, meaning: &str| {
        HeaderBuilder::new().schema(Some(schema.build())).description(Some(meaning)).build()
    };
    let text = |example: &str| ObjectBuilder::new().schema_type(Type::String).examples([example]);
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).examples([2]);
    [
        ("RequestId", header(text(REQUEST_ID), "The id under which the server knows the request.")),
        ("Challenge", header(text("Bearer"), "How to authenticate.")),
        ("Allow", header(text("GET,HEAD"), "The methods that the path takes.")),
        ("RetryAfter", header(seconds, "After how many seconds the request may be sent again.")),
    ]
}
