//! Tenants, endpoints, tokens, health, event types and subjects.

use bytes::Bytes;
use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::record::{Edit, Health};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{Builder, Draft, TENANT, succeeded};
use crate::StoredSubject;

/// A tenant and an endpoint of it.
pub fn put(no: u32, version: u32) -> [Edit; 2] {
    let at = Timestamp::from_secs(version.into());
    [
        Edit::PutTenant { no: TENANT, id: "acme".into(), doc: Bytes::from_static(b"{}"), at },
        Edit::PutEndpoint {
            no: EndpointNo(no),
            tenant: TENANT,
            id: format!("ep-{no}").into(),
            version,
            doc: Bytes::from(format!("{{\"v\":{version}}}")),
            secrets: Bytes::from_static(b"{\"secret\":\"s\"}"),
            at,
        },
    ]
}

/// Documents, secrets, versions, health, tokens: as they were, after a crash.
pub fn configuration_survives_with_its_versions(harness: &dyn Harness) {
    let mut b = Builder::default();
    let health = Health { tripped_at: Some(b.now), failing_since: None, disabled: Some("gone".into()) };
    {
        let (store, mut writer) = harness.open();
        put(1, 1).into_iter().for_each(|e| b.edit(e));
        b.commit(&mut *writer, store.committed());
        put(1, 2).into_iter().for_each(|e| b.edit(e));
        b.edit(Edit::PutHealth { no: EndpointNo(1), health: health.clone() });
        for id in ["tok_a", "tok_b"] {
            let at = Timestamp::from_secs(7);
            b.edit(Edit::PutToken { id: id.into(), hash: [7; 32], doc: Bytes::from_static(b"[]"), at });
        }
        b.edit(Edit::DeleteToken { id: "tok_a".into() });
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    let recovery = store.recover().unwrap();
    assert_eq!((recovery.next_tenant, recovery.next_endpoint), (2, 2));
    assert_eq!(recovery.tenants[0].id, "acme");
    let endpoint = &recovery.endpoints[0];
    assert_eq!((endpoint.version, &endpoint.doc[..], &endpoint.health), (2, &b"{\"v\":2}"[..], &health));
    assert_eq!(&endpoint.secrets[..], b"{\"secret\":\"s\"}");
    // Neither bytes nor text of them are told to whoever prints what is stored, or what is to be.
    let printed = format!("{recovery:?} {:?}", put(1, 2));
    assert!(!printed.contains("secret") && printed.contains("ep-1"), "{printed}");
    // Times are those that who asked was told, not those of the commits.
    let (first, second) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
    assert_eq!((endpoint.created_at, endpoint.updated_at), (first, second));
    assert_eq!((recovery.tenants[0].created_at, recovery.tenants[0].updated_at), (first, second));
    let tokens: Vec<_> = recovery.tokens.iter().map(|t| (&*t.id, t.created_at)).collect();
    assert_eq!(tokens, [("tok_b", Timestamp::from_secs(7))]);
    let version = |v| store.endpoint_version(EndpointNo(1), v).unwrap().map(|v| v.doc);
    assert_eq!(version(1), Some(Bytes::from_static(b"{\"v\":1}")));
    assert_eq!(version(3), None);
}

/// What is known of whose an endpoint is stays with it from change to change, and goes with it.
pub fn verifications_survive_until_their_endpoint_is_removed(harness: &dyn Harness) {
    let mut b = Builder::default();
    let known = |no: u32, doc: &'static [u8]| Edit::PutVerification {
        no: EndpointNo(no),
        tenant: TENANT,
        doc: Bytes::from_static(doc),
    };
    {
        let (store, mut writer) = harness.open();
        for no in 1..=3 {
            put(no, 1).into_iter().for_each(|e| b.edit(e));
        }
        [known(1, b"{}"), known(2, b"[1]"), known(3, b"{}")].into_iter().for_each(|e| b.edit(e));
        b.commit(&mut *writer, store.committed());
        put(1, 2).into_iter().for_each(|e| b.edit(e));
        [known(2, b"[2]"), known(3, b"")].into_iter().for_each(|e| b.edit(e));
        b.commit(&mut *writer, store.committed());
    }
    let (store, mut writer) = harness.open();
    let known = || {
        let endpoints = store.recover().unwrap().endpoints;
        endpoints.into_iter().map(|e| (e.no.0, e.verification)).collect::<Vec<_>>()
    };
    let expected = [(1, &b"{}"[..]), (2, b"[2]"), (3, b"")];
    assert_eq!(known(), expected.map(|(no, doc)| (no, Bytes::from_static(doc))));
    b.edit(Edit::DeleteEndpoint { no: EndpointNo(2) });
    b.commit(&mut *writer, store.committed());
    assert_eq!(known().iter().map(|(no, _)| *no).collect::<Vec<_>>(), [1, 3]);
}

