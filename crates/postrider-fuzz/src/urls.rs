//! URLs through the guard: what passes is public, and is read by others as it was judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postrider_dispatch::target::{MAX_URL, REFUSED_PORTS};
use postrider_dispatch::{Target, UrlPolicy, Verdict, guard};
use url::{Host, Url};

pub(crate) fn url(bytes: &[u8]) {
    let strict = UrlPolicy::default();
    if let Ok(address) = <[u8; 4]>::try_from(bytes) {
        is_judged(Ipv4Addr::from(address).into(), &strict);
    }
    if let Ok(address) = <[u8; 16]>::try_from(bytes) {
        is_judged(Ipv6Addr::from(address).into(), &strict);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lenient = UrlPolicy { allow_loopback: true, allow_private: true, ..UrlPolicy::default() };
    let permitted = Target::parse(text, &lenient);
    let Ok(target) = Target::parse(text, &strict) else { return };
    assert!(permitted.is_ok_and(|other| other.as_str() == target.as_str()), "a wider policy permits more");
    let written = target.as_str();
    assert!(written.len() <= MAX_URL && written.bytes().all(|b| b.is_ascii_graphic()), "{written}");
    assert!(!target.is_plain_http() && written.starts_with("https://"), "{written}");
    let again = Target::parse(written, &strict).unwrap_or_else(|fault| panic!("{written}: {fault}"));
    assert_eq!((again.as_str(), again.host(), again.port()), (written, target.host(), target.port()));
    assert!(REFUSED_PORTS.iter().all(|(port, _)| *port != target.port()), "{written}");
    let read = Url::parse(written).unwrap();
    assert_eq!((read.host_str(), read.port_or_known_default()), (Some(target.host()), Some(target.port())));
    assert!(read.username().is_empty() && read.password().is_none() && read.fragment().is_none());
    // The authority that is sent is the host that was judged.
    let authority = target.authority();
    assert!(
        authority.strip_prefix(target.host()).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    );
    assert!(target.path_and_query().starts_with('/'));
    match read.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(name)) => {
            assert!(name.contains('.') && !name.ends_with('.') && !name.ends_with(".localhost"), "{name}");
        }
        None => panic!("{written} has no host"),
    }
}

fn is_judged(address: IpAddr, policy: &UrlPolicy) {
    if guard::verdict(address, policy) == Verdict::Public {
        is_public(address);
    }
}

/// By the rules of the standard library, as far as they go.
fn is_public(address: IpAddr) {
    let refused = match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some()
        }
    };
    assert!(!refused, "{address} passes");
}
