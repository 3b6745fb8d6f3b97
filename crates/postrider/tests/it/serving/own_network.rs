//! Our own network is gone: nothing of it is charged to a partner. The test runs itself again in a network of its own with
//! nothing but loopback in it, so that no packet can leave whatever is tried.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Receiver, Setup, eventually, throughout};

/// An address that nothing leads to, until we make it ours.
const ELSEWHERE: &str = "10.77.0.1";
/// Set where the network is our own.
const INSIDE: &str = "POSTRIDER_TEST_IN_OWN_NETWORK";

/// Runs a test of this module again, in a network of its own.
fn again_in_own_network(test: &str) {
    // Whoever is not root becomes it in a space of their own, where the system allows that.
    let as_root: &[&str] = if rustix::process::getuid().is_root() { &[] } else { &["--map-root-user"] };
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let ran = Command::new("unshare")
        .args(as_root)
        .args(["--net", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[tokio::test]
async fn without_network_and_resolver_no_attempt_is_charged_and_everything_arrives_when_they_are_back() {
    if std::env::var_os(INSIDE).is_none() {
        return again_in_own_network(
            "without_network_and_resolver_no_attempt_is_charged_and_everything_arrives_when_they_are_back",
        );
    }
    let server = Setup::default()
        .set("OUTBOUND__ALLOW_PRIVATE", "true")
        // What a fault of ours cost would be the end of a delivery, of the circuit, and of the endpoint.
        .set("RETRY_SCHEDULE_S", "[]")
        .set("BREAKER__FAILURES", "1")
        .set("DISABLE_AFTER_DAYS", "0.00001")
        .start()
        .await;
    let api = server.api();
    let acme = api.tenant("acme").await;
    let receiver = Receiver::on(tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap());
    let port = receiver.address().port();
    let url = |host: &str| format!("http://{host}:{port}/");
    let by_address = acme.endpoint(json!({"url": url(ELSEWHERE), "event_types": ["address"]})).await;
    let by_name = acme.endpoint(json!({"url": url("partner.example"), "event_types": ["name"]})).await;
    let addressed = acme.publish(json!({"type": "address"})).await;
    let named = acme.publish(json!({"type": "name"})).await;

    eventually("the server says that its own network is at fault", async || {
        let ready = api.get("/readyz").await;
        let network =
            ready.json()["checks"].as_array().unwrap().iter().find(|c| c["name"] == "network").cloned();
        (ready.status == 503 && network.is_some_and(|check| check["ok"] == false)).then_some(())
    })
    .await;
    // Long enough for several tries, and past the time after which failures would disable an endpoint.
    throughout(Duration::from_secs(3), "nothing is charged", async || {
        let mut untouched = true;
        for (event, endpoint) in [(&addressed, &by_address), (&named, &by_name)] {
            let delivery = acme.delivery_of(event).await;
            let charged = |attempt: &Value| attempt["error"]["kind"] != "local";
            untouched &= delivery["status"] == "pending"
                && !delivery["attempts"].as_array().unwrap().iter().any(charged)
                && acme.read(endpoint).await["state"] == "active";
        }
        untouched
    })
    .await;
    assert_eq!(receiver.count(), 0);

    // The network is back: the address is there now, on this machine.
    let back = Command::new("ip").args(["address", "add", &format!("{ELSEWHERE}/32"), "dev", "lo"]).status();
    assert!(back.unwrap().success());
    acme.wait_for_status(&addressed, "succeeded").await;
    let arrived = receiver.of(&addressed);
    assert_eq!((arrived.len(), arrived[0].attempt()), (1, 1), "it is the first attempt");
    assert_eq!(acme.read(&by_address).await["state"], "active");
    assert_eq!(acme.read(&by_name).await["state"], "active");
}
