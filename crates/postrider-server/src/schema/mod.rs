//! The documents of the API that are parsed or written by hand, described for the OpenAPI document, and the forms that texts
//! have.
//!
//! They are never built; the tests hold them against what is really read and written.

#![allow(dead_code, clippy::large_enum_variant, reason = "descriptions are never built")]

use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

mod catalogue;
mod deliveries;
mod endpoints;
mod events;
mod maps;
mod names;
mod parameters;
mod replays;
mod tenants;
mod tokens;

pub(crate) use catalogue::*;
pub(crate) use deliveries::*;
pub(crate) use endpoints::*;
pub(crate) use events::*;
pub(crate) use maps::*;
pub(crate) use names::*;
pub(crate) use parameters::*;
pub(crate) use replays::*;
pub(crate) use tenants::*;
pub(crate) use tokens::*;

/// Adds a schema, and those that it refers to.
pub(crate) fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into(), T::schema()));
    T::schemas(schemas);
}
