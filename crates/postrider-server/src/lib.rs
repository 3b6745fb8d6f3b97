//! The native API over HTTP: routes, authentication, problem documents, the OpenAPI document, and the server itself.
//!
//! Handlers translate between HTTP and the engine's service functions and decide nothing else. One request passes:
//! strict framing (`connection`), request id and problem rendering (`app`), routing and authentication
//! (`routes`, `auth`), then one service function.
#![forbid(unsafe_code)]

mod app;
mod auth;
mod body;
mod connection;
mod cursor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guesses;
mod openapi;
mod problem;
mod query;
mod request_id;
mod routes;
mod schema;
mod surfaces;
mod view;

pub use app::serve;
pub use connection::ServerConfig;
pub use openapi::document as openapi_document;
pub use surfaces::Surface;
