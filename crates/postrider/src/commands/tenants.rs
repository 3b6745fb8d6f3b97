//! `tenants`: set one, show, list, delete.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use postrider_client::{Quotas, Tenant, TenantSpec};
use serde_json::json;

use crate::cli::{Connection, PageArgs};
use crate::input;
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
        /// What kind of partner it is: it may have the event types that name it (may be repeated, or separated by commas)
        #[arg(long = "integration", value_name = "NAME", value_delimiter = ',')]
        integrations: Vec<String>,
        /// What becomes of card data in its events, as JSON: '{"numbers": "mask"}' [default: as the server is configured]
        #[arg(long, value_name = "JSON", value_parser = as_json)]
        card_policy: Option<serde_json::Value>,
        #[command(flatten)]
        quotas: QuotaArgs,
        /// Something to remember of it (may be repeated)
        #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = |text: &str| input::pair(text, '='))]
        metadata: Vec<(String, String)>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one tenant
    Show(One),
    /// List the tenants
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a tenant and all that it owns: endpoints, events, deliveries, tokens
    Delete(One),
}

/// One tenant.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id
    tenant: String,
    #[command(flatten)]
    connection: Connection,
}

/// What a tenant may take up.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Endpoints at most, 1 to 1000000 [default: 1000]
    #[arg(long = "quota-endpoints", value_name = "N")]
    endpoints: Option<u32>,
    /// Values in the filters of its endpoints at most, 1 to 1000000 [default: 10000]
    #[arg(long = "quota-filter-values", value_name = "N")]
    filter_values: Option<u32>,
    /// Pending deliveries at most, over all its endpoints, 1 to 1000000000 [default: 20000000]
    #[arg(long = "quota-pending", value_name = "N")]
    pending: Option<u32>,
    /// Events accepted a second at most, 1 to 1000000 [default: no limit]
    #[arg(long = "quota-events-per-second", value_name = "N")]
    events_per_second: Option<u32>,
}

impl QuotaArgs {
    fn quotas(&self) -> Option<Quotas> {
        let Self { endpoints, filter_values, pending, events_per_second } = *self;
        let quotas = Quotas { endpoints, filter_values, pending, events_per_second };
        (quotas != Quotas::default()).then_some(quotas)
    }
}

fn as_json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}

pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put { tenant, name, profile, integrations, card_policy, quotas, metadata, connection } => {
            let name = name.unwrap_or_else(|| tenant.clone());
            let quotas = quotas.quotas();
            let integrations = (!integrations.is_empty()).then_some(integrations);
            let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
            let spec = TenantSpec { name, profile, integrations, card_policy, quotas, metadata };
            let answer = super::client(&connection)?.put_tenant(&tenant, &spec).await?;
            output.answer(answer.json(), || details(&answer))?;
        }
        Command::Show(one) => {
            let answer = super::client(&one.connection)?.get_tenant(&one.tenant).await?;
            output.answer(answer.json(), || details(&answer))?;
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
        Command::Delete(one) => {
            super::client(&one.connection)?.delete_tenant(&one.tenant).await?;
            output.done(&format!("deleted {}", one.tenant), &json!({"id": one.tenant, "deleted": true}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn details(tenant: &Tenant) -> Rows {
    let metadata = tenant.metadata.iter().map(|(name, value)| format!("{name}={value}"));
    let mut rows = Rows::new(&[]);
    rows.field("id", tenant.id.as_str())
        .field("name", tenant.name.clone().unwrap_or_default())
        .field("profile", tenant.profile.as_str())
        .field("integrations", tenant.integrations.join(", "))
        .field("quotas", tenant.quotas.map(shown).unwrap_or_default())
        .field("card policy", or_dash(tenant.card_policy.as_ref()))
        .field("metadata", metadata.collect::<Vec<_>>().join(", "))
        .field("created", tenant.created_at.as_str())
        .field("updated", tenant.updated_at.as_str());
    rows
}

fn shown(quotas: Quotas) -> String {
    let each = [
        quotas.endpoints.map(|n| format!("{n} endpoints")),
        quotas.filter_values.map(|n| format!("{n} values in filters")),
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
