//! The reference pages in a real browser.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::server::TOKEN;
use crate::harness::{Api, Server, Setup};

/// Set to a directory, pictures of the pages are put there.
const PICTURES: &str = "POSTRIDER_TEST_PICTURES";

#[tokio::test]
async fn the_reference_shows_every_operation_and_asks_nobody_else_for_anything() {
    // As in production.
    let server = Setup::default().for_production().start().await;
    let origin = format!("http://{}/", server.address());
    let contract = server.api().get("/openapi.json").await.ok(200);
    // What endpoints receive is shown like a call.
    let paths = ["paths", "webhooks"].iter().flat_map(|part| contract[part].as_object().unwrap().values());
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    assert!(operations > 30, "{operations}");

    let mut page = Browser::open(&format!("{origin}docs")).await;
    page.wait_for("document.querySelectorAll('.opblock').length", json!(operations)).await;
    assert_eq!(page.value("document.title").await, "Postrider API");
    picture(&mut page, "docs").await;

    // An operation that is opened says what it takes, with examples, and what it answers.
    page.click("#operations-events-publishEvents .opblock-summary-control").await;
    page.wait_for(
        "!!document.querySelector('#operations-events-publishEvents .responses-table .response')",
        json!(true),
    )
    .await;
    page.value("document.querySelector('#operations-events-publishEvents').scrollIntoView()").await;
    picture(&mut page, "docs-operation").await;

    // With a token a call can be tried, at this server.
    page.click(".auth-wrapper .authorize").await;
    page.write(".auth-container input", TOKEN).await;
    page.click(".auth-btn-wrapper .authorize").await;
    page.click(".auth-btn-wrapper .btn-done").await;
    page.click("#operations-tenants-listTenants .opblock-summary-control").await;
    page.click("#operations-tenants-listTenants .try-out__btn").await;
    page.click("#operations-tenants-listTenants .execute").await;
    let answered = "document.querySelector('.live-responses-table tbody .response-col_status')?.textContent";
    page.wait_for(answered, json!("200")).await;
    page.value("document.querySelector('#operations-tenants-listTenants').scrollIntoView()").await;
    picture(&mut page, "docs-call").await;

    let elsewhere: Vec<_> = page.requests().into_iter().filter(|url| !url.starts_with(&origin)).collect();
    assert!(elsewhere.iter().all(|url| url.starts_with("data:")), "{elsewhere:?}");
    assert_eq!(page.complaints(), Vec::<Value>::new());
    // The policy is in force, and what is complained of is heard.
    page.value("fetch('http://127.0.0.2:9/').catch(() => null)").await;
    let refused = page.complaints();
    assert!(refused.iter().any(|told| told.to_string().contains("connect-src")), "{refused:?}");
}

/// Puts a picture where somebody asked for it.
async fn picture(page: &mut Browser, name: &str) {
    if let Some(directory) = std::env::var_os(PICTURES) {
        page.picture(&Path::new(&directory).join(format!("{name}.png"))).await;
    }
}

#[tokio::test]
async fn the_reference_needs_no_token_and_lets_nothing_foreign_in() {
    let server = Server::start().await;
    let nobody = Api::new(server.address(), "");
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/start.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
    ] {
        let answer = nobody.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("set-cookie").is_none());
    }
    // Nothing of what comes with it but is not asked for, and nothing beside it.
    for path in ["/docs/swagger-ui.js", "/docs/oauth2-redirect.html", "/docs/..%2fopenapi.json", "/docs/"] {
        nobody.get(path).await.problem(404);
    }
    let posted = nobody.post("/docs", &json!({})).await;
    assert_eq!(posted.header("allow"), Some("GET,HEAD"));
    posted.problem(405);
}
