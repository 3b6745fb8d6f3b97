//! Which methods each path takes.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Place, document, path};
use crate::harness::Server;
use crate::harness::server::TOKEN;

/// Sends a request without a body, and reads what comes until the server closes: status line, headers, body.
async fn raw(server: &Server, method: &str, path: &str) -> (u16, BTreeSet<String>, String) {
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: postrider\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let allow = head.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap_or_default();
    (
        status,
        allow.split(',').filter(|method| !method.is_empty()).map(str::to_owned).collect(),
        body.to_owned(),
    )
}

#[tokio::test]
async fn abuse_a16_every_path_of_the_document_takes_the_methods_that_it_names_and_no_other() {
    let server = Server::start().await;
    let place = Place::make(&server, "acme").await;
    let document = document(&server).await;
    for (template, item) in document["paths"].as_object().unwrap() {
        let path = path(&place.ids, template);
        let mut named: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if named.contains("GET") {
            named.insert("HEAD".into());
            let (status, _, body) = raw(&server, "HEAD", &path).await;
            assert_eq!((status, body), (200, String::new()), "HEAD {path}");
        }
        let (status, allow, _) = raw(&server, "OPTIONS", &path).await;
        assert_eq!((status, &allow), (204, &named), "OPTIONS {path}");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
            if named.contains(method) {
                continue;
            }
            let (status, allow, body) = raw(&server, method, &path).await;
            assert_eq!((status, &allow), (405, &named), "{method} {path}");
            assert!(body.contains("urn:postrider:problem:method-not-allowed"), "{method} {path}: {body}");
        }
        let (status, _, body) = raw(&server, "GET", &format!("{path}/no/such/thing")).await;
        assert!(
            status == 404 && body.contains("urn:postrider:problem:not-found"),
            "{path}/no/such/thing: {status} {body}"
        );
    }
}
