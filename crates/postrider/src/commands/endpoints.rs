//! `endpoints`: create, list, show, delete, test; read the signing secret and the figures.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Endpoint, EndpointSpec, EndpointStats, RateLimit, Retry};
use serde_json::{Map, Value, json};

use super::deliveries::{fault, shorten};
use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::exit::{self, Usage};
use crate::input;
use crate::output::{Output, Rows, or_dash};

/// A file that describes an endpoint is no larger.
const MAX_SPEC_BYTES: u64 = 1 << 20;

/// What to do with endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an endpoint
    Create(Box<CreateArgs>),
    /// List a tenant's endpoints
    List(ListArgs),
    /// Show one endpoint
    Show(One),
    /// Remove an endpoint; what it is still owed is cancelled
    Delete(One),
    /// Print an endpoint's signing secret
    Secret(One),
    /// Send an example of an event type now, and print what came back
    Test {
        #[command(flatten)]
        one: One,
        /// The event type
        #[arg(long = "type", value_name = "TYPE")]
        kind: String,
    },
    /// Show how an endpoint's deliveries went lately, and how it stands
    Stats {
        #[command(flatten)]
        one: One,
        /// From this time on, such as 2026-01-31T12:00:00Z [default: the last 24 hours]
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
}

/// Which endpoints.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Whose
    #[arg(long, required_unless_present = "all_tenants")]
    tenant: Option<String>,
    /// Over all tenants; for operators
    #[arg(long)]
    all_tenants: bool,
    /// Only those that stand so
    #[arg(long, requires = "all_tenants", value_parser = ["active", "paused", "tripped", "disabled"])]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: Connection,
}

