//! Events that nobody wants any more after their end.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Receiver, Reply, Server, eventually, throughout};

#[tokio::test]
async fn an_event_that_has_ended_is_accepted_and_not_attempted() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = json!({"tenant": "acme", "type": "t", "id": "late", "data": 1, "expires_at": "2020-01-01T00:00:00+01:00"});
    let first = acme.api.publish_text(&event.to_string()).await.ok(202);
    let ended = acme.wait_for_status("late", "cancelled").await;
    assert_eq!((&ended["reason"], &ended["attempts"]), (&json!("expired"), &json!([])));
    // However often and late it is repeated, the first answer stands.
    assert_eq!(acme.api.publish_text(&event.to_string()).await.ok(202), first);
    let mut other = event.clone();
    other["expires_at"] = json!("2020-01-01T00:00:00Z");
    acme.api.publish_text(&other.to_string()).await.problem(409);
    other.as_object_mut().unwrap().remove("expires_at");
    acme.api.publish_text(&other.to_string()).await.problem(409);
    let in_time = acme.publish(json!({"expires_at": "2099-01-01T00:00:00Z"})).await;
    acme.wait_for_status(&in_time, "succeeded").await;
    assert_eq!((receiver.count(), acme.whole_log("").await.len()), (1, 2));
    for odd in ["tomorrow", "2025-01-01", "0000-01-01T00:00:00Z", "99999-01-01T00:00:00Z"] {
        let mut event = event.clone();
        event["expires_at"] = json!(odd);
        let answer = acme.api.publish_text(&event.to_string()).await;
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/expires_at"], "{odd}");
    }
}

#[tokio::test]
async fn no_attempt_is_made_after_the_end_of_an_event_also_across_a_restart() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    let schedule = json!({"schedule_s": vec![1; 50]});
    acme.endpoint(json!({"url": receiver.url(), "retry": schedule})).await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let event = acme.publish(json!({"expires_at": end.to_string()})).await;
    receiver.wait_for_event(&event, 1).await;
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    let ended = acme.wait_for_status(&event, "cancelled").await;
    assert_eq!(ended["reason"], "expired");
    let last = receiver.of(&event).pop().unwrap();
    let last = jiff::Timestamp::try_from(last.wall).unwrap();
    assert!(last <= end + jiff::SignedDuration::from_millis(100), "{last} {end}");
    eventually("the end has passed", async || (jiff::Timestamp::now() > end).then_some(())).await;
    throughout(Duration::from_millis(300), "nothing is sent any more", async || {
        receiver
            .of(&event)
            .last()
            .is_some_and(|request| jiff::Timestamp::try_from(request.wall).unwrap() == last)
    })
    .await;
}
