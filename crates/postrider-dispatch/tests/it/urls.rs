//! Which URLs may be registered, and in which form they are kept.

use postrider_dispatch::target::{MAX_URL, REFUSED_PORTS};
use postrider_dispatch::{Target, UrlFault, UrlPolicy};

use crate::support::dev_policy;

fn fault(url: &str) -> String {
    match Target::parse(url, &UrlPolicy::default()) {
        Ok(target) => format!("accepted as {}", target.as_str()),
        Err(fault) => format!("{fault:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
    }
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(url, want)| (*url, fault(url), *want))
        .filter(|(_, got, want)| got != want)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn abuse_a30_urls_that_are_not_plainly_https_are_refused() {
    check(&[
        ("http://example.com/", "PlainHttp"),
        ("http://93.184.216.34/", "PlainHttp"),
        ("file:///etc/passwd", "Scheme"),
        ("ftp://example.com/", "Scheme"),
        ("gopher://example.com/", "Scheme"),
        ("javascript:alert(1)", "Scheme"),
        ("javascript://example.com/", "Scheme"),
        ("data:text/plain,x", "Scheme"),
        ("wss://example.com/", "Scheme"),
        ("//example.com/", "Scheme"),
        ("example.com", "Scheme"),
        ("https:example.com", "Scheme"),
        ("https:/example.com", "Scheme"),
        ("", "Scheme"),
        ("https://user:pass@example.com/", "Credentials"),
        ("https://user@example.com/", "Credentials"),
        ("https://@example.com/", "Credentials"),
        ("https://example.com/#x", "Fragment"),
        ("https://example.com/#", "Fragment"),
        ("https://", "EmptyHost"),
        ("https:///path", "EmptyHost"),
        ("https://?x", "EmptyHost"),
        ("https://:443/", "EmptyHost"),
        ("https://example.com:0/", "InvalidPort"),
        ("https://example.com:65536/", "InvalidPort"),
        ("https://example.com:x/", "InvalidPort"),
        ("https://./", "InvalidHost"),
        ("https://example.com../", "InvalidHost"),
        ("https://.example.com/", "InvalidHost"),
        ("https://a*b.example.com/", "InvalidHost"),
    ]);
    let long = format!("https://example.com/{}", "a".repeat(8 * 1024));
    assert_eq!(fault(&long), "TooLong");
    let longest = format!("https://example.com/{}", "a".repeat(MAX_URL - 20));
    assert!(fault(&longest).starts_with("accepted"));
    // Each umlaut takes 2 bytes as given, and 6 as sent.
    assert_eq!(fault(&format!("https://example.com/{}", "ä".repeat(900))), "TooLong");
    assert_eq!(fault(&format!("https://{}.com/", "a".repeat(64))), "InvalidHost");
    assert_eq!(fault(&format!("https://{}com/", "abcdefgh.".repeat(28))), "InvalidHost");
}

#[test]
fn abuse_a32_every_spelling_of_a_refused_address_is_that_address() {
    for url in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://127。0。0。1/",
        "https://①②⑦.0.0.1/",
        "https://\u{ff11}\u{ff12}\u{ff17}.0.0.\u{ff11}/",
        "https://127.0.0.1/",
        "https://0/",
        "https://169.254.169.254/",
        "https://0xa9fea9fe/",
        "https://2852039166/",
        "https://10.1/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
    ] {
        assert_eq!(fault(url), "RefusedAddress", "{url}");
    }
    for url in ["https://256.256.256.256/", "https://1.2.3.4.5/", "https://0x100000000/", "https://[::g]/"] {
        assert_eq!(fault(url), "InvalidHost", "{url}");
    }
}

#[test]
fn abuse_a87_urls_that_parsers_read_differently_are_refused() {
    check(&[
        ("https://good.example\\@bad.example/", "Backslash"),
        ("https:\\\\example.com/", "Backslash"),
        ("https://example.com/a\\b", "Backslash"),
        ("https://exa\tmple.com/", "ControlCharacter"),
        ("https://example.com/\n", "ControlCharacter"),
        ("https://example.com/a\r\nHost: b", "ControlCharacter"),
        (" https://example.com/", "ControlCharacter"),
        ("https://example.com/a b", "ControlCharacter"),
        ("https://example.com/\u{0}", "ControlCharacter"),
        ("https://example.com/\u{85}", "ControlCharacter"),
        ("https://example.com\u{3000}/", "ControlCharacter"),
        ("https://[fe80::1%25eth0]/", "EscapedHost"),
        ("https://[fe80::1%eth0]/", "EscapedHost"),
        ("https://exa%6dple.com/", "EscapedHost"),
        ("https://127%2e0.0.1/", "EscapedHost"),
        ("https://example.com:22/", "RefusedPort"),
        ("https://example.com:25/", "RefusedPort"),
        ("https://example.com:6379/", "RefusedPort"),
        ("https://example.com:11211/", "RefusedPort"),
    ]);
    assert!(REFUSED_PORTS.is_sorted_by_key(|(port, _)| *port));
}

