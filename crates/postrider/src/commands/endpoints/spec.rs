//! An endpoint, or what is to change of one, put together of a file or a patch and of flags.

use std::collections::BTreeMap;

use clap::Args;
use postrider_client::{EndpointPatch, EndpointSpec, RateLimit};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::MAX_SPEC_BYTES;
use crate::cli::Connection;
use crate::exit::Usage;
use crate::input;

/// What both a new endpoint and a change may say by flags.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A type it takes: exact, a prefix ending in .*, or * (may be repeated, or separated by commas)
    #[arg(long = "event-type", value_name = "TYPE", value_delimiter = ',')]
    event_types: Vec<String>,
    /// Name for people
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// A header for every request (may be repeated)
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = |text: &str| input::pair(text, ':'))]
    headers: Vec<(String, String)>,
    /// Whether deliveries with the same key leave in order
    #[arg(long, value_parser = ["none", "key"])]
    ordering: Option<String>,
    /// How long an attempt may take, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Attempts a second at most, 1 to 10000
    #[arg(long, value_name = "PER_SECOND")]
    rate_limit: Option<u32>,
    /// Attempts at the same time at most
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
}

/// A new endpoint.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Whose
    #[arg(long)]
    pub(super) tenant: String,
    /// Where deliveries go
    #[arg(required_unless_present = "file")]
    url: Option<String>,
    /// File with the endpoint as JSON, as the API takes it; - is standard input. Flags replace what it says
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What is to change.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Whose
    #[arg(long)]
    pub(super) tenant: String,
    /// The endpoint's id
    pub(super) id: String,
    /// Changes as a JSON merge patch, such as '{"filters": null}'. Flags replace what it says
    #[arg(long, value_name = "JSON")]
    json_patch: Option<String>,
    /// Where deliveries go; at another host the credential must come with it, in the patch
    #[arg(long)]
    url: Option<String>,
    /// Whether deliveries go out; false pauses it
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    pub(super) connection: Connection,
}

impl CreateArgs {
    /// The endpoint that is asked for.
    pub(super) fn spec(&self) -> anyhow::Result<EndpointSpec> {
        let mut spec = match &self.file {
            Some(file) => described(file, self.url.as_deref())?,
            None => EndpointSpec { url: self.url.clone().unwrap_or_default(), ..EndpointSpec::default() },
        };
        let flags = &self.flags;
        if !flags.event_types.is_empty() {
            spec.event_types = Some(flags.event_types.clone());
        }
        if !flags.headers.is_empty() {
            spec.headers = Some(flags.headers.iter().cloned().collect());
        }
        spec.name = flags.name.clone().or(spec.name);
        spec.description = flags.description.clone().or(spec.description);
        spec.ordering = flags.ordering.clone().or(spec.ordering);
        spec.timeout_ms = flags.timeout_ms.or(spec.timeout_ms);
        spec.rate_limit = flags.rate_limit.map(|per_second| RateLimit { per_second }).or(spec.rate_limit);
        spec.max_in_flight = flags.max_in_flight.or(spec.max_in_flight);
        Ok(spec)
    }
}

/// The endpoint that a file describes, at the URL that the command line names, if it does.
fn described(file: &str, url: Option<&str>) -> anyhow::Result<EndpointSpec> {
    let fault = |e: serde_json::Error| Usage(format!("{file} does not describe an endpoint: {e}"));
    let mut spec: EndpointPatch =
        serde_json::from_slice(&input::read(file, MAX_SPEC_BYTES)?).map_err(fault)?;
    set(&mut spec, "url", url);
    // As text, so that numbers of filters stay as they are written.
    let text = serde_json::to_string(&spec).map_err(fault)?;
    Ok(serde_json::from_str(&text).map_err(fault)?)
}

impl UpdateArgs {
    /// The merge patch that is asked for.
    pub(super) fn patch(&self) -> anyhow::Result<EndpointPatch> {
        let mut patch = match &self.json_patch {
            Some(text) => serde_json::from_str(text)
                .map_err(|e| Usage(format!("the patch is not a JSON object: {e}")))?,
            None => EndpointPatch::new(),
        };
        let flags = &self.flags;
        let headers: BTreeMap<_, _> = flags.headers.iter().cloned().collect();
        set(&mut patch, "url", self.url.as_ref());
        set(&mut patch, "enabled", self.enabled);
        set(&mut patch, "event_types", (!flags.event_types.is_empty()).then_some(&flags.event_types));
        set(&mut patch, "headers", (!headers.is_empty()).then_some(headers));
        set(&mut patch, "name", flags.name.as_ref());
        set(&mut patch, "description", flags.description.as_ref());
        set(&mut patch, "ordering", flags.ordering.as_ref());
        set(&mut patch, "timeout_ms", flags.timeout_ms);
        set(&mut patch, "rate_limit", flags.rate_limit.map(|per_second| RateLimit { per_second }));
        set(&mut patch, "max_in_flight", flags.max_in_flight);
        if patch.is_empty() {
            return Err(Usage("there is nothing to change: give flags or --json-patch".into()).into());
        }
        Ok(patch)
    }
}

/// Sets a field, if there is a value for it.
fn set<T: Serialize>(fields: &mut BTreeMap<String, Box<RawValue>>, name: &str, value: Option<T>) {
    if let Some(value) = value.and_then(|value| to_raw_value(&value).ok()) {
        fields.insert(name.to_owned(), value);
    }
}
