//! `feed`: everything an endpoint is owed, one line a delivery, to the end or for as long as it goes on.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use postrider_client::{Error as ClientError, FeedEntry, FeedRequest};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::deliveries::shorten;
use crate::cli::Connection;
use crate::output::{Output, inert, inert_json};

/// How long one call waits for something new, in seconds.
const WAIT_S: u32 = 30;
/// Entries that one call asks for.
const PAGE: u32 = 250;
/// How long to wait before asking a server again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What of which feed.
#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    /// Whose
    #[arg(long)]
    tenant: String,
    /// The endpoint's id
    endpoint: String,
    /// Begin after this sequence number
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: u64,
    /// Entries at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Wait for what comes next, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The entries of an answer as the server wrote them, so that nothing of them is lost.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

pub(crate) async fn run(args: FeedArgs, output: Output) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.connection)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut part = FeedRequest { after: args.after, limit: None, wait_s: 0 };
    let mut answered = false;
    while left > 0 {
        part.limit = Some(u32::try_from(left).unwrap_or(PAGE).min(PAGE));
        let answer = match client.feed(&args.tenant, &args.endpoint, &part).await {
            Ok(answer) => answer,
            // Whoever follows outlives a restart of the server.
            Err(error) if args.follow && answered && passes(&error) => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        answered = true;
        let raw: Raw<'_> = serde_json::from_str(answer.json())?;
        for (entry, raw) in answer.data.iter().zip(raw.data) {
            let text = if output.json { json_line(raw) } else { line(entry) };
            if !output.line_if_read(&text)? {
                return Ok(ExitCode::SUCCESS);
            }
            part.after = entry.sequence;
            left -= 1;
        }
        if answer.data.is_empty() {
            if !args.follow {
                break;
            }
            part.wait_s = WAIT_S;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a failure is one that may be over a moment later.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Api(api) => matches!(api.status, 429 | 500..),
        ClientError::Unreachable { .. } | ClientError::Exchange { .. } | ClientError::Timeout { .. } => true,
        _ => false,
    }
}

/// One entry for programs. Its data may have line breaks, which stand between the parts of JSON alone: there a blank does.
fn json_line(entry: &RawValue) -> String {
    inert_json(&entry.get().replace(['\n', '\r'], " "))
}

/// One entry for people.
fn line(entry: &FeedEntry) -> String {
    let FeedEntry { sequence, status, event, .. } = entry;
    let data = shorten(event.data.get());
    inert(&format!("{sequence}  {}  {status}  {}  {}  {data}", event.occurred_at, event.kind, event.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a98_an_entry_is_one_line_and_inert_whatever_its_data_is() {
        let text = "{\"sequence\":7,\"delivery\":\"dlv_1\",\"status\":\"failed\",\"event\":{\"id\":\"e\",\"type\":\"a.b\",\"occurred_at\":\"t\",\"key\":null,\"attributes\":{},\"data\":{\r\n  \"a\":\t1.0,\n\"b\": \"\u{9b}31m\u{202e}\"}}}";
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let shown = json_line(raw);
        assert_eq!(shown.lines().count(), 1);
        assert!(!shown.contains(['\u{9b}', '\u{202e}']) && shown.contains(r#""a":	1.0"#), "{shown}");
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_str(&shown).unwrap());
        assert_eq!(before, after);
        let line = line(&serde_json::from_str(text).unwrap());
        assert!(line.starts_with("7  t  failed  a.b  e  {\\r\\n"), "{line}");
        assert!(!line.contains(|c: char| c.is_control()), "{line}");
    }
}
