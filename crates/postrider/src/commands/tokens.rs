//! `tokens`: make one, list them, revoke one.

use std::process::ExitCode;

use clap::Subcommand;
use postrider_client::NewToken;
use serde_json::json;

use super::tenants::next_page;
use crate::cli::{Connection, PageArgs};
use crate::output::{Output, Rows, or_dash};

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
        /// How it is shown: as it is, or as the platforms' management APIs have it
        #[arg(long, value_name = "KIND", value_parser = ["bearer", "client", "login", "hmac"])]
        kind: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the tokens, without their texts
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Revoke a token, at once
    Delete {
        /// Its id, tok_…
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { tenant, scopes, expires_at, kind, connection } => {
            let token = NewToken { tenant, scopes, expires_at, kind };
            let answer = super::client(&connection)?.create_token(&token).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&[]);
                rows.field("id", answer.id.as_str());
                for (name, value) in answer.credentials() {
                    rows.field(name, value);
                }
                rows.note("Keep the token now: it is not shown again.");
                rows
            })?;
        }
        Command::List { page, connection } => {
            let answer = super::client(&connection)?.list_tokens(&page.request()).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&["id", "kind", "tenant", "scopes", "created", "expires"]);
                for token in &answer.data {
                    rows.row([
                        token.id.clone(),
                        token.kind.clone(),
                        or_dash(token.tenant.as_ref()),
                        token.scopes.join(","),
                        token.created_at.clone(),
                        or_dash(token.expires_at.as_ref()),
                    ]);
                }
                next_page(&mut rows, answer.next_cursor.as_deref());
                rows
            })?;
        }
        Command::Delete { id, connection } => {
            super::client(&connection)?.delete_token(&id).await?;
            output.done(&format!("revoked {id}"), &json!({"id": id, "deleted": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
