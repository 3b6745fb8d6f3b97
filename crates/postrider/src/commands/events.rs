//! `events`: publish one from flags or many from lines of JSON; list, show.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Delivery, EventDetail, EventFilter, NewEvent};

use super::deliveries::shorten;
use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::exit::Usage;
use crate::input;
use crate::output::{Output, Rows, or_dash};

mod lines;

/// An event file is no larger; the server's own limits are lower.
const MAX_DATA_BYTES: u64 = 16 << 20;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish one event, or many from a file of JSON lines
    Publish(Box<PublishArgs>),
    /// List a tenant's events, newest first
    List(Box<ListArgs>),
    /// Show one event with its data and what became of its deliveries
    Show {
        /// Whose
        #[arg(long)]
        tenant: String,
        /// The event's id, the publisher's own or the server's
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// Only the one of this id, the publisher's own or the server's
    #[arg(long)]
    id: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only with this ordering key
    #[arg(long)]
    key: Option<String>,
    /// Only about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: Connection,
}

/// The event.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Whose event it is; without it the event goes to all tenants of its subject
    #[arg(long, required_unless_present_any = ["subject", "ndjson"])]
    tenant: Option<String>,
    /// The card or account that it is about
    #[arg(long)]
    subject: Option<String>,
    /// Its type, such as card.created
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "ndjson")]
    kind: Option<String>,
    /// Its data as JSON; this or a file of data must be given
    #[arg(long, value_name = "JSON", conflicts_with = "data_file", required_unless_present_any = ["data_file", "ndjson"])]
    data: Option<String>,
    /// File with its data as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<String>,
    /// Its own id, 1-128 of A-Za-z0-9_:-
    #[arg(long)]
    id: Option<String>,
    /// Ordering key
    #[arg(long)]
    key: Option<String>,
    /// A text that tells about it (may be repeated)
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = |text: &str| input::pair(text, '='))]
    attributes: Vec<(String, String)>,
    /// When it happened, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// From when on nobody wants it any more, such as 2026-01-31T12:00:30Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Publish each line of this file as an event, in batches of 1000; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tenant", "subject", "kind", "data", "data_file",
        "id", "key", "attributes", "occurred_at", "expires_at"])]
    ndjson: Option<String>,
    /// Makes it safe to repeat the command
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Publish(args) => match &args.ndjson {
            Some(file) => lines::publish(&args, file, output).await,
            None => publish_one(*args, output).await,
        },
        Command::List(args) => list(*args, output).await,
        Command::Show { tenant, id, connection } => {
            let answer = super::client(&connection)?.get_event(&tenant, &id).await?;
            if output.json {
                output.answer(answer.json(), || Rows::new(&[]))?;
            } else {
                output.line(&details(&answer).render())?;
                output.line("")?;
                output.line(&deliveries(&answer.deliveries, answer.more.as_deref()).render())?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(args: ListArgs, output: Output) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.connection)?;
    let page = args.page.request();
    let filter = EventFilter {
        id: args.id,
        kind: args.kind,
        key: args.key,
        subject: args.subject,
        since: args.since,
        until: args.until,
    };
    let answer = client.list_events(&args.tenant, &filter, &page).await?;
    output.answer(answer.json(), || {
        let mut rows = Rows::new(&["id", "type", "key", "subject", "deliveries", "created"]);
        for event in &answer.data {
            rows.row([
                event.id.clone(),
                event.kind.clone(),
                or_dash(event.key.as_ref()),
                or_dash(event.subject.as_ref()),
                event.deliveries.to_string(),
                event.created_at.clone(),
            ]);
        }
        next_page(&mut rows, answer.next_cursor.as_deref());
        rows
    })?;
    Ok(ExitCode::SUCCESS)
}

fn details(event: &EventDetail) -> Rows {
    let mut rows = Rows::new(&[]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    rows.field("id", event.id.as_str())
        .field("tenant", event.tenant.as_str())
        .field("type", event.kind.as_str())
        .field("key", text(&event.key))
        .field("subject", text(&event.subject))
        .field("occurred", event.occurred_at.as_str())
        .field("created", event.created_at.as_str())
        .field("expires", text(&event.expires_at))
        .text("attributes", &shorten(event.attributes.get()))
        .text("data", &shorten(event.data.get()));
    rows
}

fn deliveries(deliveries: &[Delivery], more: Option<&str>) -> Rows {
    let mut rows = Rows::new(&["delivery", "endpoint", "status", "attempts", "last", "reason"]);
    for delivery in deliveries {
        rows.row([
            delivery.id.clone(),
            delivery.endpoint.clone(),
            delivery.status.clone(),
            delivery.attempts.to_string(),
            or_dash(delivery.last_status_code),
            or_dash(delivery.reason.as_ref()),
        ]);
    }
    if more.is_some() {
        rows.note("there are more: deliveries list --event and its cursor tell all");
    }
    rows
}

async fn publish_one(args: PublishArgs, output: Output) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.connection)?;
    let data = input::json("data", args.data, args.data_file.as_ref(), MAX_DATA_BYTES)?
        .ok_or_else(|| Usage("give the data with --data or --data-file".into()))?;
    let event = NewEvent {
        tenant: args.tenant,
        subject: args.subject,
        kind: args.kind.unwrap_or_default(),
        data,
        id: args.id,
        key: args.key,
        attributes: args.attributes.into_iter().collect(),
        occurred_at: args.occurred_at,
        expires_at: args.expires_at,
    };
    let key = args.idempotency_key.as_deref();
    if event.tenant.is_none() {
        let answer = client.publish_by_subject(&event, key).await?;
        output.answer(answer.json(), || {
            let mut rows = Rows::new(&["tenant", "event", "deliveries"]);
            for event in answer.iter() {
                rows.row([or_dash(event.tenant.as_ref()), event.id.clone(), event.deliveries.to_string()]);
            }
            rows
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = client.publish(&event, key).await?;
    output.answer(answer.json(), || {
        let mut rows = Rows::new(&["event", "deliveries"]);
        rows.row([answer.id.clone(), answer.deliveries.to_string()]);
        rows
    })?;
    Ok(ExitCode::SUCCESS)
}
