//! What partners of several platforms do alike.

use std::sync::Arc;

use postrider_server::Surface;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::fixture::{ADMIN, Kind, Server, answering, eventually};

/// A server that has the platforms' profiles, maybe in the place of one of them.
pub(super) async fn server(surface: Option<&str>) -> Server {
    let surface = surface.map(|name| Surface::named(name).unwrap());
    let profiles = Arc::new(postrider_profiles::built_in());
    Server::start_as(Kind { profiles, surface, ..Kind::default() }).await
}

/// A partner's receiver, which takes everything; and the requests as they came, each in one piece.
pub(super) async fn receiver() -> (String, UnboundedReceiver<String>) {
    let (tell, told) = unbounded_channel();
    let (url, _) = answering(move |request| {
        let _ = tell.send(request.to_owned());
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
    })
    .await;
    (url, told)
}

/// A request's header, by its name in any case.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.split("\r\n\r\n").next()?.lines().skip(1);
    lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

pub(super) fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// The operational event that tells of an endpoint's move, once it is there.
pub(super) async fn moved(server: &Server) -> Value {
    let id = eventually(|| async {
        let events =
            server.operator("GET", "/v1/tenants/_operator/events?type=endpoint.moved", "", 200).await;
        events["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    server.call(ADMIN, "GET", &format!("/v1/tenants/_operator/events/{id}"), "").await.json()["data"].clone()
}
