//! Subjects in memory and in the store, while both change.

use std::time::Duration;

use postrider_core::id::{SubjectId, TenantNo};
use postrider_core::subject::SubjectConfig;
use postrider_engine::error::ServiceError;

use crate::stand::{Fault, Stand, eventually};

async fn owners(stand: &Stand, id: &SubjectId) -> Vec<TenantNo> {
    let found = stand.engine.subjects(std::slice::from_ref(id)).await.unwrap().remove(0);
    found.map_or_else(Vec::new, |subject| subject.tenants.iter().map(|tenant| tenant.no).collect())
}

fn of(tenants: &[&str]) -> SubjectConfig {
    SubjectConfig { tenants: tenants.iter().map(|id| id.parse().unwrap()).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_after_a_change_sees_it_however_many_ask_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    let shop = stand.tenant("shop").await;
    let card: SubjectId = "card:1".parse().unwrap();
    let asking = {
        let (engine, card) = (stand.engine.clone(), card.clone());
        tokio::spawn(async move {
            loop {
                engine.subjects(std::slice::from_ref(&card)).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    for n in 0..50 {
        let (tenants, expected) = if n % 2 == 0 { (["acme"], stand.tenant) } else { (["shop"], shop) };
        stand.engine.put_subject(card.clone(), &of(&tenants)).await.unwrap();
        assert_eq!(owners(&stand, &card).await, [expected]);
        if n % 5 == 0 {
            stand.engine.delete_subject("card:1").await.unwrap();
            assert_eq!(owners(&stand, &card).await, []);
        }
    }
    asking.abort();
    // Many at once, of which each is there.
    let puts: Vec<_> = (0..200)
        .map(|n| {
            let engine = stand.engine.clone();
            tokio::spawn(
                async move { engine.put_subject(format!("c{n}").parse().unwrap(), &of(&["acme"])).await },
            )
        })
        .collect();
    for (n, put) in puts.into_iter().enumerate() {
        assert!(put.await.unwrap().unwrap().1, "made");
        assert_eq!(owners(&stand, &format!("c{n}").parse().unwrap()).await, [stand.tenant]);
    }
    stand.engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_not_durable_is_not_seen() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    stand.tenant("shop").await;
    let card: SubjectId = "card:1".parse().unwrap();
    stand.engine.put_subject(card.clone(), &of(&["acme"])).await.unwrap();
    stand.set(Fault::Full);
    stand.publish("stuck").await.unwrap_err();
    let refused = stand.engine.put_subject(card.clone(), &of(&["shop"])).await;
    assert!(matches!(refused, Err(ServiceError::Overloaded { .. })), "{refused:?}");
    assert_eq!(owners(&stand, &card).await, [stand.tenant]);
    stand.set(Fault::None);
    eventually("the store is ready again", || stand.engine.readiness().ready).await;
    assert_eq!(owners(&stand, &card).await, [stand.tenant]);
    stand.engine.stop(Duration::from_secs(5)).await;
}
