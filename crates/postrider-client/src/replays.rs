//! Replays: many deliveries of an endpoint again, as a job.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Answer, Client, Error, Page, PageRequest};

/// What is to be replayed. A beginning is needed: `since`, `sequence_from`, or both; all conditions hold at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReplay {
    /// Accepted at this time or later, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Accepted before this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// With this sequence number or a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_from: Option<u64>,
    /// With this sequence number or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_to: Option<u64>,
    /// With one of these verdicts; `failed`, `cancelled` and `skipped` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<String>>,
    /// Of these types: exact, prefixes ending in `.*`, or `*`; of any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Deliveries that are let go a second at most, 1 to 10,000; the server's default is 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// How many deliveries a replay would cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayCount {
    /// How many.
    pub matched: u64,
}

/// Whether a replay goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReplayState {
    /// It does.
    Running,
    /// Everything was let go, or passed over.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It could not go on.
    Failed,
    /// A state that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl std::fmt::Display for ReplayState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Other(other) => other,
        })
    }
}

/// A replay, and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replay {
    /// Its id, `rpl_…`.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Endpoint id.
    pub endpoint: String,
    /// Whether it goes on.
    pub state: ReplayState,
    /// Why it could not go on.
    pub reason: Option<String>,
    /// Deliveries that were covered when it was made.
    pub matched: u64,
    /// Deliveries that were let go.
    pub done: u64,
    /// Once it is done: deliveries that were passed over.
    pub skipped: u64,
    /// Deliveries that were passed over because their events have expired.
    pub expired: u64,
    /// Deliveries that are let go a second at most.
    pub per_second: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it last went on, RFC 3339.
    pub updated_at: String,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
}

impl Client {
    /// Counts what a replay would cover.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn count_replay(
        &self,
        tenant: &str,
        endpoint: &str,
        replay: &NewReplay,
    ) -> Result<Answer<ReplayCount>, Error> {
        #[derive(Serialize)]
        struct DryRun<'a> {
            #[serde(flatten)]
            replay: &'a NewReplay,
            dry_run: bool,
        }
        let body = DryRun { replay, dry_run: true };
        self.send(Method::POST, &path(tenant, endpoint), &body).await
    }

    /// Begins a replay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_replay(
        &self,
        tenant: &str,
        endpoint: &str,
        replay: &NewReplay,
    ) -> Result<Answer<Replay>, Error> {
        self.send(Method::POST, &path(tenant, endpoint), replay).await
    }

    /// Reads a page of an endpoint's replays, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_replays(
        &self,
        tenant: &str,
        endpoint: &str,
        page: &PageRequest,
    ) -> Result<Answer<Page<Replay>>, Error> {
        self.get(&path(tenant, endpoint), &page.query()).await
    }

    /// Reads one replay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_replay(&self, tenant: &str, endpoint: &str, id: &str) -> Result<Answer<Replay>, Error> {
        self.get(&[&path(tenant, endpoint)[..], &[id]].concat(), &[]).await
    }

    /// Ends a replay: it lets nothing more go.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_replay(&self, tenant: &str, endpoint: &str, id: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::DELETE, &[&path(tenant, endpoint)[..], &[id]].concat()).await
    }
}

fn path<'a>(tenant: &'a str, endpoint: &'a str) -> [&'a str; 6] {
    ["v1", "tenants", tenant, "endpoints", endpoint, "replays"]
}
