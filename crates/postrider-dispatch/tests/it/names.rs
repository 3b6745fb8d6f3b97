//! Names that lead where they must not, now or later.

use std::sync::Arc;

use libc::ECONNREFUSED as REFUSED;
use postrider_dispatch::{DispatchConfig, Dispatcher, FailureKind, Request, Target, UrlPolicy};

use crate::support::{
    LONG, Line, Lines, Lookup, Names, always, dev_policy, found, loopback, post, post_name, post_to, strict,
};

#[tokio::test]
async fn abuse_a33_a_name_that_resolves_to_a_guarded_address_is_never_dialled() {
    for address in
        ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fc00::1", "::ffff:10.0.0.1", "0.0.0.0"]
    {
        let names = Names::with(&[("evil.example", &[found(&[address])])]);
        let lines = Lines::all(Line::Hangs);
        let report = post_name(&strict(&names, &lines), "https://evil.example/", LONG).await;
        let failure = report.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Dns, "{address}");
        assert!(!failure.request_sent);
        assert!(failure.operator_detail.unwrap().starts_with("guarded: evil.example resolves to"));
        assert_eq!(lines.dialled(), [""; 0], "{address}");
        assert_eq!(report.remote_address, None);
    }
}

#[tokio::test]
async fn abuse_a33_a_name_that_turns_private_after_registration_is_judged_again_at_each_connection() {
    let names = Names::with(&[(
        "rebind.example",
        &[found(&["93.184.216.34"]), found(&["10.0.0.1"]), found(&["127.0.0.1"])],
    )]);
    let lines = Lines::all(Line::Fails(REFUSED));
    let dispatcher = strict(&names, &lines);
    let kinds = [FailureKind::Connect, FailureKind::Dns, FailureKind::Dns];
    for kind in kinds {
        let report = post_name(&dispatcher, "https://rebind.example/", LONG).await;
        assert_eq!(report.result.unwrap_err().kind, kind);
    }
    assert_eq!(lines.dialled(), ["93.184.216.34:443"], "only what was judged public, and judged just before");
}

#[tokio::test]
async fn abuse_a33_of_ten_records_the_private_one_is_left_out() {
    let ten: Vec<String> = (1..=9).map(|n| format!("93.184.216.{n}")).collect();
    for place in [0, 1, 5, 9] {
        let mut ten: Vec<&str> = ten.iter().map(String::as_str).collect();
        ten.insert(place, "10.0.0.1");
        let names = Names::with(&[("ten.example", &[found(&ten)])]);
        let lines = Lines::all(Line::Fails(REFUSED));
        let report = post_name(&strict(&names, &lines), "https://ten.example:8443/", LONG).await;
        assert_eq!(report.result.unwrap_err().kind, FailureKind::Connect);
        assert_eq!(
            lines.dialled(),
            ["93.184.216.1:8443", "93.184.216.2:8443", "93.184.216.3:8443"],
            "{place}"
        );
    }
}

