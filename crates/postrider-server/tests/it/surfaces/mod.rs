//! The management APIs of the platforms, as a partner of each meets them.

mod clevercards;
mod fourpay;
mod mcards;
mod opencard;
mod partners;
mod penny;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use postrider_core::profile::Profiles;
use postrider_server::Surface;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fixture::{Kind, Server};

/// A server with the profiles that every server has, whose OpenCard organizations have all products.
async fn start(surface: Option<&str>) -> Server {
    let mut profiles = postrider_profiles::built_in();
    profiles.open_types("opencard");
    start_with(profiles, surface).await
}

async fn start_with(profiles: Profiles, surface: Option<&str>) -> Server {
    let surface = surface.map(|name| Surface::named(name).unwrap());
    Server::start_as(Kind { profiles: Arc::new(profiles), surface, ..Kind::default() }).await
}

/// A tenant with a platform's profile.
async fn tenant(server: &Server, id: &str, profile: &str) {
    let body = json!({ "profile": profile }).to_string();
    server.operator("PUT", &format!("/v1/tenants/{id}"), body, 201).await;
}

/// A credential of that kind, for such tenants.
async fn credential(server: &Server, kind: &str, tenant: &str, scopes: &[&str]) -> Value {
    let body = json!({"kind": kind, "tenant": tenant, "scopes": scopes}).to_string();
    server.operator("POST", "/v1/tokens", body, 201).await
}

/// The hex HMAC-SHA256 of a text, as the platforms' partners calculate it.
fn hex_hmac(secret: &str, text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The next request at a receiver of which this is true; those before are passed over.
async fn request(told: &mut UnboundedReceiver<String>, fits: impl Fn(&str) -> bool) -> String {
    loop {
        let request = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
        if fits(&request) {
            return request;
        }
    }
}

/// The next delivery at a receiver.
async fn delivery(told: &mut UnboundedReceiver<String>) -> String {
    request(told, |request| request.starts_with("post ")).await
}

/// A header of a request, as [`crate::fixture::answering`] tells of it: in small letters.
fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let head = request.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The body of a request.
fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// The same, empty where it is absent.
fn header_text<'r>(request: &'r str, name: &str) -> &'r str {
    header(request, name).unwrap_or("")
}

/// Host and port of a URL.
fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}
