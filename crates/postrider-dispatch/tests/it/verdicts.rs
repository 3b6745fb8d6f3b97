//! The guard's tables.

use std::net::IpAddr;

use postrider_dispatch::guard::{Nat64Prefix, verdict};
use postrider_dispatch::{UrlPolicy, Verdict, own_addresses};

use crate::support::ip;

fn judged(address: &str, policy: &UrlPolicy) -> String {
    match verdict(ip(address), policy) {
        Verdict::Refused(range) => range.name.to_owned(),
        permitted => format!("{permitted:?}"),
    }
}

fn check(table: &[(&str, &str)], policy: &UrlPolicy) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(address, expected)| (*address, judged(address, policy), *expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn abuse_a31_every_special_ipv4_range_is_refused_from_its_first_to_its_last_address() {
    check(
        &[
            ("127.0.0.0", "loopback"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("10.0.0.0", "private use"),
            ("10.255.255.255", "private use"),
            ("172.16.0.0", "private use"),
            ("172.31.255.255", "private use"),
            ("192.168.0.0", "private use"),
            ("192.168.255.255", "private use"),
            ("169.254.0.0", "link local"),
            ("169.254.169.254", "cloud metadata"),
            ("169.254.255.255", "link local"),
            ("100.64.0.0", "shared address space (CGNAT)"),
            ("100.127.255.255", "shared address space (CGNAT)"),
            ("224.0.0.0", "multicast"),
            ("239.255.255.255", "multicast"),
            ("255.255.255.255", "limited broadcast"),
            ("0.0.0.0", "this network"),
            ("192.0.2.1", "documentation (TEST-NET-1)"),
            ("198.51.100.255", "documentation (TEST-NET-2)"),
            ("203.0.113.0", "documentation (TEST-NET-3)"),
        ],
        &UrlPolicy::default(),
    );
}

#[test]
fn abuse_a31_every_special_ipv6_form_is_refused() {
    check(
        &[
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fc00::", "unique local"),
            ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local"),
            ("fe80::1", "link local"),
            ("febf::1", "link local"),
            ("ff02::1", "multicast"),
            ("2001:db8::1", "documentation"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("::ffff:93.184.216.34", "IPv4-mapped"),
            ("::127.0.0.1", "IPv4-compatible, deprecated"),
            ("::93.184.216.34", "IPv4-compatible, deprecated"),
            ("64:ff9b::10.0.0.1", "private use"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::169.254.169.254", "cloud metadata"),
            ("2002:7f00:1::", "6to4, deprecated"),
            ("2002:a00:1::1", "6to4, deprecated"),
            ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "Teredo"),
        ],
        &UrlPolicy::default(),
    );
}

#[test]
fn abuse_a85_the_rest_of_the_registries_and_the_metadata_addresses_in_none_are_refused() {
    check(
        &[
            ("0.255.255.255", "this network"),
            ("192.0.0.0", "IETF protocol assignments"),
            ("192.0.0.255", "IETF protocol assignments"),
            ("192.0.0.192", "cloud metadata"),
            ("192.88.99.1", "6to4 relay anycast, deprecated"),
            ("198.18.0.0", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("240.0.0.0", "reserved"),
            ("255.255.255.254", "reserved"),
            ("168.63.129.16", "cloud metadata"),
            ("100.100.100.200", "cloud metadata"),
            ("192.31.196.1", "AS112"),
            ("192.52.193.1", "AMT"),
            ("192.175.48.1", "AS112"),
            ("64:ff9b:1::1", "local-use NAT64"),
            ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "local-use NAT64"),
            ("::ffff:0:7f00:1", "IPv4-translated"),
            ("100::1", "discard only"),
            ("100:0:0:1::1", "dummy prefix"),
            ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "IETF protocol assignments"),
            ("2001:20::1", "IETF protocol assignments"),
            ("3fff::1", "documentation"),
            ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
            ("3ffe::1", "6bone, returned"),
            ("5f00::1", "segment routing SIDs"),
            ("fec0::1", "site local, deprecated"),
            ("fd00:ec2::254", "cloud metadata"),
            ("fd20:ce::254", "cloud metadata"),
            ("1fff::1", "outside of global unicast 2000::/3"),
            ("4000::1", "outside of global unicast 2000::/3"),
            ("::1:0:0:0", "outside of global unicast 2000::/3"),
            ("fe00::1", "outside of global unicast 2000::/3"),
        ],
        &UrlPolicy::default(),
    );
}

#[test]
fn public_addresses_next_to_the_special_ranges_are_permitted() {
    let public = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "93.184.216.34",
        "2000::1",
        "2001:200::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "3fff:1000::1",
        "3fef::1",
        "64:ff9b::93.184.216.34",
    ];
    for address in public {
        assert_eq!(judged(address, &UrlPolicy::default()), "Public", "{address}");
    }
}

#[test]
fn abuse_a31_what_the_operator_allows_opens_nothing_else() {
    let loopback = UrlPolicy { allow_loopback: true, ..UrlPolicy::default() };
    check(
        &[
            ("127.0.0.1", "Loopback"),
            ("::1", "Loopback"),
            ("10.0.0.1", "private use"),
            ("0.0.0.0", "this network"),
            ("::", "unspecified"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("64:ff9b::127.0.0.1", "outside of global unicast 2000::/3"),
        ],
        &loopback,
    );
    let private = UrlPolicy { allow_private: true, ..UrlPolicy::default() };
    check(
        &[
            ("10.0.0.1", "Private"),
            ("172.16.0.1", "Private"),
            ("192.168.1.1", "Private"),
            ("fd12::1", "Private"),
            ("127.0.0.1", "loopback"),
            ("169.254.169.254", "cloud metadata"),
            ("fd00:ec2::254", "cloud metadata"),
            ("100.64.0.1", "shared address space (CGNAT)"),
            ("fe80::1", "link local"),
        ],
        &private,
    );
}

#[test]
fn abuse_a85_the_operators_nat64_prefixes_are_judged_by_the_address_inside() {
    // The same addresses as in the examples of RFC 6052 section 2.4, with a public one in their place.
    let inside = [
        ("2a00:1::/32", "2a00:1:a00:1::", "2a00:1:5db8:d822::"),
        ("2a00:1:100::/40", "2a00:1:10a:0:1::", "2a00:1:15d:b8d8:22::"),
        ("2a00:1:122::/48", "2a00:1:122:a00:0:100::", "2a00:1:122:5db8:d8:2200::"),
        ("2a00:1:122:300::/56", "2a00:1:122:30a:0:1::", "2a00:1:122:35d:b8:d822::"),
        ("2a00:1:122:344::/64", "2a00:1:122:344:a:0:100:0", "2a00:1:122:344:5d:b8d8:2200:0"),
        ("2a00:1:122:344::/96", "2a00:1:122:344::a00:1", "2a00:1:122:344::5db8:d822"),
    ];
    for (prefix, private, public) in inside {
        let nat64_prefixes = vec![prefix.parse::<Nat64Prefix>().unwrap()];
        let policy = UrlPolicy { nat64_prefixes, ..UrlPolicy::default() };
        assert_eq!(judged(private, &policy), "private use", "{prefix}");
        assert_eq!(judged(public, &policy), "Public", "{prefix}");
        assert_eq!(judged(private, &UrlPolicy::default()), "Public", "without the prefix it is an address");
    }
    // A local-use prefix works where the operator names it.
    let nat64_prefixes = vec!["64:ff9b:1::/96".parse().unwrap()];
    let policy = UrlPolicy { nat64_prefixes, ..UrlPolicy::default() };
    assert_eq!(judged("64:ff9b:1::5db8:d822", &policy), "Public");
    assert_eq!(judged("64:ff9b:1::a00:1", &policy), "private use");
    for bad in ["", "64:ff9b::", "64:ff9b::/95", "10.0.0.0/96", "64:ff9b::/x"] {
        assert!(bad.parse::<Nat64Prefix>().is_err(), "{bad}");
    }
}

#[test]
fn abuse_a85_our_own_addresses_are_refused_whatever_is_allowed() {
    let own: Vec<IpAddr> = vec![ip("93.184.216.34"), ip("2606:4700::1"), ip("10.0.0.5"), ip("127.0.0.1")];
    let policy =
        UrlPolicy { allow_loopback: true, allow_private: true, own_addresses: own, ..UrlPolicy::default() };
    check(
        &[
            ("93.184.216.34", "an address of this host"),
            ("2606:4700::1", "an address of this host"),
            ("10.0.0.5", "an address of this host"),
            ("64:ff9b::93.184.216.34", "an address of this host"),
            ("10.0.0.6", "Private"),
            ("127.0.0.1", "Loopback"),
        ],
        &policy,
    );
    assert!(own_addresses().unwrap().contains(&ip("127.0.0.1")), "this host lists its interfaces");
}
