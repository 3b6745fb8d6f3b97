//! Where a list is read on: an opaque text that only fits the list that it was made for.
//!
//! A cursor gives no rights, since every page is authorized anew; its check only tells a forged or misplaced one from a
//! real one, so that a mistake is told instead of giving a page that means nothing.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_core::id::Position;

/// Bytes of the check.
const CHECK: usize = 8;
/// The longest cursor that is looked at, in characters.
const MAX_LENGTH: usize = 512;

/// A list that is paged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum List {
    Tenants = 1,
    Tokens = 2,
    Endpoints = 3,
    Deliveries = 4,
    Events = 5,
    /// The operator's lists over all tenants, or of the one that is asked for.
    AllDeliveries = 6,
    AllEndpoints = 7,
    EventTypes = 8,
    Replays = 10,
    Matches = 9,
}

/// The cursor behind the entry that `at` names, in a list of a tenant (empty: over all of them).
pub(crate) fn write(list: List, tenant: &str, at: &[u8]) -> String {
    let mut bytes = check(list, tenant, at).to_vec();
    bytes.extend_from_slice(at);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The cursor of the page that goes on before a position.
pub(crate) fn before(list: List, tenant: &str, position: Position) -> String {
    write(list, tenant, &position.0.to_be_bytes())
}

/// What the cursor points at.
///
/// # Errors
/// For a cursor that is forged, of another list, or of another tenant.
pub(crate) fn read(list: List, tenant: &str, cursor: &str) -> Result<Vec<u8>, &'static str> {
    const FAULT: &str = "is not a next_cursor of this list; begin again without it";
    if cursor.len() > MAX_LENGTH {
        return Err(FAULT);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| FAULT)?;
    let (given, at) = bytes.split_at_checked(CHECK).ok_or(FAULT)?;
    if check(list, tenant, at) != given { Err(FAULT) } else { Ok(at.to_vec()) }
}

fn check(list: List, tenant: &str, at: &[u8]) -> [u8; CHECK] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"postrider cursor 1\0");
    context.update(&[list as u8]);
    context.update(tenant.as_bytes());
    context.update(b"\0");
    context.update(at);
    let mut check = [0; CHECK];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_place_and_a_changed_one_nowhere(
            at in prop::collection::vec(any::<u8>(), 0..150), tenant in "[a-z:]{0,9}", changed in any::<prop::sample::Index>(),
        ) {
            let cursor = write(List::Events, &tenant, &at);
            prop_assert_eq!(read(List::Events, &tenant, &cursor), Ok(at));
            let changed = changed.index(cursor.len());
            for other in "Aa0-_=".chars().filter(|c| !cursor[changed..].starts_with(*c)) {
                let mut tampered = cursor.clone();
                tampered.replace_range(changed..=changed, &other.to_string());
                prop_assert!(read(List::Events, &tenant, &tampered).is_err(), "{}", tampered);
            }
            prop_assert!(read(List::Events, &tenant, &cursor[..changed]).is_err());
        }

        #[test]
        fn no_text_is_a_cursor_by_chance(text in "[A-Za-z0-9_-]{0,80}|\\PC{0,80}") {
            prop_assert!(read(List::Events, "acme", &text).is_err());
        }
    }

    #[test]
    fn abuse_a13_a_cursor_fits_its_own_list_and_tenant_alone() {
        let cursor = write(List::Deliveries, "acme", b"position");
        assert_eq!(read(List::Deliveries, "acme", &cursor).unwrap(), b"position");
        assert!(read(List::Endpoints, "acme", &cursor).is_err());
        assert!(read(List::Deliveries, "acme2", &cursor).is_err());
        for forged in ["", "AAAA", "x", "é", &cursor[1..], &format!("{cursor}A"), &"A".repeat(10_000)] {
            assert!(read(List::Deliveries, "acme", forged).is_err(), "{forged}");
        }
    }
}