/// Also when nothing else remembers them.
pub fn numbers_are_never_used_twice(harness: &dyn Harness) {
    let mut b = Builder::default();
    {
        let (store, mut writer) = harness.open();
        put(9, 1).into_iter().for_each(|e| b.edit(e));
        b.edit(Edit::DeleteEndpoint { no: EndpointNo(9) });
        b.edit(Edit::DeleteTenant { no: TenantNo(1) });
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    let recovery = store.recover().unwrap();
    assert_eq!((recovery.next_tenant, recovery.next_endpoint), (2, 10));
    assert!(recovery.tenants.is_empty() && recovery.endpoints.is_empty());
}

/// Without its secrets, until its last delivery ended.
pub fn a_removed_endpoint_is_told_while_it_owes(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    put(1, 1).into_iter().for_each(|e| b.edit(e));
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    b.edit(Edit::DeleteTenant { no: TENANT });
    b.commit(&mut *writer, store.committed());
    let recovery = store.recover().unwrap();
    assert!(recovery.endpoints[0].deleted && recovery.endpoints[0].has_pending);
    assert!(recovery.endpoints[0].secrets.is_empty() && recovery.tenants.is_empty());
    b.update(succeeded(d, b.now));
    b.commit(&mut *writer, store.committed());
    // Its name stays as long as its row, so that the log can tell whose the delivery was.
    let recovery = store.recover().unwrap();
    assert!(recovery.endpoints.is_empty());
    let names: Vec<_> = recovery.removed.iter().map(|r| (r.no, r.tenant, &*r.id)).collect();
    assert_eq!(names, [(EndpointNo(1), TENANT, "ep-1")]);
}

/// Made, changed and removed; by profile and name. In order of both.
pub fn event_types_survive(harness: &dyn Harness) {
    let mut b = Builder::default();
    let put = |profile: &str, name: &str, doc: &'static [u8], secs| Edit::PutEventType {
        profile: profile.into(),
        name: name.into(),
        doc: Bytes::from_static(doc),
        at: Timestamp::from_secs(secs),
    };
    {
        let (store, mut writer) = harness.open();
        for (profile, name) in [("standard", "card.b"), ("standard", "card.a"), ("other", "card.a")] {
            b.edit(put(profile, name, b"{\"n\":1.0}", 1));
        }
        b.commit(&mut *writer, store.committed());
        b.edit(put("standard", "card.a", b"{ \"n\" : 2 }", 2));
        b.edit(put("standard", "card.c", b"{}", 3));
        b.edit(Edit::DeleteEventType { profile: "standard".into(), name: "card.b".into() });
        b.edit(Edit::DeleteEventType { profile: "other".into(), name: "card.c".into() });
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    let found = store.recover().unwrap().event_types;
    let found: Vec<_> = found
        .iter()
        .map(|t| (&*t.profile, &*t.name, &t.doc[..], t.created_at.as_secs(), t.updated_at.as_secs()))
        .collect();
    assert_eq!(
        found,
        [
            ("other", "card.a", &b"{\"n\":1.0}"[..], 1, 1),
            ("standard", "card.a", b"{ \"n\" : 2 }", 1, 2),
            ("standard", "card.c", b"{}", 3, 3),
        ]
    );
}

/// One by one, as soon as they are committed and after a crash; whether their tenants are there or not.
pub fn subjects_are_found_by_their_id(harness: &dyn Harness) {
    let mut b = Builder::default();
    let put = |id: &str, tenants: &[u32], secs| Edit::PutSubject {
        id: id.into(),
        tenants: tenants.iter().map(|no| TenantNo(*no)).collect(),
        created_at: Timestamp::from_secs(1),
        at: Timestamp::from_secs(secs),
    };
    let of = |tenants: &[u32], secs| {
        Some(StoredSubject {
            tenants: tenants.iter().map(|no| TenantNo(*no)).collect(),
            created_at: Timestamp::from_secs(1),
            updated_at: Timestamp::from_secs(secs),
        })
    };
    let many: Vec<u32> = (1..=32).map(|n| u32::MAX - n).collect();
    {
        let (store, mut writer) = harness.open();
        assert_eq!(store.subject("card:1").unwrap(), None);
        b.edit(put("card:1", &[2, 1], 1));
        b.edit(put("card:2", &many, 1));
        b.commit(&mut *writer, store.committed());
        assert_eq!(store.subject("card:1").unwrap(), of(&[2, 1], 1));
        b.edit(put("card:1", &[3], 2));
        b.edit(put("card:3", &[1], 2));
        b.edit(Edit::DeleteSubject { id: "card:3".into() });
        b.edit(Edit::DeleteSubject { id: "card:4".into() });
        b.edit(Edit::DeleteTenant { no: TenantNo(3) });
        b.commit(&mut *writer, store.committed());
        assert_eq!(store.subject("card:1").unwrap(), of(&[3], 2));
    }
    let (store, _writer) = harness.open();
    assert_eq!(store.subject("card:1").unwrap(), of(&[3], 2));
    assert_eq!(store.subject("card:2").unwrap(), of(&many, 1));
    for unknown in ["card:3", "card:4", "CARD:1", "card", ""] {
        assert_eq!(store.subject(unknown).unwrap(), None, "{unknown}");
    }
}
