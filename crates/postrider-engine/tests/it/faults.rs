//! What happens when the store cannot write, or does not know whether it wrote.

use std::sync::atomic::Ordering;

use postrider_core::node::NodeConfig;
use postrider_core::publication::Refusal;

use crate::stand::{Fault, Stand, eventually, publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a61_a_full_disk_refuses_publications_and_service_resumes_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    stand.publish("before").await.unwrap();
    stand.set(Fault::Full);
    let refused = stand.publish("during").await;
    assert!(matches!(refused, Err(Refusal::Overloaded(_))), "{refused:?}");
    assert!(!stand.engine.readiness().ready);
    // Also what comes while the first group is still stuck.
    assert!(stand.publish("later").await.is_err());
    stand.set(Fault::None);
    eventually("the store is ready again", || stand.engine.readiness().ready).await;
    stand.publish("after").await.unwrap();
    // Published again under the same id, as a publisher does that was told 503: one event.
    let again = stand.publish("during").await.unwrap();
    assert_eq!((again.id.as_str(), again.deliveries), ("during", 1));
    eventually("all arrived", || ["before", "during", "after"].iter().all(|id| stand.arrivals(id) > 0)).await;
    assert_eq!(stand.arrivals("during"), 1);
    stand.engine.stop(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a107_after_a_failed_write_the_handle_is_not_used_again_and_nothing_unwritten_is_acknowledged()
{
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    stand.publish("before").await.unwrap();
    stand.set(Fault::Lost);
    assert!(stand.publish("lost").await.is_err());
    let faults = || stand.switch.faults.load(Ordering::SeqCst);
    let seen = faults();
    eventually("the group is tried again on a new handle", || faults() > seen).await;
    stand.set(Fault::None);
    eventually("the store is ready again", || stand.engine.readiness().ready).await;
    stand.publish("after").await.unwrap();
    eventually("it arrived", || stand.arrivals("after") == 1).await;
    assert_eq!(stand.switch.reused.load(Ordering::SeqCst), 0, "a doubtful handle was used again");
    stand.engine.stop(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_result_was_unknown_but_which_is_on_the_disk_is_not_written_twice() {
    let directory = tempfile::tempdir().unwrap();
    let stand = Stand::start(directory.path()).await;
    stand.set(Fault::Kept);
    // Whoever waited is told to come again; the same id then leads to the event that was kept.
    assert!(stand.publish("kept").await.is_err());
    eventually("the store is ready again", || stand.engine.readiness().ready).await;
    assert_eq!(stand.publish("kept").await.unwrap().deliveries, 1);
    stand.publish("after").await.unwrap();
    eventually("both arrived", || stand.arrivals("kept") > 0 && stand.arrivals("after") > 0).await;
    assert_eq!((stand.arrivals("kept"), stand.arrivals("after")), (1, 1));
    assert_eq!(stand.switch.reused.load(Ordering::SeqCst), 0);
    stand.engine.stop(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_for_some_tenants_alone_is_completed_by_the_same_call_again() {
    let directory = tempfile::tempdir().unwrap();
    // Each event in a group of its own: the first is kept, and what waits behind it is turned away.
    let stand =
        Stand::start_with(directory.path(), NodeConfig { group_rows: 1, ..NodeConfig::default() }).await;
    let tenants = [stand.tenant, stand.tenant("shop").await, stand.tenant("other").await];
    let call = || tenants.iter().map(|tenant| publication(*tenant, "shared")).collect();
    stand.set(Fault::Kept);
    let refused = stand.engine.publish(call()).await;
    assert!(refused.iter().all(|answer| matches!(answer, Err(Refusal::Overloaded(_)))), "{refused:?}");
    eventually("the store is ready again", || stand.engine.readiness().ready).await;
    eventually("the one that was kept arrived", || stand.arrivals("shared") == 1).await;
    let completed = stand.engine.publish(call()).await;
    for answer in &completed {
        assert_eq!(answer.as_ref().map(|receipt| receipt.deliveries), Ok(1), "{completed:?}");
    }
    assert_eq!(stand.engine.publish(call()).await, completed);
    eventually("one for each tenant arrived", || stand.arrivals("shared") == 3).await;
    stand.engine.stop(std::time::Duration::from_secs(5)).await;
    assert_eq!(stand.arrivals("shared"), 3);
}
