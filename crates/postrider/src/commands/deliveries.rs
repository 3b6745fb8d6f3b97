//! `deliveries`: the log, one delivery with its attempts, retry and cancel.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Attempt, AttemptError, Delivery, DeliveryDetail, DeliveryFilter};
use serde_json::json;

use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::output::{Output, Rows, or_dash};

/// Characters of a payload or an answer that a table shows; `--json` has it whole.
const SHOWN_CHARS: usize = 2_000;

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List deliveries, newest first
    List(Box<ListArgs>),
    /// Show one delivery with its payload and attempts
    Show(One),
    /// Try a delivery again
    Retry(One),
    /// Cancel a pending delivery
    Cancel(One),
}

/// One delivery of a tenant.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// The delivery's id
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Which deliveries.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Whose
    #[arg(long, required_unless_present = "all_tenants")]
    tenant: Option<String>,
    /// Over all tenants; for operators
    #[arg(long)]
    all_tenants: bool,
    /// Only those with this status
    #[arg(long, value_parser = ["pending", "succeeded", "failed", "cancelled", "skipped"])]
    status: Option<String>,
    /// Only of this event type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only to this endpoint
    #[arg(long)]
    endpoint: Option<String>,
    /// Only with this ordering key
    #[arg(long)]
    key: Option<String>,
    /// Only of events about this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only of this event
    #[arg(long)]
    event: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(*args, output).await?,
        Command::Show(one) => {
            let answer = super::client(&one.connection)?.get_delivery(&one.tenant, &one.id).await?;
            if output.json {
                output.answer(answer.json(), || Rows::new(&[]))?;
            } else {
                output.line(&details(&answer).render())?;
                output.line("")?;
                output.line(&attempts(&answer.attempts).render())?;
            }
        }
        Command::Retry(one) => {
            super::client(&one.connection)?.retry_delivery(&one.tenant, &one.id).await?;
            output.done(&format!("trying {} again", one.id), &json!({"id": one.id, "retried": true}))?;
        }
        Command::Cancel(one) => {
            super::client(&one.connection)?.cancel_delivery(&one.tenant, &one.id).await?;
            output.done(&format!("cancelled {}", one.id), &json!({"id": one.id, "cancelled": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs, output: Output) -> anyhow::Result<()> {
    let client = super::client(&args.connection)?;
    let page = args.page.request();
    let filter = DeliveryFilter {
        status: args.status,
        kind: args.kind,
        endpoint: args.endpoint,
        key: args.key,
        subject: args.subject,
        since: args.since,
        until: args.until,
        event: args.event,
    };
    let answer = match &args.tenant {
        Some(tenant) if !args.all_tenants => client.list_deliveries(tenant, &filter, &page).await?,
        tenant => client.list_all_deliveries(tenant.as_deref(), &filter, &page).await?,
    };
    output.answer(answer.json(), || {
        let mut rows = table(&answer.data, args.all_tenants);
        next_page(&mut rows, answer.next_cursor.as_deref());
        rows
    })
}

fn table(deliveries: &[Delivery], with_tenant: bool) -> Rows {
    let headings = ["tenant", "id", "status", "type", "endpoint", "attempts", "last", "created", "reason"];
    // Who asked for one tenant's knows whose they are.
    let from = usize::from(!with_tenant);
    let mut rows = Rows::new(&headings[from..]);
    for delivery in deliveries {
        let cells = [
            delivery.tenant.clone(),
            delivery.id.clone(),
            delivery.status.clone(),
            delivery.kind.clone(),
            delivery.endpoint.clone(),
            delivery.attempts.to_string(),
            or_dash(delivery.last_status_code),
            delivery.created_at.clone(),
            or_dash(delivery.reason.as_ref()),
        ];
        rows.row(cells.into_iter().skip(from));
    }
    rows
}

fn details(delivery: &DeliveryDetail) -> Rows {
    let mut rows = Rows::new(&[]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    rows.field("id", delivery.id.as_str())
        .field("status", delivery.status.as_str())
        .field("reason", text(&delivery.reason))
        .field("event", delivery.event.as_str())
        .field("type", delivery.kind.as_str())
        .field("endpoint", delivery.endpoint.as_str())
        .field("key", text(&delivery.key))
        .field("subject", text(&delivery.subject))
        .field("expires", text(&delivery.expires_at))
        .field("overtaken", if delivery.overtaken { "yes: its successors went on without it" } else { "" })
        .field("sequence", delivery.sequence.map(|n| n.to_string()).unwrap_or_default())
        .field("created", delivery.created_at.as_str())
        .field("next attempt", text(&delivery.next_attempt_at))
        .field("first success", text(&delivery.first_succeeded_at))
        .field("finished", text(&delivery.finished_at))
        .text("payload", &shorten(delivery.payload.get()));
    rows
}

fn attempts(attempts: &[Attempt]) -> Rows {
    let mut rows = Rows::new(&["attempt", "started", "trigger", "status", "ms", "to", "error", "response"]);
    for attempt in attempts {
        rows.row([
            format!("{}.{}", attempt.run, attempt.number),
            attempt.started_at.clone(),
            attempt.trigger.clone(),
            or_dash(attempt.status_code),
            attempt.duration_ms.to_string(),
            or_dash(attempt.remote_address.as_ref()),
            attempt.error.as_ref().map(fault).unwrap_or_default(),
            shorten(&attempt.response_body),
        ]);
    }
    rows
}

/// An attempt's error as a person reads it: its kind, and what is said of it.
pub(super) fn fault(error: &AttemptError) -> String {
    format!("{}: {}", error.kind, error.detail)
}

/// Text that fits into a table.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}… (whole with --json)", &text[..end]),
        None => text.to_owned(),
    }
}
