//! A full disk: publishing waits, nothing that was acknowledged is lost, and it goes on when there is room.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Receiver, Setup, eventually, within};

/// Whoever is not root becomes it in a space of their own, where the system allows that.
fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a61_on_a_full_disk_publishing_answers_503_and_goes_on_when_there_is_room() {
    // A small disk in memory lies over the server's directory, for the server alone.
    let mut wrapper = vec!["unshare", "--mount"];
    if !is_root() {
        wrapper.push("--map-root-user");
    }
    wrapper.extend(["sh", "-c", r#"mount -t tmpfs -o size=16m none "$PWD" && exec "$@""#, "sh"]);
    let server = Setup::default().wrapped(&wrapper).start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let mut connection = acme.api.connect().await.unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut refused = 0;
    let filling = "x".repeat(200_000);
    for n in 0..400 {
        let id = format!("e{n}");
        let answer = connection
            .publish(&json!({"tenant": "acme", "type": "t", "id": id, "data": filling}))
            .await
            .unwrap();
        match answer.status {
            202 => {
                acknowledged.insert(id);
            }
            503 => {
                answer.problem(503);
                assert!(answer.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok()), "{answer:?}");
                refused += 1;
                if refused >= 20 {
                    break;
                }
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(refused >= 20, "{} were acknowledged on a disk of 16 MiB", acknowledged.len());
    assert_eq!(server.api().get("/readyz").await.status, 503);
    // Reading goes on all the while.
    assert!(!acme.log("limit=5").await.is_empty());

    let room = Command::new("nsenter")
        .args(if is_root() { &[][..] } else { &["--user", "--preserve-credentials"] })
        .args(["--mount", "--target", &server.pid().to_string()])
        .args(["mount", "-o", "remount,size=256m"])
        .arg(server.database().parent().unwrap())
        .status();
    assert!(room.unwrap().success());
    within(Duration::from_secs(20), "it publishes again", async || {
        let answer = acme.api.publish_text(r#"{"tenant":"acme","type":"t","id":"again","data":1}"#).await;
        (answer.status == 202).then_some(())
    })
    .await;
    acknowledged.insert("again".into());
    eventually("it says that it is ready", async || {
        (server.api().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    eventually("everything acknowledged arrives", async || {
        let arrived: BTreeSet<_> = receiver.all().iter().map(|r| r.event().to_owned()).collect();
        acknowledged.is_subset(&arrived).then_some(())
    })
    .await;
    eventually("each has its verdict", async || {
        acme.log("status=pending&limit=1").await.is_empty().then_some(())
    })
    .await;
}
