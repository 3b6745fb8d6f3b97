//! What an endpoint is judged by when it is made or changed.

use std::sync::LazyLock;

use crate::json::Detail;
use crate::profile::{ProfileName, Profiles};

/// Gives a URL in its one normal form, or says why deliveries may not go there.
pub type JudgeUrl<'a> = dyn Fn(&str) -> Result<Box<str>, Detail> + Sync + 'a;

/// What an endpoint is judged by: what its server has, what its tenant is, and where deliveries may go.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The profiles that there are.
    pub profiles: &'a Profiles,
    /// The profile of an endpoint that names none: its tenant's.
    pub profile: &'a ProfileName,
    /// Where deliveries may go; what it says is told with all other faults.
    pub judge_url: &'a JudgeUrl<'a>,
    /// Whether a stored credential goes along where a URL moves to another host, as the partners of some platforms expect.
    pub credentials_go_along: bool,
}

impl<'a> Terms<'a> {
    /// The same, with credentials that go along to another host.
    #[must_use]
    pub fn with_credentials_that_go_along(self) -> Self {
        Self { credentials_go_along: true, ..self }
    }
}

impl Terms<'static> {
    /// Profile `standard` alone, and every URL.
    pub fn standard() -> Self {
        static PROFILES: LazyLock<(Profiles, ProfileName)> = LazyLock::new(Default::default);
        Self {
            profiles: &PROFILES.0,
            profile: &PROFILES.1,
            judge_url: &|url| Ok(url.into()),
            credentials_go_along: false,
        }
    }
}
