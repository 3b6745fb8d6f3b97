//! Endpoints as their owners write them: what is accepted survives the store, also after it was patched.

use std::borrow::Cow;

use postrider_core::endpoint::{EndpointConfig, PublicConfig, Rotation, Terms};
use postrider_core::fault::ParseError;
use postrider_core::profile::Profile;
use postrider_core::time::Timestamp;
use postrider_dispatch::{Target, UrlPolicy};

use crate::events::is_told;
use crate::parts;

const FRESH: [u8; 24] = [7; 24];

/// A body that creates one, a patch of it, a body that replaces it, and a rotation of its secret.
pub(crate) fn endpoint(bytes: &[u8]) {
    let [create, patch, replacement, rotation] = parts(bytes);
    let terms = Terms { judge_url: &judge, ..Terms::standard() };
    let Some(config) = survives(EndpointConfig::parse_create_judged(create, FRESH, &terms)) else { return };
    assert_eq!(
        config.apply_patch_judged(b"{}", &terms).as_ref(),
        Ok(&config),
        "an empty patch changes nothing"
    );
    survives(config.apply_patch_judged(patch, &terms));
    survives(config.replace_judged(replacement, &terms));
    if let Ok(rotation) = Rotation::parse(rotation, FRESH, Profile::standard().secret()) {
        survives(config.rotate(&rotation, Timestamp::from_secs(1_760_000_000)));
    }
}

fn judge(url: &str) -> Result<Box<str>, Cow<'static, str>> {
    let target = Target::parse(url, &UrlPolicy::default());
    target.map(|target| target.as_str().into()).map_err(|fault| fault.to_string().into())
}

fn survives(read: Result<EndpointConfig, ParseError>) -> Option<EndpointConfig> {
    let config = read.inspect_err(is_told).ok()?;
    let (doc, secrets) = (config.to_doc(), config.secrets());
    assert_eq!(EndpointConfig::from_stored(&doc, secrets.as_bytes()).as_ref(), Ok(&config));
    assert!(PublicConfig::from_stored(&doc).is_ok(), "its public part stands alone");
    Some(config)
}
