//! What a start makes of endpoints that were removed while they were still owed something.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::endpoint::EndpointConfig;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{Accepted, Edit, Event, Group, Owed, Start, Status};
use postrider_core::seal::{Binding, DataKey};
use postrider_core::tenant::TenantConfig;
use postrider_core::time::Timestamp;
use postrider_engine::log::{Delivery, LogFilter};
use postrider_sqlite::SqliteConfig;
use postrider_store::{Store as _, Writer as _};

use crate::stand::{DATA_KEY, Stand, eventually};

const TENANT: TenantNo = TenantNo(1);
const ENDPOINT: EndpointNo = EndpointNo(1);
const AT: Timestamp = Timestamp::from_secs(1_760_000_000);

fn group(number: u64, position: u64, edits: Vec<Edit>, accepted: Vec<Accepted>) -> Group {
    let last = accepted.last().map_or(Position(position), Accepted::last_position);
    let (updates, tests) = (Vec::new(), Vec::new());
    Group { writer: 1, number, at: AT, first: Position(position), last, edits, accepted, updates, tests }
}

fn accepted(position: u64) -> Accepted {
    let event = Event {
        position: Position(position),
        tenant: TENANT,
        accepted_at: AT,
        occurred_at: AT,
        event_type: "card.transaction".into(),
        own_id: None,
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        data: Bytes::from_static(b"{}"),
    };
    let deliveries = vec![Owed { endpoint: ENDPOINT, sequence: position.div_ceil(2), start: Start::Due }];
    Accepted { event: Arc::new(event), deliveries, idempotency: None, own_id: None, key: None, subject: None }
}

/// The endpoint `ep_gone` is owed two deliveries when it is removed, and the process ends before they are cancelled.
fn crash_after_a_removal(directory: &std::path::Path) {
    let (store, mut writer) =
        postrider_sqlite::open(&directory.join("p.db"), SqliteConfig::default()).unwrap();
    let config = EndpointConfig::parse_create(br#"{"url":"https://a.example/"}"#, [7; 24]).unwrap();
    let doc = TenantConfig::named("Acme").to_doc();
    let edits = vec![
        Edit::PutTenant { no: TENANT, id: "acme".into(), doc, at: AT },
        Edit::PutEndpoint {
            no: ENDPOINT,
            tenant: TENANT,
            id: "ep_gone".into(),
            version: 1,
            doc: config.to_doc(),
            secrets: DataKey::new(&DATA_KEY).seal(
                Binding::endpoint(ENDPOINT, 1),
                config.secrets().as_bytes(),
                [1; 12],
            ),
            at: AT,
        },
    ];
    writer.commit(&group(1, 1, edits, vec![accepted(1), accepted(3)])).unwrap();
    let first = store.committed().plus(1).0;
    writer.commit(&group(2, first, vec![Edit::DeleteEndpoint { no: ENDPOINT }], Vec::new())).unwrap();
}

/// The log's rows of the removed endpoint, asked for by its id.
async fn of_gone(stand: &Stand) -> Vec<Delivery> {
    let endpoint = Some("ep_gone".to_owned());
    let filter = LogFilter { tenant: Some(TENANT), endpoint, limit: 10, ..LogFilter::default() };
    stand.engine.log(filter).await.unwrap().rows
}

async fn until_cancelled(stand: &Stand) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let rows = of_gone(stand).await;
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.endpoint == "ep_gone"), "{rows:?}");
        if rows.iter().all(|row| row.status == Status::Cancelled) {
            return;
        }
        assert!(std::time::Instant::now() < until, "what was owed is cancelled: {rows:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_again_after_an_endpoint_was_removed_that_was_still_owed_something() {
    let directory = tempfile::tempdir().unwrap();
    crash_after_a_removal(directory.path());
    let stand = Stand::start(directory.path()).await;
    until_cancelled(&stand).await;
    // And works for those that are there.
    stand.publish("after").await.unwrap();
    eventually("it arrived", || stand.arrivals("after") == 1).await;
    stand.engine.stop(Duration::from_secs(5)).await;
    drop(stand);
    // And once more, when nothing is owed to it any more: the log still knows its name.
    let stand = Stand::start(directory.path()).await;
    until_cancelled(&stand).await;
    stand.engine.stop(Duration::from_secs(5)).await;
}
