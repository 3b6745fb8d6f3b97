//! The other documents of the API: what is accepted survives the store.

use postrider_core::event_type::EventTypeConfig;
use postrider_core::profile::Profiles;
use postrider_core::replay::{ReplayFilter, ReplayRequest};
use postrider_core::subject::SubjectConfig;
use postrider_core::tenant::TenantConfig;
use postrider_core::token::{Kept, TokenConfig};

use crate::events::is_told;

pub(crate) fn document(bytes: &[u8]) {
    match ReplayRequest::parse(bytes) {
        Ok(request) => assert_eq!(ReplayFilter::from_stored(&request.filter.to_doc()), Ok(request.filter)),
        Err(error) => is_told(&error),
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match TenantConfig::parse(text, &Profiles::default()) {
        Ok(tenant) => assert_eq!(TenantConfig::from_stored(&tenant.to_doc()), Ok(tenant)),
        Err(error) => is_told(&error),
    }
    match TokenConfig::parse(text) {
        Ok(token) => {
            assert_eq!(TokenConfig::from_stored(&token.to_doc(&Kept::Nothing)), Ok((token, Kept::Nothing)))
        }
        Err(error) => is_told(&error),
    }
    match EventTypeConfig::parse(text) {
        Ok(event_type) => assert_eq!(EventTypeConfig::from_stored(&event_type.to_doc()), Ok(event_type)),
        Err(error) => is_told(&error),
    }
    match SubjectConfig::parse(text, |_| true) {
        Ok(subject) => assert!((1..=32).contains(&subject.tenants.len())),
        Err(error) => is_told(&error),
    }
}
