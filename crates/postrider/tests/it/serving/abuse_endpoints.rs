//! Endpoints that somebody should not be able to register: where requests may not go, and what may not be in them.

use serde_json::{Value, json};

use crate::harness::{Server, Setup, Tenant};

async fn refused(acme: &Tenant, spec: Value, pointer: &str) {
    let answer = acme.api.post(&acme.path("endpoints"), &spec).await;
    let shown: String = spec.to_string().chars().take(120).collect();
    assert_eq!(answer.status, 422, "{shown}: {}", answer.text());
    assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{shown}");
}

async fn nothing_is_stored(acme: &Tenant) {
    assert_eq!(acme.api.get(&acme.path("endpoints")).await.ok(200)["data"], json!([]));
}

#[tokio::test]
async fn abuse_a30_a87_urls_that_are_not_plainly_https_are_refused_at_registration() {
    let server = Setup::default().for_production().start().await;
    let acme = server.tenant("acme").await;
    let long = format!("https://partner.example/{}", "x".repeat(8 << 10));
    for url in [
        "http://partner.example/",
        "file:///etc/passwd",
        "ftp://partner.example/",
        "gopher://partner.example/",
        "javascript:alert(1)",
        "https://user@partner.example/",
        "https://user:pass@partner.example/",
        "https://partner.example/#part",
        "https:///",
        "https://",
        "https://partner.example:0/",
        "partner.example",
        "",
        "https://good.example\\@bad.example/",
        "https://partner\t.example/",
        "https://[fe80::1%25eth0]/",
        "https://partner.example:22/",
        "https://partner.example:25/",
        "https://partner.example:6379/",
        &long,
    ] {
        refused(&acme, json!({"url": url}), "/url").await;
    }
    nothing_is_stored(&acme).await;
    // Stored as it is connected to.
    let made = acme
        .api
        .post(&acme.path("endpoints"), &json!({"url": "HTTPS://Partner.EXAMPLE:443/a/../b?c=D"}))
        .await
        .ok(201);
    assert_eq!(made["url"], "https://partner.example/b?c=D");
}

#[tokio::test]
async fn abuse_a31_a32_a85_special_addresses_are_refused_in_every_spelling() {
    let server = Setup::default().for_production().start().await;
    let acme = server.tenant("acme").await;
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "[fc00::1]",
        "[fe80::1]",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:db8::1]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "localhost",
        "x.localhost",
        "intranet",
    ] {
        refused(&acme, json!({"url": format!("https://{host}/")}), "/url").await;
    }
    nothing_is_stored(&acme).await;
    // A change is judged as the registration is.
    let endpoint = acme.endpoint(json!({"url": "https://partner.example/"})).await;
    let answer = acme.api.json("PATCH", &endpoint.path, &json!({"url": "https://10.0.0.1/"})).await;
    assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/url"]);
}

#[tokio::test]
async fn abuse_a31_for_development_loopback_alone_is_opened() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    for url in
        ["https://10.0.0.1/", "http://93.184.216.34/", "https://169.254.169.254/", "http://192.168.1.1/"]
    {
        refused(&acme, json!({"url": url}), "/url").await;
    }
    nothing_is_stored(&acme).await;
    acme.endpoint(json!({"url": "http://127.0.0.1:3000/"})).await;
}

#[tokio::test]
async fn abuse_a36_a93_headers_and_credentials_that_would_change_the_message_are_refused() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let url = "https://partner.example/hook";
    for name in [
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Webhook-Id",
        "webhook-signature",
        "Webhook-Timestamp",
        "Cookie",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "a b",
        "a:b",
        "a\r\nb",
        "a\0b",
    ] {
        refused(&acme, json!({"url": url, "headers": {name: "v"}}), &format!("/headers/{name}")).await;
        let auth = json!({"type": "api_key", "header": name, "value": "v"});
        refused(&acme, json!({"url": url, "auth": auth}), "/auth/header").await;
    }
    refused(&acme, json!({"url": url, "headers": {"": "v"}}), "/headers/").await;
    for value in ["a\r\nX-Split: 1", "a\nb", "a\rb", "a\0b", "\u{1b}[31m"] {
        refused(&acme, json!({"url": url, "headers": {"X-A": value}}), "/headers/X-A").await;
        refused(&acme, json!({"url": url, "auth": {"type": "bearer", "token": value}}), "/auth/token").await;
        refused(
            &acme,
            json!({"url": url, "auth": {"type": "api_key", "header": "X-K", "value": value}}),
            "/auth/value",
        )
        .await;
        let basic =
            |user: &str, password: &str| json!({"type": "basic", "username": user, "password": password});
        refused(&acme, json!({"url": url, "auth": basic(value, "p")}), "/auth/username").await;
        refused(&acme, json!({"url": url, "auth": basic("u", value)}), "/auth/password").await;
    }
    refused(
        &acme,
        json!({"url": url, "auth": {"type": "basic", "username": "a:b", "password": "p"}}),
        "/auth/username",
    )
    .await;
    nothing_is_stored(&acme).await;
}
