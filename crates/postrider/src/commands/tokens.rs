//! `tokens`: make one.

use std::process::ExitCode;

use clap::Subcommand;
use postrider_client::NewToken;

use crate::cli::Connection;
use crate::output::{Output, Rows};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token and print it; it is not shown again
    Create {
        /// The tenant it is bound to, or a prefix such as acme:* [default: none, an operator's token]
        #[arg(long)]
        tenant: Option<String>,
        /// What it may do (may be repeated, or separated by commas)
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// When it ends, such as 2027-01-01T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { tenant, scopes, expires_at, connection } => {
            let token = NewToken { tenant, scopes, expires_at };
            let answer = super::client(&connection)?.create_token(&token).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&[]);
                rows.field("id", answer.id.as_str()).field("token", answer.token.as_str());
                rows.note("Keep the token now: it is not shown again.");
                rows
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
