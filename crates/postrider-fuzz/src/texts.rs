//! Short texts: ids, names, patterns, times, secrets. Each has one spelling, or keeps its meaning in the one it is given.

use postrider_core::id::{EndpointId, IdKind, PublicId, SubjectId, TenantId};
use postrider_core::secret::SigningSecret;
use postrider_core::signature::SigningKey;
use postrider_core::subscription::{Pattern, is_type_name};
use postrider_core::time::Timestamp;
use postrider_core::token::{self, TenantPattern};

use std::time::Duration;

const KINDS: [IdKind; 6] =
    [IdKind::Event, IdKind::Delivery, IdKind::Attempt, IdKind::Endpoint, IdKind::Token, IdKind::Replay];

pub(crate) fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for kind in KINDS {
        if let Ok(id) = PublicId::parse(kind, text) {
            assert_eq!(id.to_string(), text);
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert!(PublicId::parse(other, text).is_err());
            }
        }
    }
    let named = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    let is_name = (1..=128).contains(&text.len()) && text.chars().all(named) && text != "." && text != "..";
    assert_eq!(text.parse::<TenantId>().is_ok(), is_name);
    assert_eq!(text.parse::<EndpointId>().is_ok(), is_name);
    assert_eq!(text.parse::<SubjectId>().is_ok(), is_name);
    if let Ok(pattern) = TenantPattern::parse(text) {
        assert_eq!(pattern.to_string(), text);
        match text.strip_suffix('*') {
            None => assert!(pattern.covers(text) && !pattern.covers(&format!("{text}:1"))),
            Some(prefix) => {
                assert!(!pattern.covers(prefix) && !pattern.covers(prefix.trim_end_matches(':')));
                assert!(pattern.covers(&format!("{prefix}1")));
            }
        }
    }
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(pattern.to_string(), text);
        assert!(!is_type_name(text) || pattern.matches(text), "a type fits the pattern of its name");
    }
    if let Ok(time) = Timestamp::parse(text) {
        let again = Timestamp::parse(&time.rfc3339()).unwrap();
        assert_eq!(again.as_millis(), time.as_millis());
    }
    if let Ok(secret) = SigningSecret::parse(text) {
        assert_eq!(secret.reveal(), text);
        assert!(!format!("{secret:?}").contains(&text[SigningSecret::PREFIX.len()..]), "it is shown");
    }
    let key = SigningKey::new(&SigningSecret::generate([1; 24]));
    let now = Timestamp::from_secs(1_760_000_000);
    let minute = Duration::from_secs(60);
    assert!(
        key.verify("evt_1", "1760000000", text, b"{}", now, minute).is_err(),
        "nobody forges a signature"
    );
    assert!(key.verify("evt_1", text, "v1,AAAA", b"{}", now, minute).is_err());
    assert_eq!(token::hash(text), token::hash(text));
}
