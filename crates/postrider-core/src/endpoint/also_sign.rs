//! Signing as further profiles do, so that a partner can move from one scheme to another without a gap.

use serde_json::{Value, json};

use super::Terms;
use crate::json::{self, Detail, Object};
use crate::profile::{Profile, ProfileName};
use crate::secret::SigningSecret;
use crate::time::Timestamp;

/// The most profiles whose headers a request carries beside those of its own.
pub const MAX_ALSO_SIGN: usize = 2;

/// A profile whose headers, signatures included, come with each request until a time. The body stays that of the endpoint's
/// own profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlsoSign {
    /// The profile's name.
    pub profile: ProfileName,
    /// Until when.
    pub until: Timestamp,
}

impl AlsoSign {
    pub(super) fn to_json(&self) -> Value {
        json!({"profile": self.profile.as_str(), "until": self.until.rfc3339()})
    }

    /// Reads a list of them; `terms` are those of an endpoint that is being made or changed.
    pub(super) fn read(object: &mut Object<'_>, terms: Option<&Terms<'_>>) -> Vec<Self> {
        let read = |item: &mut Object<'_>| {
            let profile = item.required("profile", |v| {
                let text = json::string(v)?;
                match terms {
                    Some(terms) => terms.profiles.name(&text),
                    None => Ok(text.parse::<ProfileName>()?),
                }
            });
            let until = item.required("until", |v| Ok(Timestamp::parse(&json::string(v)?)?));
            Some(Self { profile: profile?, until: until? })
        };
        object.objects("also_sign", MAX_ALSO_SIGN, read).unwrap_or_default()
    }

    /// Whether a request can carry the headers of a further profile beside those of `others`, and beside those whose names are
    /// `taken`, in lower case, which its own are added to. A header that two of them set to the same is no matter.
    pub(super) fn check(
        profile: &Profile,
        secret: Option<&SigningSecret>,
        others: &[&Profile],
        taken: &mut Vec<String>,
    ) -> Result<(), Detail> {
        if others.iter().any(|other| other.name() == profile.name()) {
            return Err("signs already; drop it".into());
        }
        let names: Vec<String> = profile.wire().header_names().map(str::to_ascii_lowercase).collect();
        let agreed = |name: &str| others.iter().any(|other| other.wire().agrees(profile.wire(), name));
        if let Some(name) = names.iter().find(|name| taken.contains(name) && !agreed(name)) {
            return Err(format!(
                "also sets the header {name}, and a request has it once; choose another profile"
            )
            .into());
        }
        taken.extend(names);
        match secret {
            Some(secret) => profile.keys(secret).map(drop).map_err(|form| {
                format!("cannot sign with the endpoint's secret, which {form} there; rotate to one that both can use").into()
            }),
            None if profile.wire().signs() => {
                Err("cannot sign, since the endpoint has no secret; give it one".into())
            }
            None => Ok(()),
        }
    }
}
