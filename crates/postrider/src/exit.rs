//! Exit codes, and what is said when a command fails.

use std::io::{self, Write};
use std::process::ExitCode;

use postrider_client::Error as ClientError;
use postrider_engine::MasterKeyError;
use serde_json::json;

use crate::config::ConfigError;
use crate::output::{inert, inert_json};

/// The operation failed, was refused, or a check did not hold.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration is wrong (clap uses the same).
pub(crate) const USAGE: u8 = 2;
/// The server was not reached or did not answer.
pub(crate) const UNREACHABLE: u8 = 3;
/// What was named does not exist, or belongs to somebody else.
pub(crate) const NOT_FOUND: u8 = 4;
/// The token is missing, wrong, or lacks the scope.
pub(crate) const UNAUTHORIZED: u8 = 5;
/// The server is overloaded; the same command may succeed later.
pub(crate) const TRY_LATER: u8 = 6;

/// The master key is missing, not the one that the database needs, or not kept private.
pub(crate) const NO_KEY: u8 = 7;

/// The codes, for `--help`.
pub(crate) const HELP: &str = "Exit codes:
  0  done
  1  the operation failed, was refused, or a check did not hold
  2  the command line or the configuration is wrong
  3  the server was not reached or did not answer
  4  what was named does not exist
  5  the token is missing, wrong, or lacks the scope
  6  the server is overloaded; try again later
  7  the master key is missing, not the one that the database needs, or not kept private";

/// A mistake in how a command was called, found after parsing.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The exit code that an error stands for.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.is::<ConfigError>() {
        return USAGE;
    }
    if error.is::<MasterKeyError>() {
        return NO_KEY;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::BaseUrl { .. } | ClientError::Argument { .. }) => USAGE,
        Some(
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } | ClientError::Exchange { .. },
        ) => UNREACHABLE,
        Some(ClientError::Api(api)) => match api.status {
            401 | 403 => UNAUTHORIZED,
            404 | 410 => NOT_FOUND,
            429 | 503 => TRY_LATER,
            _ => FAILED,
        },
        Some(ClientError::Unexpected { .. }) | None => FAILED,
    }
}

/// Tells what is wrong with the command line, or the help that was asked for, and returns the exit code. An argument that could
/// steer a terminal is told in plain text, and escaped.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let plain = error.to_string();
    let told: Vec<String> = plain.lines().map(inert).collect();
    // With nobody to read it there is nobody left to tell.
    let _ = if error.use_stderr() && plain.lines().ne(told.iter()) {
        writeln!(io::stderr().lock(), "{}", told.join("\n"))
    } else {
        error.print()
    };
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// Says on standard error what went wrong and what to do, and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let code = code(error);
    let text = if as_json { as_json_text(error, code) } else { as_text(error) };
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
    ExitCode::from(code)
}

fn as_text(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api(api)) => {
            let problem = &api.problem;
            lines.push(match &problem.detail {
                Some(detail) => format!("error: {} ({}): {detail}", problem.title, api.status),
                None => format!("error: {} ({})", problem.title, api.status),
            });
            lines.extend(problem.errors.iter().map(|e| format!("  {}: {}", e.pointer, e.detail)));
            if let Some(id) = &problem.request_id {
                lines.push(format!("  request id: {id}"));
            }
            if let Some(wait) = api.retry_after {
                lines.push(format!("  try again in {} s", wait.as_secs()));
            }
        }
        // A configuration lists its faults line by line.
        _ => lines.extend(format!("error: {error:#}").lines().map(str::to_owned)),
    }
    lines.extend(remedy(error).map(|remedy| format!("help: {remedy}")));
    lines.iter().map(|line| inert(line)).collect::<Vec<_>>().join("\n")
}

fn as_json_text(error: &anyhow::Error, code: u8) -> String {
    let api = error.downcast_ref::<ClientError>().and_then(ClientError::as_api);
    let value = json!({
        "error": {
            "message": format!("{error:#}"),
            "problem": api.map(|api| &api.problem),
            "retry_after_s": api.and_then(|api| api.retry_after).map(|wait| wait.as_secs()),
            "help": remedy(error),
        },
        "exit_code": code,
    });
    inert_json(&value.to_string())
}

fn remedy(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref::<ClientError>()? {
        ClientError::Unreachable { .. } => {
            Some("is the server running? set its address with --server or POSTRIDER_URL")
        }
        ClientError::Timeout { .. } | ClientError::Exchange { .. } => Some(
            "whether the server took the request is unknown; publishing again is safe with the same --id or --idempotency-key",
        ),
        ClientError::Api(api) if api.status == 401 => {
            Some("set POSTRIDER_TOKEN to a valid token, or name a file that holds one with --token-file")
        }
        ClientError::Api(api) if api.status == 403 => {
            Some("use a token that has the scope; `postrider tokens create` makes one")
        }
        ClientError::Unexpected { .. } => Some("is this address a Postrider server's?"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use postrider_client::{ApiError, FieldError, Problem};

    use super::*;

    fn refused(status: u16) -> anyhow::Error {
        let problem = Problem {
            title: "Refused".into(),
            detail: Some("bad\u{1b}[2J".into()),
            errors: vec![FieldError { pointer: "/url".into(), detail: "is not https".into() }],
            ..Problem::default()
        };
        ClientError::Api(Box::new(ApiError { status, problem, retry_after: None })).into()
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let url = || "http://127.0.0.1:1".to_owned();
        let cases: Vec<(anyhow::Error, u8)> = vec![
            (Usage("both".into()).into(), USAGE),
            (ClientError::BaseUrl { url: url(), reason: String::new() }.into(), USAGE),
            (ClientError::Unreachable { url: url(), reason: String::new() }.into(), UNREACHABLE),
            (ClientError::Timeout { url: url(), after: std::time::Duration::ZERO }.into(), UNREACHABLE),
            (refused(404), NOT_FOUND),
            (refused(401), UNAUTHORIZED),
            (refused(403), UNAUTHORIZED),
            (refused(429), TRY_LATER),
            (refused(503), TRY_LATER),
            (refused(409), FAILED),
            (refused(422), FAILED),
            (refused(500), FAILED),
            (anyhow::anyhow!("disk"), FAILED),
            (MasterKeyError::Random.into(), NO_KEY),
        ];
        for (error, expected) in cases {
            assert_eq!(code(&error), expected, "{error}");
            let context = error.context("while publishing");
            assert_eq!(code(&context), expected, "{context:#}");
        }
    }

    #[test]
    fn abuse_a98_a_problem_is_told_with_its_fields_and_is_inert() {
        let text = as_text(&refused(422));
        assert_eq!(text, "error: Refused (422): bad\\u{1b}[2J\n  /url: is not https");
        assert!(as_text(&refused(401)).contains("POSTRIDER_TOKEN"));
        let json: serde_json::Value = serde_json::from_str(&as_json_text(&refused(422), FAILED)).unwrap();
        assert_eq!(json["error"]["problem"]["errors"][0]["pointer"], "/url");
    }
}
