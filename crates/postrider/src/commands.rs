//! The commands over the API, one module for each kind of thing.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deliveries;
pub(crate) mod endpoints;
pub(crate) mod event_types;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod profiles;
pub(crate) mod replays;
pub(crate) mod subjects;
pub(crate) mod tenants;
pub(crate) mod tokens;

use postrider_client::Client;

use crate::cli::Connection;
use crate::config::{ConfigFlags, environment, load};
use crate::exit::Usage;
use crate::input;

/// A file with a token is no longer than this.
const MAX_TOKEN_FILE_BYTES: u64 = 4_096;

/// A client of the server that the flags, the environment or the configuration name.
fn client(connection: &Connection) -> anyhow::Result<Client> {
    let url = match &connection.server {
        Some(url) => url.clone(),
        None => configured_url()?,
    };
    let token = match &connection.token_file {
        Some(file) => input::read_text(&file.to_string_lossy(), MAX_TOKEN_FILE_BYTES)?.trim().to_owned(),
        None => std::env::var("POSTRIDER_TOKEN").unwrap_or_default().trim().to_owned(),
    };
    Ok(Client::new(&url, &token)?)
}

fn configured_url() -> anyhow::Result<String> {
    let flags = ConfigFlags {
        config: std::env::var_os("POSTRIDER_CONFIG").map(Into::into),
        ..ConfigFlags::default()
    };
    let config = load(&flags, environment()).into_config()?;
    config.local_url().ok_or_else(|| Usage("name the server with --server or POSTRIDER_URL".into()).into())
}
