//! `events publish --ndjson`: each line of a file, in as many batches as it takes.

use std::io::IsTerminal;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use postrider_client::{BatchItem, Problem};
use serde_json::json;

use super::PublishArgs;
use crate::exit;
use crate::input;
use crate::output::{Output, Rows};

/// A file of events is no larger.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Events of a batch; the server takes no more.
const BATCH_EVENTS: usize = 1_000;
/// Bytes of a batch, unless one line has more: half of what a server takes that is not told otherwise.
const BATCH_BYTES: usize = 4 << 20;

/// Publishes a file batch by batch. What one that fails leaves unpublished is not tried; what was published before is told.
pub(super) async fn publish(args: &PublishArgs, file: &str, output: Output) -> anyhow::Result<ExitCode> {
    let client = super::super::client(&args.connection)?;
    let lines = input::read(file, MAX_FILE_BYTES)?;
    let batches = batches(&lines);
    let shows = batches.len() > 1 && !output.json && std::io::stderr().is_terminal();
    let bar = if shows { bar(lines.len()) } else { ProgressBar::hidden() };
    let mut items = Vec::new();
    let mut failed = None;
    for batch in &batches {
        let from = items.len();
        let key = args.idempotency_key.as_ref().map(|key| key_of(key, from));
        match client.publish_ndjson(batch.to_vec().into(), key.as_deref()).await {
            Ok(answer) => items.extend(answer.iter().map(|item| at_its_place(item, from))),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    if failed.is_none() || !items.is_empty() {
        output.answer(&json!({"data": items}).to_string(), || table(&items))?;
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    let refused = items.iter().any(|item| item.outcome().is_err());
    Ok(if refused { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

/// The file in parts that the server takes, each of whole lines. Always the same for the same file, so that a repetition meets
/// the same keys.
fn batches(file: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    let (mut begin, mut at, mut events) = (0, 0, 0);
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let counts = usize::from(!line.trim_ascii().is_empty());
        if events + counts > BATCH_EVENTS || (at > begin && at + line.len() - begin > BATCH_BYTES) {
            batches.push(&file[begin..at]);
            (begin, events) = (at, 0);
        }
        at += line.len();
        events += counts;
    }
    // A file without a line is one batch too: the server says what it thinks of it.
    if at > begin || batches.is_empty() {
        batches.push(&file[begin..]);
    }
    batches
}

/// The idempotency key of the batch that begins with this item: a file that is one batch has the caller's own.
fn key_of(key: &str, from: usize) -> String {
    if from == 0 { key.to_owned() } else { format!("{key}@{from}") }
}

/// An item's answer with the places of its faults in the file instead of in its batch.
fn at_its_place(item: &BatchItem, from: usize) -> BatchItem {
    let mut item = item.clone();
    if let BatchItem::Refused { error } = &mut item {
        for fault in &mut error.errors {
            let Some(within) = fault.pointer.strip_prefix('/') else { continue };
            let (index, rest) = within.split_at(within.find('/').unwrap_or(within.len()));
            if let Ok(index) = index.parse::<usize>() {
                fault.pointer = format!("/{}{rest}", from.saturating_add(index));
            }
        }
    }
    item
}

fn bar(bytes: usize) -> ProgressBar {
    const LOOK: &str = "{bar:40} {bytes} of {total_bytes}, {eta} to go";
    let bar = ProgressBar::new(bytes as u64);
    // The default look does as well, should this one not be understood.
    bar.set_style(ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn table(items: &[BatchItem]) -> Rows {
    let mut rows = Rows::new(&["item", "event", "deliveries", "tenant", "refused because"]);
    for (index, item) in items.iter().enumerate() {
        match item.outcome() {
            Ok(events) => {
                for event in events {
                    let tenant = event.tenant.clone().unwrap_or_default();
                    let deliveries = event.deliveries.to_string();
                    rows.row([index.to_string(), event.id.clone(), deliveries, tenant, String::new()]);
                }
            }
            Err(problem) => {
                rows.row([index.to_string(), "-".into(), "-".into(), String::new(), reasons(problem)]);
            }
        }
    }
    rows
}

/// The bad fields, or the whole where no field is named.
fn reasons(problem: &Problem) -> String {
    if problem.errors.is_empty() {
        return problem.detail.clone().unwrap_or_else(|| problem.title.clone());
    }
    let each = problem.errors.iter().map(|e| format!("{}: {}", e.pointer, e.detail));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use postrider_client::FieldError;

    use super::*;

    fn sizes(file: &str) -> Vec<usize> {
        let batches = batches(file.as_bytes());
        assert_eq!(batches.concat(), file.as_bytes(), "nothing is lost or twice");
        batches.iter().map(|batch| batch.len()).collect()
    }

    #[test]
    fn a_file_is_parted_between_lines_and_by_what_a_server_takes() {
        assert_eq!(sizes(""), [0]);
        assert_eq!(sizes("{}"), [2]);
        assert_eq!(sizes(&"{}\n".repeat(1_000)), [3_000]);
        assert_eq!(sizes(&"{}\n".repeat(2_001)), [3_000, 3_000, 3]);
        // A line without anything is no event.
        assert_eq!(sizes(&"{}\n \r\n".repeat(1_000)), [6_000]);
        let long = format!("{}\n", "x".repeat(BATCH_BYTES / 2));
        assert_eq!(sizes(&long.repeat(3)), [long.len(), long.len(), long.len()]);
        let beyond = format!("{}\n{{}}\n", "x".repeat(BATCH_BYTES));
        assert_eq!(sizes(&beyond), [BATCH_BYTES + 1, 3]);
    }

    #[test]
    fn a_fault_is_told_by_its_place_in_the_file() {
        let place = |pointer: &str| {
            let errors = vec![FieldError { pointer: pointer.into(), detail: "odd".into() }];
            let item = BatchItem::Refused { error: Problem { errors, ..Problem::default() } };
            at_its_place(&item, 1_000).outcome().unwrap_err().errors[0].pointer.clone()
        };
        assert_eq!(place("/2/data/a~1b"), "/1002/data/a~1b");
        assert_eq!(place("/0"), "/1000");
        assert_eq!(place("/type"), "/type");
        assert_eq!(place("\u{e9}"), "\u{e9}");
        assert_eq!(place(""), "");
    }
}
