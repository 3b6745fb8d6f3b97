//! The command line: which commands there are and what they take.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::commands::{
    deliveries, endpoints, event_types, events, feed, profiles, replays, subjects, tenants, tokens,
};
use crate::config::ConfigFlags;
use crate::demo::DemoArgs;
use crate::exit;
use crate::receiver::ReceiverArgs;
use crate::verify::VerifyArgs;

/// Delivers the events of a platform to its partners' webhooks.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, propagate_version = true, after_help = exit::HELP)]
pub(crate) struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ConfigFlags),
    /// See it work: a server, a receiver that verifies, and card traffic between them
    Demo(DemoArgs),
    /// Publish events; look them up
    #[command(subcommand)]
    Events(events::Command),
    /// Manage the catalogue of event types
    #[command(subcommand)]
    EventTypes(event_types::Command),
    /// Say which tenants a card or an account belongs to
    #[command(subcommand)]
    Subjects(subjects::Command),
    /// Manage a tenant's endpoints
    #[command(subcommand)]
    Endpoints(endpoints::Command),
    /// Read everything that an endpoint is owed, by sequence
    Feed(feed::FeedArgs),
    /// Read the delivery log; retry and cancel deliveries
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Deliver again what did not arrive, and follow it
    #[command(subcommand)]
    Replays(replays::Command),
    /// Manage tenants
    #[command(subcommand)]
    Tenants(tenants::Command),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Look at profiles: how the webhooks of a platform look
    #[command(subcommand)]
    Profile(profiles::Command),
    /// Check a webhook's signature offline, and say why it fails
    Verify(VerifyArgs),
    /// Play a partner of a profile: check each delivery, answer challenges
    Receiver(ReceiverArgs),
    /// Load a server and compare it with the direct limit
    Bench(BenchArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that lets a shell complete this program's commands and options
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective configuration, where each value comes from, and all its faults
    Check(ConfigFlags),
}

/// How a command reaches the server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// The server's address [default: the configured `listen`]
    #[arg(long, value_name = "URL", env = "POSTRIDER_URL", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// File that holds the token [default: the environment variable POSTRIDER_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PageArgs {
    /// Entries at most, 1 to 250
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=250))]
    pub(crate) limit: Option<u32>,
    /// Where the page begins, as the page before said
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

impl PageArgs {
    pub(crate) fn request(&self) -> postrider_client::PageRequest {
        postrider_client::PageRequest { limit: self.limit, cursor: self.cursor.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
