//! `profile`: list what there is, show one, check a folder before a start.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use postrider_core::profile::{Profile, Profiles};
use serde_json::json;

use crate::config::{ConfigFlags, environment, load};
use crate::exit;
use crate::output::{Output, Rows, inert};
use crate::serve;

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the profiles that the server has, those of profiles_dir included
    List(ConfigFlags),
    /// Show a profile: its declaration and its event types
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        flags: ConfigFlags,
    },
    /// Check the folder of a profile, and say all that is wrong with it
    Check {
        /// The folder, which has the profile's name and holds wire.toml and, if there is one, catalog.toml
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

pub(crate) fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(flags) => list(&configured(&flags)?, output)?,
        Command::Show { name, flags } => {
            let profiles = configured(&flags)?;
            let Some(profile) = profiles.get(&name) else {
                bail!(
                    "there is no profile of that name; `postrider profile list` shows those that there are"
                );
            };
            show(profile, output)?;
        }
        Command::Check { folder } => return check(&folder, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn configured(flags: &ConfigFlags) -> anyhow::Result<Profiles> {
    let config = load(flags, environment()).into_config()?;
    Ok(serve::profiles(config.profiles_dir.as_deref())?)
}

fn list(profiles: &Profiles, output: Output) -> anyhow::Result<()> {
    if output.json {
        let all: Vec<_> = profiles.iter().map(|profile| summary(profile)).collect();
        return output.done("", &json!({ "data": all }));
    }
    let mut rows = Rows::new(&["profile", "types", "catalogue", "description"]);
    for profile in profiles.iter() {
        rows.row([
            profile.name().to_string(),
            profile.types().len().to_string(),
            catalogue(profile).into(),
            profile.description().into(),
        ]);
    }
    output.line(&rows.render())
}

fn summary(profile: &Profile) -> serde_json::Value {
    json!({
        "name": profile.name().as_str(),
        "description": profile.description(),
        "catalogue": catalogue(profile),
        "types": profile.types().len(),
    })
}

fn catalogue(profile: &Profile) -> &'static str {
    if profile.is_closed() { "closed" } else { "open" }
}

fn show(profile: &Profile, output: Output) -> anyhow::Result<()> {
    if output.json {
        let types = profile.types().iter().map(|(name, of)| {
            json!({
                "type": name,
                "description": of.description,
                "kind": of.kind.as_str(),
                "integrations": of.integrations,
                "schema": of.schema.as_ref().and_then(|schema| value(schema.text())),
                "example": of.example.as_deref().and_then(value),
            })
        });
        let mut shown = summary(profile);
        shown["declaration"] = json!(profile.declaration());
        shown["types"] = types.collect();
        return output.done("", &shown);
    }
    // Its line breaks are part of it.
    let declaration: Vec<String> = profile.declaration().lines().map(inert).collect();
    output.line(&declaration.join("\n"))?;
    output.line("")?;
    let mut rows = Rows::new(&["type", "kind", "integrations", "description"]);
    for (name, of) in profile.types() {
        rows.row([
            name.to_string(),
            of.kind.as_str().into(),
            if of.integrations.is_empty() { "all".into() } else { of.integrations.join(", ") },
            of.description.as_deref().unwrap_or_default().into(),
        ]);
    }
    output.line(&rows.render())
}

fn value(text: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(text).ok()
}

fn check(folder: &std::path::Path, output: Output) -> anyhow::Result<ExitCode> {
    let found = postrider_profiles::check(folder).and_then(|profile| {
        let name = profile.name().clone();
        // Whether its name is free.
        match postrider_profiles::built_in().add(profile) {
            Ok(()) => Ok(name),
            Err(detail) => Err(vec![postrider_profiles::FolderFault::of(folder, detail)]),
        }
    });
    match found {
        Ok(name) => {
            output.done(
                &format!("profile {name} has no faults"),
                &json!({"profile": name.as_str(), "faults": []}),
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) if output.json => {
            let faults = faults.iter().map(|found| {
                let fault = &found.fault;
                json!({"file": found.path, "line": fault.line, "key": fault.key, "message": fault.detail})
            });
            output.done("", &json!({"faults": faults.collect::<Vec<_>>()}))?;
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(faults) => {
            for fault in &faults {
                output.line(&inert(&fault.to_string()))?;
            }
            Ok(ExitCode::from(exit::FAILED))
        }
    }
}
