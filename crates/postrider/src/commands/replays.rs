//! `replays`: deliver again what did not arrive, follow it, end it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use postrider_client::{Answer, Client, NewReplay, Replay, ReplayState};
use serde_json::json;

use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::exit;
use crate::output::{Output, Rows, inert, inert_json};

/// How often a replay is looked at that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What to do with replays.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deliver again what did not arrive in a range
    Create(Box<CreateArgs>),
    /// List an endpoint's replays, newest first
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show how far a replay has come
    Show {
        #[command(flatten)]
        one: One,
        /// Until it ends
        #[arg(long)]
        follow: bool,
    },
    /// End a replay: it lets nothing more go
    Cancel(One),
}

/// An endpoint of a tenant.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// The endpoint's id
    #[arg(long)]
    endpoint: String,
}

/// One replay.
#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    of: Of,
    /// The replay's id
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// What is to be replayed.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    of: Of,
    /// Only from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", required_unless_present = "sequence_from")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only with this sequence number or a later one
    #[arg(long, value_name = "N")]
    sequence_from: Option<u64>,
    /// Only with this sequence number or an earlier one
    #[arg(long, value_name = "N")]
    sequence_to: Option<u64>,
    /// Only with this status [default: failed, cancelled, skipped] (may be repeated, or separated by commas)
    #[arg(long = "status", value_name = "STATUS", value_delimiter = ',',
        value_parser = ["failed", "cancelled", "skipped", "succeeded"])]
    statuses: Vec<String>,
    /// Only of this type: exact, a prefix ending in .*, or * (may be repeated, or separated by commas)
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Deliveries a second at most, 1 to 10000 [default: 100]
    #[arg(long, value_name = "N")]
    per_second: Option<u32>,
    /// Only count them
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,
    /// Tell how far it has come until it ends
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(args) => return create(*args, output).await,
        Command::List { of, page, connection } => {
            let client = super::client(&connection)?;
            let answer = client.list_replays(&of.tenant, &of.endpoint, &page.request()).await?;
            output.answer(answer.json(), || {
                let mut rows =
                    Rows::new(&["id", "state", "matched", "done", "skipped", "expired", "created"]);
                for replay in &answer.data {
                    rows.row([
                        replay.id.clone(),
                        replay.state.to_string(),
                        replay.matched.to_string(),
                        replay.done.to_string(),
                        replay.skipped.to_string(),
                        replay.expired.to_string(),
                        replay.created_at.clone(),
                    ]);
                }
                next_page(&mut rows, answer.next_cursor.as_deref());
                rows
            })?;
        }
        Command::Show { one: One { of, id, connection }, follow } => {
            let client = super::client(&connection)?;
            let answer = client.get_replay(&of.tenant, &of.endpoint, &id).await?;
            if follow {
                return self::follow(&client, answer, output).await;
            }
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Cancel(One { of, id, connection }) => {
            super::client(&connection)?.cancel_replay(&of.tenant, &of.endpoint, &id).await?;
            output.done(&format!("cancelled {id}"), &json!({"id": id, "cancelled": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(args: CreateArgs, output: Output) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.connection)?;
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let replay = NewReplay {
        since: args.since,
        until: args.until,
        sequence_from: args.sequence_from,
        sequence_to: args.sequence_to,
        statuses: some(args.statuses),
        types: some(args.types),
        per_second: args.per_second,
    };
    let (tenant, endpoint) = (&args.of.tenant, &args.of.endpoint);
    if args.dry_run {
        let answer = client.count_replay(tenant, endpoint, &replay).await?;
        if output.json {
            output.line(&inert_json(answer.json()))?;
        } else {
            output.line(&format!("{} would be replayed", answer.matched))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let begun = client.create_replay(tenant, endpoint, &replay).await?;
    if args.follow {
        return follow(&client, begun, output).await;
    }
    output.answer(begun.json(), || details(&begun))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells how far a replay has come until it ends: a bar on a terminal, lines elsewhere, JSON on lines where that is asked for.
async fn follow(client: &Client, begun: Answer<Replay>, output: Output) -> anyhow::Result<ExitCode> {
    let bar = (!output.json && std::io::stderr().is_terminal()).then(|| bar(&begun));
    let mut told = String::new();
    let mut replay = begun;
    loop {
        match &bar {
            Some(bar) => bar.set_position(dealt_with(&replay)),
            None => {
                let line = if output.json { inert_json(replay.json()) } else { line(&replay) };
                if line != told {
                    output.line(&line)?;
                    told = line;
                }
            }
        }
        if replay.state != ReplayState::Running {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        match client.get_replay(&replay.tenant, &replay.endpoint, &replay.id).await {
            Ok(read) => replay = read,
            // A server that has too much to do will have less.
            Err(error) if error.as_api().is_some_and(|api| matches!(api.status, 429 | 503)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
        output.line(&details(&replay).render())?;
    }
    Ok(if replay.state == ReplayState::Done { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn bar(replay: &Replay) -> ProgressBar {
    const LOOK: &str = "{bar:40} {pos} of {len}, {per_sec}, {eta} to go";
    let bar = ProgressBar::new(replay.matched);
    // The default look does as well, should this one not be understood.
    bar.set_style(ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn dealt_with(replay: &Replay) -> u64 {
    replay.done + replay.skipped + replay.expired
}

fn line(replay: &Replay) -> String {
    let state = replay.state.to_string();
    inert(&format!("{} {state}: {} of {}", replay.id, dealt_with(replay), replay.matched))
}

fn details(replay: &Replay) -> Rows {
    let mut rows = Rows::new(&[]);
    rows.field("id", replay.id.as_str())
        .field("endpoint", replay.endpoint.as_str())
        .field("state", replay.state.to_string())
        .field("reason", replay.reason.clone().unwrap_or_default())
        .field("matched", replay.matched.to_string())
        .field("done", replay.done.to_string())
        .field("skipped", replay.skipped.to_string())
        .field("expired", replay.expired.to_string())
        .field("per second", replay.per_second.to_string())
        .field("created", replay.created_at.as_str())
        .field("finished", replay.finished_at.clone().unwrap_or_default());
    rows
}