/// One endpoint of a tenant.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// The endpoint's id
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// A new endpoint.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// Where deliveries go
    #[arg(required_unless_present = "file")]
    url: Option<String>,
    /// File with the endpoint as JSON, as the API takes it; - is standard input. Flags replace what it says
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
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
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(args) => {
            let client = super::client(&args.connection)?;
            let answer = client.create_endpoint(&args.tenant, &spec(&args)?).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::List(args) => list(&args, output).await?,
        Command::Show(one) => {
            let answer = super::client(&one.connection)?.get_endpoint(&one.tenant, &one.id).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Delete(one) => {
            super::client(&one.connection)?.delete_endpoint(&one.tenant, &one.id).await?;
            output.done(&format!("deleted {}", one.id), &json!({"id": one.id, "deleted": true}))?;
        }
        Command::Secret(one) => {
            let answer = super::client(&one.connection)?.endpoint_secret(&one.tenant, &one.id).await?;
            output.done(&answer.secret, &json!({"secret": answer.secret}))?;
        }
        Command::Test { one, kind } => return test(&one, &kind, output).await,
        Command::Stats { one, since } => {
            let client = super::client(&one.connection)?;
            let answer = client.endpoint_stats(&one.tenant, &one.id, since.as_deref()).await?;
            output.answer(answer.json(), || stats(&answer))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &ListArgs, output: Output) -> anyhow::Result<()> {
    let (client, page) = (super::client(&args.connection)?, args.page.request());
    let answer = match &args.tenant {
        Some(tenant) if !args.all_tenants => client.list_endpoints(tenant, &page).await?,
        tenant => client.list_all_endpoints(tenant.as_deref(), args.state.as_deref(), &page).await?,
    };
    output.answer(answer.json(), || {
        // Who asked for one tenant's knows whose they are.
        let from = usize::from(!args.all_tenants);
        let mut rows = Rows::new(&["tenant", "id", "state", "url", "event types", "name"][from..]);
        for endpoint in &answer.data {
            let cells = [
                endpoint.tenant.clone(),
                endpoint.id.clone(),
                endpoint.state.to_string(),
                endpoint.url.clone(),
                endpoint.event_types.join(","),
                or_dash(endpoint.name.as_ref()),
            ];
            rows.row(cells.into_iter().skip(from));
        }
        next_page(&mut rows, answer.next_cursor.as_deref());
        rows
    })
}

fn stats(stats: &EndpointStats) -> Rows {
    let mut rows = Rows::new(&[]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let counts: Vec<_> = stats.counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let latency = stats.latency_ms.map(|l| format!("{} ms, {} ms, {} ms", l.p50, l.p95, l.p99));
    rows.field("state", stats.state.to_string())
        .field("reason", text(&stats.reason))
        .field("retry at", text(&stats.retry_at))
        .field("failing since", text(&stats.failing_since))
        .field("sequence", stats.sequence.to_string())
        .field("backlog", stats.backlog.to_string())
        .field("oldest pending", text(&stats.oldest_pending_at))
        .field("figures since", stats.complete_from.as_str())
        .field("deliveries", counts.join(", "))
        .field(
            "success rate",
            stats.success_rate.map(|rate| format!("{:.2} %", rate * 100.0)).unwrap_or_default(),
        )
        .field("latency", latency.map(|l| format!("{l} (p50, p95, p99)")).unwrap_or_default());
    if stats.complete_from != stats.since {
        rows.note("there were more deliveries: the figures are those of the newest");
    }
    rows
}

async fn test(one: &One, kind: &str, output: Output) -> anyhow::Result<ExitCode> {
    let answer = super::client(&one.connection)?.test_endpoint(&one.tenant, &one.id, kind).await?;
    output.answer(answer.json(), || {
        let mut rows = Rows::new(&[]);
        rows.field("attempt", answer.id.as_str())
            .field("status", or_dash(answer.status_code))
            .field("duration", format!("{} ms", answer.duration_ms))
            .field("error", answer.error.as_ref().map(fault).unwrap_or_default())
            .field("response", shorten(&answer.response_body));
        rows
    })?;
    let acknowledged = answer.status_code.is_some_and(|status| (200..300).contains(&status));
    Ok(if acknowledged { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn spec(args: &CreateArgs) -> anyhow::Result<EndpointSpec> {
    let mut spec = match &args.file {
        Some(file) => described(file, args.url.as_deref())?,
        None => EndpointSpec { url: args.url.clone().unwrap_or_default(), ..EndpointSpec::default() },
    };
    if !args.event_types.is_empty() {
        spec.event_types = Some(args.event_types.clone());
    }
    if !args.headers.is_empty() {
        spec.headers = Some(args.headers.iter().cloned().collect());
    }
    spec.name = args.name.clone().or(spec.name);
    spec.description = args.description.clone().or(spec.description);
    spec.ordering = args.ordering.clone().or(spec.ordering);
    spec.timeout_ms = args.timeout_ms.or(spec.timeout_ms);
    spec.rate_limit = args.rate_limit.map(|per_second| RateLimit { per_second }).or(spec.rate_limit);
    spec.max_in_flight = args.max_in_flight.or(spec.max_in_flight);
    Ok(spec)
}

/// The endpoint that a file describes, at the URL that the command line names, if it does.
fn described(file: &str, url: Option<&str>) -> anyhow::Result<EndpointSpec> {
    let fault = |e: serde_json::Error| Usage(format!("{file} does not describe an endpoint: {e}"));
    let mut spec: Map<String, Value> =
        serde_json::from_slice(&input::read(file, MAX_SPEC_BYTES)?).map_err(fault)?;
    if let Some(url) = url {
        spec.insert("url".into(), url.into());
    }
    Ok(serde_json::from_value(spec.into()).map_err(fault)?)
}

fn details(endpoint: &Endpoint) -> Rows {
    let mut rows = Rows::new(&[]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    rows.field("id", endpoint.id.as_str())
        .field("tenant", endpoint.tenant.as_str())
        .field("url", endpoint.url.as_str())
        .field("name", text(&endpoint.name))
        .field("description", text(&endpoint.description))
        .field("event types", endpoint.event_types.join(", "))
        .field("state", endpoint.state.to_string())
        .field("reason", text(&endpoint.reason))
        .field("retry at", text(&endpoint.retry_at))
        .field("authentication", endpoint.auth["type"].as_str().unwrap_or_default())
        .field("headers", names(&endpoint.headers))
        .field("ordering", endpoint.ordering.as_str())
        .field("timeout", format!("{} ms", endpoint.timeout_ms))
        .field(
            "rate limit",
            endpoint.rate_limit.map_or_else(String::new, |rate| format!("{}/s", rate.per_second)),
        )
        .field("in flight", format!("{} at most", endpoint.max_in_flight))
        .field("retries after", endpoint.retry.as_ref().map(schedule).unwrap_or_default())
        .field("sequence", endpoint.sequence.to_string())
        .field("created", endpoint.created_at.as_str())
        .field("updated", endpoint.updated_at.as_str());
    rows
}

fn names(headers: &BTreeMap<String, String>) -> String {
    headers.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn schedule(retry: &Retry) -> String {
    let waits: Vec<String> = retry.schedule_s.iter().map(|wait| format!("{wait} s")).collect();
    if waits.is_empty() { "never".into() } else { waits.join(", ") }
}