#[tokio::test]
async fn abuse_a34_a_redirect_is_an_answer_like_any_other() {
    let receiver = always(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let dispatcher = loopback();
    let report = post_to(&dispatcher, receiver, LONG).await;
    let response = report.result.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(response.headers["location"], "http://169.254.169.254/latest/meta-data");
    assert_eq!(report.remote_address, Some(receiver));
}

#[tokio::test]
async fn abuse_a86_a_tenant_cannot_tell_a_guarded_name_from_one_that_does_not_exist() {
    let names = Names::with(&[
        ("guarded.example", &[found(&["10.0.0.1"])]),
        ("empty.example", &[Lookup::Found(Vec::new())]),
    ]);
    let dispatcher = strict(&names, &Lines::all(Line::Hangs));
    let mut seen = Vec::new();
    let mut told = Vec::new();
    for name in ["guarded", "empty", "missing"] {
        let failure =
            post_name(&dispatcher, &format!("https://{name}.example/"), LONG).await.result.unwrap_err();
        seen.push((failure.kind, failure.detail, failure.request_sent));
        told.push(failure.operator_detail.unwrap());
    }
    assert_eq!(seen[0].1, "the host name does not resolve to a permitted address");
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_eq!(told[0], "guarded: guarded.example resolves to 10.0.0.1, private use (RFC 1918)");
    assert_eq!(told[1], "empty.example has no addresses");
    assert_eq!(told[2], "missing.example: no such name");
}

#[tokio::test]
async fn abuse_a86_a_thousand_records_are_cut_to_sixteen() {
    let mut addresses = vec!["10.0.0.1"; 16];
    addresses.extend(["93.184.216.34"; 984]);
    let names = Names::with(&[("many.example", &[found(&addresses)])]);
    let lines = Lines::all(Line::Fails(REFUSED));
    let failure = post_name(&strict(&names, &lines), "https://many.example/", LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "the seventeenth is not looked at");
    assert!(lines.dialled().is_empty());
}

#[tokio::test]
async fn abuse_a86_the_resolver_is_asked_for_the_normalised_name_and_nothing_else() {
    let names = Names::with(&[]);
    let dispatcher = strict(&names, &Lines::all(Line::Hangs));
    for url in ["https://Example.COM./", "https://bücher.example/"] {
        post_name(&dispatcher, url, LONG).await.result.unwrap_err();
    }
    assert_eq!(*names.asked.lock().unwrap(), ["example.com", "xn--bcher-kva.example"]);
}

#[tokio::test]
async fn a_literal_address_that_was_allowed_once_is_judged_again_and_said_to_be_guarded() {
    let lax = UrlPolicy { allow_private: true, ..UrlPolicy::default() };
    let target = Target::parse("https://10.0.0.1/", &lax).unwrap();
    let lines = Lines::all(Line::Hangs);
    let dispatcher = strict(&Names::with(&[]), &lines);
    let request =
        Request { target: Arc::new(target), ..post("https://example.com/", &UrlPolicy::default(), LONG) };
    let failure = dispatcher.send(request).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.request_sent), (FailureKind::Guard, false));
    assert!(lines.dialled().is_empty());
}

#[tokio::test]
async fn plain_http_by_name_reaches_private_addresses_and_never_public_ones() {
    let policy = UrlPolicy { allow_private: true, ..UrlPolicy::default() };
    let names =
        Names::with(&[("a.internal", &[found(&["93.184.216.34"]), found(&["93.184.216.34", "10.0.0.1"])])]);
    let receiver = always(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let lines = Lines::all(Line::To(receiver));
    let config = DispatchConfig { policy: policy.clone(), ..Default::default() };
    let dispatcher = Dispatcher::new(config, names, lines.clone()).unwrap();
    let send = || dispatcher.send(post("http://a.internal/", &policy, LONG));
    assert_eq!(send().await.result.unwrap_err().kind, FailureKind::Dns);
    let report = send().await;
    assert_eq!(report.result.unwrap().status, 204);
    assert_eq!(report.remote_address.unwrap().to_string(), "10.0.0.1:80", "the address that was judged");
    assert_eq!(lines.dialled(), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn localhost_is_loopback_without_a_look_up() {
    let receiver = always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let dispatcher = loopback();
    for host in ["localhost", "app.localhost"] {
        let url = format!("http://{host}:{}/", receiver.port());
        let report = dispatcher.send(post(&url, &dev_policy(), LONG)).await;
        assert_eq!(report.result.unwrap().body, "ok");
        assert_eq!(report.remote_address, Some(receiver));
    }
}

#[tokio::test]
async fn abuse_a87_a_literal_address_is_dialled_in_the_form_that_was_kept_and_never_looked_up() {
    for (url, dialled) in [
        ("https://[2606:4700:0:0::0001]:8443/", "[2606:4700::1]:8443"),
        ("https://93.184.55394/", "93.184.216.98:443"),
    ] {
        let names = Names::with(&[]);
        let lines = Lines::all(Line::Fails(REFUSED));
        let failure = post_name(&strict(&names, &lines), url, LONG).await.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Connect);
        assert_eq!(lines.dialled(), [dialled]);
        assert!(names.asked.lock().unwrap().is_empty());
    }
}
