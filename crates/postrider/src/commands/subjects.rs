//! `subjects`: say whose a card or an account is, show it, remove it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::Subject;
use serde_json::json;

use crate::cli::Connection;
use crate::output::{Output, Rows};

/// What to do with subjects.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a subject, or give it to other tenants
    Put {
        #[command(flatten)]
        one: One,
        /// A tenant that it belongs to (may be repeated, or separated by commas)
        #[arg(long = "tenant", value_name = "TENANT", required = true, value_delimiter = ',')]
        tenants: Vec<String>,
    },
    /// Show whose a subject is
    #[command(alias = "get")]
    Show(One),
    /// Remove a subject
    Delete(One),
}

/// One subject.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id: 1-128 of A-Za-z0-9._:-
    #[arg(value_name = "SUBJECT")]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put { one, tenants } => {
            let answer = super::client(&one.connection)?.put_subject(&one.id, &tenants).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Show(one) => {
            let answer = super::client(&one.connection)?.get_subject(&one.id).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Delete(one) => {
            super::client(&one.connection)?.delete_subject(&one.id).await?;
            output.done(&format!("removed {}", one.id), &json!({"id": one.id, "deleted": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn details(subject: &Subject) -> Rows {
    let mut rows = Rows::new(&[]);
    rows.field("id", subject.id.as_str())
        .field("tenants", subject.tenants.join(", "))
        .field("created", subject.created_at.as_str())
        .field("updated", subject.updated_at.as_str());
    rows
}
