//! `completions`: what a shell needs to complete the commands and options of this program.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::Output;

pub(crate) fn print(shell: Shell, output: Output) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postrider", &mut script);
    // A script is a script, with `--json` too.
    output.line(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
