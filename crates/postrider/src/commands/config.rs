//! `config check`: the effective configuration, where each value comes from, and what is wrong.

use std::process::ExitCode;

use serde_json::json;

use crate::config::{ConfigFlags, Fault, describe, environment, load};
use crate::exit;
use crate::output::{Output, Rows, inert};

pub(crate) fn check(flags: &ConfigFlags, output: Output) -> anyhow::Result<ExitCode> {
    let mut loaded = load(flags, environment());
    if let Some(folder) = &loaded.config.profiles_dir {
        let found =
            postrider_profiles::load(folder, &mut postrider_profiles::built_in()).err().unwrap_or_default();
        let source = loaded.source("profiles_dir").to_owned();
        let fault = |fault: postrider_profiles::FolderFault| Fault {
            key: "profiles_dir".into(),
            source: source.clone(),
            message: fault.to_string(),
        };
        loaded.faults.extend(found.into_iter().map(fault));
    }
    let settings = describe(&loaded);
    if output.json {
        let settings: Vec<_> = settings
            .iter()
            .map(|(key, value, source)| json!({"key": key, "value": value, "source": source}))
            .collect();
        let faults: Vec<_> = loaded
            .faults
            .iter()
            .map(|fault| json!({"key": fault.key, "source": fault.source, "message": fault.message}))
            .collect();
        output.done("", &json!({"settings": settings, "faults": faults}))?;
    } else {
        let mut rows = Rows::new(&["key", "value", "source"]);
        for (key, value, source) in settings {
            rows.row([key, value, source]);
        }
        output.line(&rows.render())?;
        output.line("")?;
        for fault in &loaded.faults {
            output.line(&inert(&format!("fault: {fault}")))?;
        }
        if loaded.faults.is_empty() {
            output.line("no faults")?;
        }
    }
    Ok(if loaded.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::USAGE) })
}
