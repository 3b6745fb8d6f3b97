//! Attempts: of deliveries, and the single ones of tests.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    AttemptRecord, Disposition, ErrorKind, KeyHash, Place, Progress, Status, TestRecord, Trigger, Update,
};

use super::Harness;
use super::build::{Builder, Draft, TENANT, attempt, succeeded};
use super::retention::{DAY, forget};
use crate::LogQuery;

const ONE: EndpointNo = EndpointNo(1);

/// A test has a position but is no delivery.
pub fn a_test_is_kept_with_its_attempt(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let test = TestRecord {
        position: b.spare_position(),
        tenant: TENANT,
        endpoint: ONE,
        event_type: "card.opened".into(),
        data: Bytes::from_static(b"{}"),
        at: b.now,
        attempt: attempt(1, 0, Trigger::Test, 500, b.now),
    };
    b.test(test.clone());
    b.commit(&mut *writer, store.committed());
    assert_eq!(store.test(test.position).unwrap(), Some(test.clone()));
    assert_eq!(store.delivery(test.position).unwrap(), None);
}

/// Where their positions are; asked for by what they have, and for nothing else.
pub fn tests_lie_between_the_deliveries_of_the_log(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let (mut tests, mut owed) = (Vec::new(), Vec::new());
    for (endpoint, code) in [(1, 204), (2, 500), (1, 503)] {
        owed.extend(b.event(Draft { subject: Some("s".into()), ..Draft::default() }));
        let test = TestRecord {
            position: b.spare_position(),
            tenant: TENANT,
            endpoint: EndpointNo(endpoint),
            event_type: "card.opened".into(),
            data: Bytes::from_static(b"{}"),
            at: b.now,
            attempt: attempt(1, 0, Trigger::Test, code, b.now),
        };
        b.test(test.clone());
        tests.insert(0, test);
        b.commit(&mut *writer, store.committed());
    }
    let all = LogQuery { tenant: Some(TENANT), tests: true, limit: 9, ..LogQuery::default() };
    let found = |query: LogQuery| store.log(&query).unwrap().tests;
    assert_eq!(found(all.clone()), tests);
    assert_eq!(found(LogQuery { tenant: None, ..all.clone() }), tests);
    assert_eq!(found(LogQuery { tests: false, ..all.clone() }), []);
    assert_eq!(found(LogQuery { tenant: Some(TenantNo(2)), ..all.clone() }), []);
    let of_one = [tests[0].clone(), tests[2].clone()];
    assert_eq!(found(LogQuery { endpoint: Some(ONE), ..all.clone() }), of_one);
    let failed = LogQuery { status: Some(Status::Failed), ..all.clone() };
    assert_eq!(found(failed), tests[..2]);
    assert_eq!(found(LogQuery { status: Some(Status::Pending), ..all.clone() }), []);
    let opened =
        LogQuery { event_type: Some("card.opened".into()), tests: true, limit: 9, ..LogQuery::default() };
    assert_eq!(found(opened), tests);
    let (since, until) = (Some(tests[1].at), Some(tests[0].at));
    assert_eq!(found(LogQuery { since, until, ..all.clone() }), tests[1..2]);
    let key = Some(KeyHash::subject(TENANT, "s"));
    assert_eq!(found(LogQuery { subject: key, ..all.clone() }), []);
    assert_eq!(found(LogQuery { event: Some(Position(1)), ..all.clone() }), []);
    // Three rows and three tests, two by two: rows and tests take turns.
    let mut query = LogQuery { limit: 2, ..all };
    for test in &tests {
        let page = store.log(&query).unwrap();
        assert_eq!((page.rows.len(), &page.tests[..]), (1, std::slice::from_ref(test)));
        query.before = page.next;
    }
    // They go with what was accepted beside them.
    owed.iter().for_each(|d| b.update(succeeded(*d, b.now)));
    b.commit(&mut *writer, store.committed());
    b.now = b.now + DAY * 40;
    b.event(Draft::default());
    b.commit(&mut *writer, store.committed());
    forget(&mut *writer, &b);
    query.before = None;
    assert_eq!(found(query), []);
    for test in &tests {
        assert_eq!(store.test(test.position).unwrap(), None);
    }
}

/// Every kind of failure, addresses of both families, and answers of any bytes.
pub fn an_attempt_is_read_back_as_it_was(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    let (mut attempts, mut from) = (Vec::new(), Place::Due(d.position));
    for (number, kind) in (1..).zip(ErrorKind::ALL) {
        let answered = kind == ErrorKind::Status;
        let record = AttemptRecord {
            status_code: answered.then_some(599),
            error: Some((kind, format!("é 😀 {}", kind.as_str()).into())),
            remote_address: match number % 3 {
                0 => None,
                1 => Some(Ipv4Addr::new(192, 0, 2, 1).into()),
                _ => Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16).into()),
            },
            response_headers: (0..number)
                .map(|n| (format!("x-{n}").into(), Bytes::from(vec![n as u8; n as usize * 40])))
                .collect(),
            response_body: Bytes::from(vec![0xC3; number as usize * 500]),
            ..attempt(number, 0, Trigger::Schedule, 500, b.now)
        };
        attempts.push(record.clone());
        let again = Place::Retry(b.now + Duration::from_secs(u64::from(number)));
        b.update(Update {
            from: Some(from),
            to: Disposition::Pending(again),
            progress: Progress { attempts: number, step: number as u16, ..Progress::default() },
            attempt: Some(record),
            ..succeeded(d, b.now)
        });
        b.commit(&mut *writer, store.committed());
        from = again;
    }
    assert_eq!(store.delivery(d.position).unwrap().unwrap().attempts, attempts);
    drop((store, writer));
    let (store, _writer) = harness.open();
    assert_eq!(store.delivery(d.position).unwrap().unwrap().attempts, attempts);
}

/// Of a delivery that was attempted very often, the last thousand.
pub fn the_last_thousand_attempts_are_told(harness: &dyn Harness) {
    const ALL: u32 = 1_010;
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    let mut from = Place::Due(d.position);
    for number in 1..=ALL {
        let again = Place::Retry(b.now + Duration::from_millis(u64::from(number)));
        b.update(Update {
            from: Some(from),
            to: Disposition::Pending(again),
            progress: Progress { attempts: number, ..Progress::default() },
            attempt: Some(attempt(number, 0, Trigger::Schedule, 503, b.now)),
            ..succeeded(d, b.now)
        });
        from = again;
        if number % 101 == 0 {
            b.commit(&mut *writer, store.committed());
        }
    }
    let entry = store.delivery(d.position).unwrap().unwrap();
    let numbers: Vec<u32> = entry.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (ALL - 999..=ALL).collect::<Vec<_>>());
    assert_eq!(entry.row.progress.attempts, ALL);
}
