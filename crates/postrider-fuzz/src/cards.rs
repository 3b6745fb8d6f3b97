//! The card guard: the first look misses nothing, and what was cleaned holds nothing any more.

use bytes::Bytes;
use postrider_core::card::{
    AuthenticationData, CardPolicy, Numbers, faults_of_configuration, holds_number, is_suspicious, mask_body,
    mask_header, without_numbers,
};
use postrider_core::fault::MAX_FAULTS;
use postrider_core::id::TenantNo;
use postrider_core::publication::Publication;
use serde::de::IgnoredAny;

use crate::parts;

const REFUSES: CardPolicy = CardPolicy::new(Numbers::Reject, AuthenticationData::Reject);
const CLEANS: CardPolicy = CardPolicy::new(Numbers::Mask, AuthenticationData::Strip);

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The data of an event, its attributes and its key.
pub(crate) fn card(bytes: &[u8]) {
    let [data, attributes, key] = parts(bytes);
    let event = Publication {
        tenant: TenantNo(1),
        entitled: true,
        event_type: "card.used".into(),
        own_id: None,
        key: std::str::from_utf8(key).ok().filter(|key| !key.is_empty()).map(Box::from),
        subject: None,
        expires_at: None,
        attributes: Bytes::copy_from_slice(attributes),
        occurred_at: None,
        data: Bytes::copy_from_slice(data),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    };
    // Only JSON comes so far.
    if !is_json(data) || !(attributes.is_empty() || is_json(attributes)) {
        return;
    }
    let refused = REFUSES.admit(&mut event.clone());
    assert!(is_suspicious(&event) || refused == Ok(false), "the first look missed it: {refused:?}");
    if let Err(faults) = &refused {
        assert!((1..=MAX_FAULTS).contains(&faults.len()), "{} faults", faults.len());
        assert!(faults.iter().all(|fault| !holds_number(&fault.pointer)), "{faults:?}");
    }
    let mut cleaned = event.clone();
    let Ok(changed) = CLEANS.admit(&mut cleaned) else { return };
    assert_eq!(changed, cleaned != event);
    assert!(is_json(&cleaned.data) && (cleaned.attributes.is_empty() || is_json(&cleaned.attributes)));
    assert_eq!(REFUSES.admit(&mut cleaned.clone()), Ok(false), "what is cleaned is clean");
    assert_eq!(CLEANS.admit(&mut cleaned), Ok(false), "and is not cleaned again");
}

/// What a receiver answers with, or a configuration: a text in any encoding.
pub(crate) fn answer(bytes: &[u8]) {
    let masked = mask_body(bytes, false);
    let masked = masked.as_deref().unwrap_or(bytes);
    assert_eq!(mask_body(masked, false), None, "what is masked holds nothing");
    assert!(!is_json(bytes) || is_json(masked), "JSON stays JSON");
    let _ = mask_body(bytes, true);
    let header = mask_header(bytes);
    assert_eq!(mask_header(header.as_deref().unwrap_or(bytes)), None);
    assert!(faults_of_configuration(bytes).len() <= MAX_FAULTS);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let without = without_numbers(text);
        // What is percent-encoded is decoded to be judged, and stands in no pointer that way.
        assert!(text.contains('%') || !holds_number(&without), "{without}");
    }
}
