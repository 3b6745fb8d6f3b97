//! `event-types`: register one, show, list, remove.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{EventType, EventTypeSpec};
use serde_json::json;

use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::input;
use crate::output::{Output, Rows};

/// A file with a schema or an example is no larger; the server's own limits are lower.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What to do with event types.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register an event type, or replace what is said of it
    Put(Box<PutArgs>),
    /// Show an event type with its schema and example
    #[command(alias = "get")]
    Show(One),
    /// List the event types
    List {
        /// Whose catalogue [default: standard]
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove an event type with its schema; its events are still accepted
    Delete(One),
}

/// One event type.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its name, such as card.created
    #[arg(value_name = "TYPE")]
    name: String,
    /// Whose catalogue [default: standard]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// What is said of an event type.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Its name, such as card.created
    #[arg(value_name = "TYPE")]
    name: String,
    /// Whose catalogue [default: standard]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// What happened when such an event comes
    #[arg(long)]
    description: Option<String>,
    /// JSON Schema (2020-12) that its data must fit
    #[arg(long, value_name = "JSON", conflicts_with = "schema_file")]
    schema: Option<String>,
    /// File with the schema; - is standard input
    #[arg(long, value_name = "FILE")]
    schema_file: Option<String>,
    /// Data as it may be, sent by tests
    #[arg(long, value_name = "JSON", conflicts_with = "example_file")]
    example: Option<String>,
    /// File with the example; - is standard input
    #[arg(long, value_name = "FILE")]
    example_file: Option<String>,
    /// An integration that may subscribe to it (may be repeated, or separated by commas) [default: all]
    #[arg(long = "integration", value_name = "NAME", value_delimiter = ',')]
    integrations: Vec<String>,
    /// What its events are [default: notification]
    #[arg(long, value_parser = ["notification", "decision"])]
    kind: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put(args) => {
            let client = super::client(&args.connection)?;
            let (profile, name) = (args.profile.clone(), args.name.clone());
            let answer = client.put_event_type(profile.as_deref(), &name, &spec(*args)?).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Show(one) => {
            let answer =
                super::client(&one.connection)?.get_event_type(one.profile.as_deref(), &one.name).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::List { profile, page, connection } => {
            let client = super::client(&connection)?;
            let answer = client.list_event_types(profile.as_deref(), &page.request()).await?;
            output.answer(answer.json(), || {
                let mut rows =
                    Rows::new(&["type", "kind", "schema", "example", "integrations", "description"]);
                let given = |is_there: bool| if is_there { "yes" } else { "-" }.to_owned();
                for event_type in &answer.data {
                    rows.row([
                        event_type.name.clone(),
                        event_type.kind.clone(),
                        given(event_type.schema.is_some()),
                        given(event_type.example.is_some()),
                        integrations(event_type),
                        event_type.description.clone().unwrap_or_default(),
                    ]);
                }
                next_page(&mut rows, answer.next_cursor.as_deref());
                rows
            })?;
        }
        Command::Delete(one) => {
            super::client(&one.connection)?.delete_event_type(one.profile.as_deref(), &one.name).await?;
            output.done(&format!("removed {}", one.name), &json!({"type": one.name, "deleted": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn spec(args: PutArgs) -> anyhow::Result<EventTypeSpec> {
    Ok(EventTypeSpec {
        description: args.description,
        schema: input::json("schema", args.schema, args.schema_file.as_ref(), MAX_FILE_BYTES)?,
        example: input::json("example", args.example, args.example_file.as_ref(), MAX_FILE_BYTES)?,
        integrations: args.integrations,
        kind: args.kind,
    })
}

fn details(event_type: &EventType) -> Rows {
    let mut rows = Rows::new(&[]);
    rows.field("type", event_type.name.as_str())
        .field("kind", event_type.kind.as_str())
        .field("profile", event_type.profile.as_str())
        .field("integrations", integrations(event_type))
        .field("description", event_type.description.clone().unwrap_or_default())
        .field("created", event_type.created_at.clone().unwrap_or_default())
        .field("updated", event_type.updated_at.clone().unwrap_or_default());
    for (name, json) in [("schema", &event_type.schema), ("example", &event_type.example)] {
        if let Some(json) = json {
            rows.text(name, json.get());
        }
    }
    rows
}

fn integrations(event_type: &EventType) -> String {
    if event_type.integrations.is_empty() { "all".into() } else { event_type.integrations.join(", ") }
}
