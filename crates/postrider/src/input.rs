//! Text and bytes that a command takes from a file or from standard input, within bounds.

use std::fs::File;
use std::io::Read;

use anyhow::Context;
use serde_json::value::RawValue;

use crate::exit::Usage;

/// Reads a file, or standard input for `-`, of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is larger.
pub(crate) fn read(name: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file at the limit from one beyond it.
    if name == "-" {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).context("reading standard input")?;
    } else {
        let file = File::open(name).map_err(|e| Usage(format!("{name}: {e}")))?;
        file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("reading {name}"))?;
    }
    if bytes.len() as u64 > limit {
        return Err(Usage(format!("{name} is larger than {limit} bytes")).into());
    }
    Ok(bytes)
}

/// As [`read`], for UTF-8 text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub(crate) fn read_text(name: &str, limit: u64) -> anyhow::Result<String> {
    String::from_utf8(read(name, limit)?).map_err(|_| Usage(format!("{name} is not UTF-8 text")).into())
}

/// JSON that is given on the command line, or in a file of at most `limit` bytes. `what` says what it is for.
///
/// # Errors
/// As [`read_text`], and when it is not JSON.
pub(crate) fn json(
    what: &str,
    given: Option<String>,
    file: Option<&String>,
    limit: u64,
) -> anyhow::Result<Option<Box<RawValue>>> {
    let text = match (given, file) {
        (Some(text), _) => text,
        (None, Some(file)) => read_text(file, limit)?,
        (None, None) => return Ok(None),
    };
    let json = RawValue::from_string(text).map_err(|e| Usage(format!("the {what} is not JSON: {e}")))?;
    Ok(Some(json))
}

/// Splits `name<separator>value`, for clap.
pub(crate) fn pair(text: &str, separator: char) -> Result<(String, String), String> {
    match text.split_once(separator) {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("it must look like name{separator}value")),
    }
}
