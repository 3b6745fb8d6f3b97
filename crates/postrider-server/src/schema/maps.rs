//! Objects whose names are free, and the values in them.

use serde_json::json;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// What can be shown on a line of its own: no control characters, line breaks or direction marks.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn name(max: usize) -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(max)).pattern(Some(PLAIN))
}

fn map(max: usize, names: ObjectBuilder, values: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(max))
        .property_names(Some(names))
        .additional_properties(Some(values.into()))
}

/// The same that `null` may stand in for a value, which takes it away.
fn or_null(schema: ObjectBuilder) -> ObjectBuilder {
    schema.schema_type(SchemaType::from_iter([Type::String, Type::Null]))
}

/// Describes a map by a builder.
macro_rules! described {
    ($($name:ident => $schema:expr;)*) => {
        $(impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }
        impl ToSchema for $name {})*
    };
}

/// What an attribute may be.
pub(crate) struct AttributeValue;
/// The attributes of an event.
pub(crate) struct Attributes;
/// The values that filters want of attributes.
pub(crate) struct AttributeFilters;
/// A change of them.
pub(crate) struct AttributeFiltersPatch;
/// A number.
pub(crate) struct Number;
/// The values of `in`.
pub(crate) struct Scalars;
/// Further headers of requests.
pub(crate) struct Headers;
/// A change of them.
pub(crate) struct HeadersPatch;
/// Notes of an owner.
pub(crate) struct Metadata;
/// A change of them.
pub(crate) struct MetadataPatch;

fn scalar() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]))
}

/// The values that a filter wants of an attribute.
fn wanted() -> ArrayBuilder {
    ArrayBuilder::new().items(scalar()).min_items(Some(1)).max_items(Some(50))
}

fn header_name() -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(128)).pattern(Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))
}

fn header_value() -> ObjectBuilder {
    text().max_length(Some(4_096)).pattern(Some(r"^([\u0021-\u007e]([\t\u0020-\u007e]*[\u0021-\u007e])?)?$"))
}

described! {
    AttributeValue => scalar()
        .description(Some("A string, a number or a boolean. Numbers are kept and compared as exact decimals."));
    Attributes => map(64, name(128), scalar())
        .description(Some(
            "Strings, numbers and booleans that tell about an event, for filters to look at: at most 64, and 8 KiB of JSON. \
             They are kept with it and not delivered.",
        ))
        .examples([json!({"country": "SE", "buyer_party": "5561234567"})]);
    AttributeFilters => map(20, name(128), wanted())
        .description(Some(
            "For each named attribute the values of which it must have one: at most 20 names, with 1 to 50 values each, of \
             at most 1,024 bytes.",
        ))
        .examples([json!({"buyer_party": ["5561234567"]})]);
    AttributeFiltersPatch => map(20, name(128), wanted().schema_type(SchemaType::from_iter([Type::Array, Type::Null])))
        .description(Some("Attributes to look at, and with null those not to look at any more; others stay."));
    Number => ObjectBuilder::new()
        .schema_type(Type::Number)
        .description(Some("A number, compared as an exact decimal."));
    Scalars => ArrayBuilder::new()
        .items(scalar())
        .min_items(Some(1))
        .max_items(Some(100))
        .description(Some("Strings, numbers and booleans."));
    Headers => map(32, header_name(), header_value())
        .description(Some(
            "Further headers of each request, at most 32: names of HTTP fields (RFC 9110), values of visible ASCII characters, \
             spaces and tabs, which neither begin nor end with a blank. Names that belong to the message, its routing or its \
             signature are refused, such as `Host`, `Content-*`, `Proxy-*`, `X-Forwarded-*`, `Cookie` and `webhook-*`; \
             `Authorization` belongs into `auth`.",
        ))
        .examples([json!({"X-My-App-Id": "till-4"})]);
    HeadersPatch => map(32, header_name(), or_null(header_value()))
        .description(Some("Headers to set, and with null those to take away; others stay."));
    Metadata => map(50, name(8_192), text().pattern(Some(PLAIN)))
        .description(Some(
            "Notes that an owner keeps with an object: at most 50, names and values together at most 8 KiB. Nothing acts on them.",
        ))
        .examples([json!({"crm": "4711"})]);
    MetadataPatch => map(50, name(8_192), or_null(text().pattern(Some(PLAIN))))
        .description(Some("Notes to set, and with null those to take away; others stay."));
}
