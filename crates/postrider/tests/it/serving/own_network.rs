//! Our own network is gone: nothing of it is charged to a partner. The server runs in a network of its own with nothing
//! but loopback in it, so that no packet can leave whatever is tried.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Receiver, Setup, eventually};
use crate::network::inside;

/// An address that nothing leads to, until we make it ours.
const ELSEWHERE: &str = "10.77.0.1";

#[tokio::test]
async fn without_network_and_resolver_no_attempt_is_charged_and_everything_arrives_when_they_are_back() {
    let script = r#"ip link set lo up && exec "$@""#;
    let server = Setup::default()
        .wrapped(&["unshare", "--net", "sh", "-c", script, "sh"])
        .set("OUTBOUND__ALLOW_PRIVATE", "true")
        // What a fault of ours cost would be the end of a delivery, of the circuit, and of the endpoint.
        .set("RETRY_SCHEDULE_S", "[]")
        .set("BREAKER__FAILURES", "1")
        .set("DISABLE_AFTER_DAYS", "0.00001")
        .start()
        .await;
    let pid = server.pid();
    let api = server.api().in_network_of(pid);
    let acme = api.tenant("acme").await;
    let listener = inside(pid, || std::net::TcpListener::bind("0.0.0.0:0")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let receiver = Receiver::on(tokio::net::TcpListener::from_std(listener).unwrap());
    let by_address = acme
        .endpoint(json!({"url": format!("http://{ELSEWHERE}:{port}/"), "event_types": ["address"]}))
        .await;
    let by_name = acme
        .endpoint(json!({"url": format!("http://partner.example:{port}/"), "event_types": ["name"]}))
        .await;
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
    let until = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < until {
        for (event, endpoint) in [(&addressed, &by_address), (&named, &by_name)] {
            let delivery = acme.delivery_of(event).await;
            assert_eq!(delivery["status"], "pending", "{delivery}");
            let charged = |a: &&Value| a["error"]["kind"] != "local";
            assert_eq!(
                delivery["attempts"].as_array().unwrap().iter().filter(charged).count(),
                0,
                "{delivery}"
            );
            assert_eq!(acme.read(endpoint).await["state"], "active");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(receiver.count(), 0);

    // The network is back: the address is there now, on this machine.
    let back = inside(pid, || {
        Command::new("ip").args(["address", "add", &format!("{ELSEWHERE}/32"), "dev", "lo"]).status()
    });
    assert!(back.unwrap().success());
    acme.wait_for_status(&addressed, "succeeded").await;
    let arrived = receiver.of(&addressed);
    assert_eq!((arrived.len(), arrived[0].attempt()), (1, 1), "it is the first attempt");
    assert_eq!(acme.read(&by_address).await["state"], "active");
}
