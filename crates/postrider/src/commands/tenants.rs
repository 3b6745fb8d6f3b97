//! `tenants`: set one, list them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Quotas, TenantSpec};

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
        /// What becomes of card data in its events, as JSON: '{"numbers": "mask"}' [default: as the server is configured]
        #[arg(long, value_name = "JSON", value_parser = json)]
        card_policy: Option<serde_json::Value>,
        #[command(flatten)]
        quotas: QuotaArgs,
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

/// What a tenant may take up.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Endpoints at most, 1 to 1000000 [default: 1000]
    #[arg(long = "quota-endpoints", value_name = "N")]
    endpoints: Option<u32>,
    /// Pending deliveries at most, over all its endpoints, 1 to 1000000000 [default: 20000000]
    #[arg(long = "quota-pending", value_name = "N")]
    pending: Option<u32>,
    /// Events accepted a second at most, 1 to 1000000 [default: no limit]
    #[arg(long = "quota-events-per-second", value_name = "N")]
    events_per_second: Option<u32>,
}

impl QuotaArgs {
    fn quotas(&self) -> Option<Quotas> {
        let Self { endpoints, pending, events_per_second } = *self;
        let quotas = Quotas { endpoints, pending, events_per_second };
        (quotas != Quotas::default()).then_some(quotas)
    }
}

fn json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put { tenant, name, profile, card_policy, quotas, connection } => {
            let name = name.unwrap_or_else(|| tenant.clone());
            let quotas = quotas.quotas();
            let spec = TenantSpec { name, profile, card_policy, quotas, ..TenantSpec::default() };
            let answer = super::client(&connection)?.put_tenant(&tenant, &spec).await?;
            output.answer(answer.json(), || {
                let mut rows = Rows::new(&[]);
                rows.field("id", answer.id.as_str())
                    .field("name", answer.name.clone().unwrap_or_default())
                    .field("profile", answer.profile.as_str())
                    .field("quotas", answer.quotas.map(shown).unwrap_or_default())
                    .field("card policy", or_dash(answer.card_policy.as_ref()))
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

fn shown(quotas: Quotas) -> String {
    let each = [
        quotas.endpoints.map(|n| format!("{n} endpoints")),
        quotas.pending.map(|n| format!("{n} pending")),
        quotas.events_per_second.map(|n| format!("{n} events/s")),
    ];
    each.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Says under a table how to read on.
pub(super) fn next_page(rows: &mut Rows, cursor: Option<&str>) {
    if let Some(cursor) = cursor {
        rows.note(format!("there is more: --cursor {cursor}"));
    }
}