#[test]
fn abuse_a86_names_of_a_local_network_are_refused() {
    for url in [
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://x.localhost/",
        "https://intranet/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://db.localdomain/",
        "https://router.home.arpa/",
    ] {
        assert_eq!(fault(url), "LocalName", "{url}");
    }
    let private = UrlPolicy { allow_private: true, ..UrlPolicy::default() };
    assert!(Target::parse("https://svc.internal/", &private).is_ok());
    assert!(Target::parse("http://svc.internal/", &private).is_ok());
    assert!(Target::parse("http://10.0.0.1:8080/", &private).is_ok());
    assert!(Target::parse("https://localhost/", &private).is_err());
    assert!(Target::parse("http://93.184.216.34/", &private).is_err());
}

#[test]
fn abuse_a87_what_is_accepted_is_kept_in_the_form_that_is_connected_to() {
    let cases = [
        ("https://example.com", "https://example.com/", "example.com"),
        ("HTTPS://EXAMPLE.com:443/Hook?a=B", "https://example.com/Hook?a=B", "example.com"),
        ("https://example.com.:8443/x/../y", "https://example.com:8443/y", "example.com:8443"),
        (
            "https://bücher.example/ä?ö=ü",
            "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC",
            "xn--bcher-kva.example",
        ),
        ("https://example。com/", "https://example.com/", "example.com"),
        ("https://\u{ff25}xample.com/", "https://example.com/", "example.com"),
        ("https://EXAMPLE.com/", "https://example.com/", "example.com"),
        ("https://93.184.55394/", "https://93.184.216.98/", "93.184.216.98"),
        ("https://[2606:4700:0:0::0001]:8443/", "https://[2606:4700::1]:8443/", "[2606:4700::1]:8443"),
        ("https://example.com/%7Euser/%2e%2e/a%2Fb", "https://example.com/a%2Fb", "example.com"),
        (
            "https://example.com?challenge=1&x={y}|z",
            "https://example.com/?challenge=1&x={y}|z",
            "example.com",
        ),
        ("https://under_score.example.com/", "https://under_score.example.com/", "under_score.example.com"),
    ];
    for (given, kept, authority) in cases {
        let target =
            Target::parse(given, &UrlPolicy::default()).unwrap_or_else(|fault| panic!("{given}: {fault}"));
        assert_eq!((target.as_str(), target.authority()), (kept, authority), "{given}");
        let again = Target::parse(kept, &UrlPolicy::default()).unwrap();
        assert_eq!(again.as_str(), kept, "normalising is idempotent");
        assert_eq!(kept, format!("https://{authority}{}", target.path_and_query()));
    }
}

#[test]
fn loopback_is_reached_in_plain_http_only_where_the_operator_allows_it() {
    for url in
        ["http://127.0.0.1:9000/", "http://localhost:9000/", "http://[::1]:9000/", "https://localhost/"]
    {
        assert!(Target::parse(url, &dev_policy()).is_ok(), "{url}");
        assert!(Target::parse(url, &UrlPolicy::default()).is_err(), "{url}");
    }
    assert_eq!(Target::parse("http://1.1.1.1/", &dev_policy()).unwrap_err(), UrlFault::PlainHttp);
    assert!(matches!(Target::parse("http://10.0.0.1/", &dev_policy()), Err(UrlFault::RefusedAddress(..))));
}

#[test]
fn a_refusal_names_the_fault_and_the_remedy() {
    let said = |url| Target::parse(url, &UrlPolicy::default()).unwrap_err().to_string();
    assert_eq!(
        said("https://0x7f.1/"),
        "127.0.0.1 is not a public address: loopback (RFC 1122 section 3.2.1.3); use a public host name or address"
    );
    assert_eq!(
        said("https://example.com:6379/"),
        "port 6379 belongs to another service (redis); use 443 or a port of your own"
    );
    assert_eq!(
        said("https://u:p@example.com/"),
        "the URL holds credentials; give them in the endpoint's auth settings instead"
    );
}
