//! `tenants`: set one, list them.

use std::process::ExitCode;

use clap::Subcommand;
use postrider_client::TenantSpec;

use crate::cli::{Connection, PageArgs};
use crate::output::{Output, Rows, or_dash};

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a tenant, or replace what it is set to
    Put {
        /// Its id: 1-128 of A-Za-z0-9._:-
        tenant: String,
        /// Name for people [default: its id]
        #[arg(long)]
        name: Option<String>,
        /// Its profile [default: standard]
        #[arg(long)]
        profile: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the tenants
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put { tenant, name, profile, connection } => {
            let name = name.unwrap_or_else(|| tenant.clone());
            let spec = TenantSpec { name, profile, ..TenantSpec::default() };
            let answer = super::client(&connection)?.put_tenant(&tenant, &spec).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&[]);
                rows.field("id", answer.id.as_str())
                    .field("name", answer.name.clone().unwrap_or_default())
                    .field("profile", answer.profile.as_str())
                    .field("created", answer.created_at.as_str());
                rows
            })?;
        }
        Command::List { page, connection } => {
            let answer = super::client(&connection)?.list_tenants(&page.request()).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&["id", "name", "profile", "created"]);
                for tenant in &answer.data {
                    rows.row([
                        tenant.id.clone(),
                        or_dash(tenant.name.as_ref()),
                        tenant.profile.clone(),
                        tenant.created_at.clone(),
                    ]);
                }
                next_page(&mut rows, answer.next_cursor.as_deref());
                rows
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says under a table how to read on.
pub(super) fn next_page(rows: &mut Rows, cursor: Option<&str>) {
    if let Some(cursor) = cursor {
        rows.note(format!("there is more: --cursor {cursor}"));
    }
}
