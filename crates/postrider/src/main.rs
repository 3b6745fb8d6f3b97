//! The `postrider` program: command line and configuration of the webhook delivery platform.

#![forbid(unsafe_code)]

mod bench;
mod cli;
mod commands;
mod config;
mod database;
mod demo;
mod exit;
mod input;
mod output;
mod receiver;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let json = cli.json;
    match run(cli).await {
        Ok(code) => code,
        Err(error) => exit::report(&error, json),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::Serve(flags) => serve::run(&flags).await,
        Command::Demo(args) => demo::run(args, output).await,
        Command::Events(command) => commands::events::run(command, output).await,
        Command::EventTypes(command) => commands::event_types::run(command, output).await,
        Command::Subjects(command) => commands::subjects::run(command, output).await,
        Command::Endpoints(command) => commands::endpoints::run(command, output).await,
        Command::Feed(args) => commands::feed::run(args, output).await,
        Command::Deliveries(command) => commands::deliveries::run(command, output).await,
        Command::Replays(command) => commands::replays::run(command, output).await,
        Command::Tenants(command) => commands::tenants::run(command, output).await,
        Command::Tokens(command) => commands::tokens::run(command, output).await,
        Command::Profile(command) => commands::profiles::run(command, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Receiver(args) => receiver::run(args, output).await,
        Command::Bench(args) => bench::run(args, output).await,
        Command::Config(ConfigCommand::Check(flags)) => commands::config::check(&flags, output),
        Command::Completions { shell } => commands::completions::print(shell, output),
    }
}
