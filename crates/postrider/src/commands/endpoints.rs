//! `endpoints`: create, put, update, list, show, delete, challenge, test; match an event; read and rotate the signing secret; read the
//! figures.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Challenge, Endpoint, EndpointStats, EventSample, Filters, Retry, Rotation};
use serde_json::json;
use serde_json::value::RawValue;

use super::deliveries::{fault, shorten};
use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::exit::{self, Usage};
use crate::input;
use crate::output::{Output, Rows, or_dash};

mod spec;

use self::spec::{CreateArgs, UpdateArgs};

/// A file that describes an endpoint, or an event for it, is no larger.
const MAX_SPEC_BYTES: u64 = 1 << 20;
/// A file that holds a secret is no larger.
const MAX_SECRET_BYTES: u64 = 1 << 10;

/// What to do with endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an endpoint
    Create(Box<CreateArgs>),
    /// Create an endpoint under an id of your own, or replace the one that has it; secrets that are not given stay
    Put {
        /// The id: 1-128 of A-Za-z0-9._:-
        id: String,
        #[command(flatten)]
        spec: Box<CreateArgs>,
    },
    /// Change what is named of an endpoint, and leave the rest
    Update(Box<UpdateArgs>),
    /// Tell which endpoints an event would be owed to, and why (not); nothing is published
    Match(MatchArgs),
    /// List a tenant's endpoints
    List(ListArgs),
    /// Show one endpoint
    Show(One),
    /// Remove an endpoint; what it is still owed is cancelled
    Delete(One),
    /// Print an endpoint's signing secret
    Secret(One),
    /// Change an endpoint's signing secret, and print the new one; the old one signs beside it for a while
    Rotate(RotateArgs),
    /// Run an endpoint's ownership challenge now, and print how it stands then
    Challenge(One),
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
    #[arg(long, requires = "all_tenants", value_parser = ["active", "unverified", "paused", "tripped", "disabled"])]
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

/// The signing secret.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// The endpoint's id
    id: String,
    /// File with the new secret, whsec_…; - is standard input [default: the server makes one]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// How long the present secret signs beside the new one, in seconds, 0 to 604800 [default: a day]
    #[arg(long, value_name = "SECONDS")]
    overlap_s: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

/// An event that is not published.
#[derive(Debug, Args)]
pub(crate) struct MatchArgs {
    /// Whose endpoints
    #[arg(long)]
    tenant: String,
    /// The event's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// A text that tells about it (may be repeated)
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = |text: &str| input::pair(text, '='))]
    attributes: Vec<(String, String)>,
    /// Its data as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "data_file")]
    data: Option<String>,
    /// File with its data as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(args) => {
            let client = super::client(&args.connection)?;
            let answer = client.create_endpoint(&args.tenant, &args.spec()?).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Put { id, spec } => {
            let client = super::client(&spec.connection)?;
            let answer = client.put_endpoint(&spec.tenant, &id, &spec.spec()?).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Update(args) => {
            let client = super::client(&args.connection)?;
            let answer = client.patch_endpoint(&args.tenant, &args.id, &args.patch()?).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Match(args) => find_matches(args, output).await?,
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
        Command::Rotate(args) => rotate(&args, output).await?,
        Command::Challenge(one) => {
            let client = super::client(&one.connection)?;
            let answer = client.challenge_endpoint(&one.tenant, &one.id).await?;
            output.answer(answer.json(), || details(&answer))?;
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

async fn rotate(args: &RotateArgs, output: Output) -> anyhow::Result<()> {
    let secret =
        args.secret_file.as_deref().map(|file| input::read_text(file, MAX_SECRET_BYTES)).transpose()?;
    let secret = secret.map(|text| text.trim().to_owned());
    let rotation = Rotation { secret, overlap_s: args.overlap_s };
    let client = super::client(&args.connection)?;
    let answer = client.rotate_endpoint_secret(&args.tenant, &args.id, &rotation).await?;
    output.done(&answer.secret, &json!({"secret": answer.secret}))
}

async fn find_matches(args: MatchArgs, output: Output) -> anyhow::Result<()> {
    let data = match (args.data, &args.data_file) {
        (Some(text), _) => Some(text),
        (None, Some(file)) => Some(input::read_text(file, MAX_SPEC_BYTES)?),
        (None, None) => None,
    };
    let data = data.map(RawValue::from_string).transpose();
    let data = data.map_err(|e| Usage(format!("the data is not JSON: {e}")))?;
    let sample = EventSample { kind: args.kind, attributes: args.attributes.into_iter().collect(), data };
    let client = super::client(&args.connection)?;
    let answer = client.match_endpoints(&args.tenant, &sample, &args.page.request()).await?;
    output.answer(answer.json(), || {
        let mut rows = Rows::new(&["endpoint", "matches", "because"]);
        for found in &answer.data {
            let matches = if found.matches { "yes" } else { "no" };
            rows.row([found.endpoint.clone(), matches.into(), found.reason.clone()]);
        }
        next_page(&mut rows, answer.next_cursor.as_deref());
        rows
    })
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
        .field("filters", endpoint.filters.as_ref().map(conditions).unwrap_or_default())
        .field("state", endpoint.state.to_string())
        .field("reason", text(&endpoint.reason))
        .field("retry at", text(&endpoint.retry_at))
        .field("challenge", endpoint.challenge.as_ref().map(challenge).unwrap_or_default())
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

/// How the last one went, and when the next one leaves.
fn challenge(challenge: &Challenge) -> String {
    let last = match (&challenge.last_at, &challenge.error) {
        (Some(at), Some(error)) => format!("failed at {at}: {error}"),
        (Some(at), None) => format!("passed at {at}"),
        (None, _) => "not made yet".to_owned(),
    };
    let next = challenge.next_at.as_ref().map(|at| format!("; again at {at}"));
    last + &next.unwrap_or_default()
}

/// One after the other, as they are written.
fn conditions(filters: &Filters) -> String {
    let listed =
        |values: &[Box<RawValue>]| values.iter().map(|value| value.get()).collect::<Vec<_>>().join(", ");
    let attributes = filters.attributes.iter().map(|(name, values)| format!("{name} in {}", listed(values)));
    let data = filters.data.iter().map(|c| format!("{} {} {}", c.pointer, c.op, c.value));
    attributes.chain(data).collect::<Vec<_>>().join("; ")
}

fn names(headers: &BTreeMap<String, String>) -> String {
    headers.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn schedule(retry: &Retry) -> String {
    let waits: Vec<String> = retry.schedule_s.iter().map(|wait| format!("{wait} s")).collect();
    if waits.is_empty() { "never".into() } else { waits.join(", ") }
}
