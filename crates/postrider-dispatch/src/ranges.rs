//! The special address ranges: the IANA registries, and the clouds' metadata addresses that are in none.
//!
//! Sources: IANA "IPv4 Special-Purpose Address Registry", "IPv6 Special-Purpose Address Registry", "IPv6
//! Address Space", "Multicast Address Space". Ranges that the registries call globally reachable but that
//! hold infrastructure alone (AS112, AMT, ORCHID) are listed too: no partner's receiver lives there.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::guard::Range;

/// What the operator's policy may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// This host itself: opened by `allow_loopback`.
    Loopback,
    /// A site's own network: opened by `allow_private`.
    Private,
    /// Opened by nothing.
    Never,
}

/// A row of the IPv4 table: prefix, its length, what may open it, and its name.
pub(crate) type Row4 = (Ipv4Addr, u8, Class, Range);
/// A row of the IPv6 table.
pub(crate) type Row6 = (Ipv6Addr, u8, Class, Range);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn range(name: &'static str, source: &'static str) -> Range {
    Range { name, source }
}

/// The first row that holds an address decides: single addresses stand before the ranges around them.
pub(crate) const V4: &[Row4] = &[
    (v4(168, 63, 129, 16), 32, Class::Never, range("cloud metadata", "Azure platform address")),
    (v4(100, 100, 100, 200), 32, Class::Never, range("cloud metadata", "Alibaba Cloud")),
    (v4(192, 0, 0, 192), 32, Class::Never, range("cloud metadata", "Oracle Cloud")),
    (v4(169, 254, 169, 254), 32, Class::Never, range("cloud metadata", "EC2 and others")),
    (v4(0, 0, 0, 0), 8, Class::Never, range("this network", "RFC 791 section 3.2")),
    (v4(10, 0, 0, 0), 8, Class::Private, range("private use", "RFC 1918")),
    (v4(100, 64, 0, 0), 10, Class::Never, range("shared address space (CGNAT)", "RFC 6598")),
    (v4(127, 0, 0, 0), 8, Class::Loopback, range("loopback", "RFC 1122 section 3.2.1.3")),
    (v4(169, 254, 0, 0), 16, Class::Never, range("link local", "RFC 3927")),
    (v4(172, 16, 0, 0), 12, Class::Private, range("private use", "RFC 1918")),
    (v4(192, 0, 0, 0), 24, Class::Never, range("IETF protocol assignments", "RFC 6890 section 2.1")),
    (v4(192, 0, 2, 0), 24, Class::Never, range("documentation (TEST-NET-1)", "RFC 5737")),
    (v4(192, 31, 196, 0), 24, Class::Never, range("AS112", "RFC 7535")),
    (v4(192, 52, 193, 0), 24, Class::Never, range("AMT", "RFC 7450")),
    (v4(192, 88, 99, 0), 24, Class::Never, range("6to4 relay anycast, deprecated", "RFC 7526")),
    (v4(192, 168, 0, 0), 16, Class::Private, range("private use", "RFC 1918")),
    (v4(192, 175, 48, 0), 24, Class::Never, range("AS112", "RFC 7534")),
    (v4(198, 18, 0, 0), 15, Class::Never, range("benchmarking", "RFC 2544")),
    (v4(198, 51, 100, 0), 24, Class::Never, range("documentation (TEST-NET-2)", "RFC 5737")),
    (v4(203, 0, 113, 0), 24, Class::Never, range("documentation (TEST-NET-3)", "RFC 5737")),
    (v4(224, 0, 0, 0), 4, Class::Never, range("multicast", "RFC 5771")),
    (v4(255, 255, 255, 255), 32, Class::Never, range("limited broadcast", "RFC 919 section 7")),
    (v4(240, 0, 0, 0), 4, Class::Never, range("reserved", "RFC 1112 section 4")),
];

const fn v6(segments: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// The well-known NAT64 prefix, whose addresses are judged by the IPv4 address inside (RFC 6052 section 2.1).
pub(crate) const NAT64_WELL_KNOWN: Ipv6Addr = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]);

/// As [`V4`]; what none of these holds must lie within [`GLOBAL_UNICAST`].
pub(crate) const V6: &[Row6] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0]), 128, Class::Never, range("unspecified", "RFC 4291 section 2.5.2")),
    (v6([0, 0, 0, 0, 0, 0, 0, 1]), 128, Class::Loopback, range("loopback", "RFC 4291 section 2.5.3")),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]), 128, Class::Never, range("cloud metadata", "EC2")),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]), 128, Class::Never, range("cloud metadata", "Google Cloud")),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96, Class::Never, range("IPv4-mapped", "RFC 4291 section 2.5.5.2")),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0]), 96, Class::Never, range("IPv4-translated", "RFC 2765 section 2.1")),
    (v6([0; 8]), 96, Class::Never, range("IPv4-compatible, deprecated", "RFC 4291 section 2.5.5.1")),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, Class::Never, range("local-use NAT64", "RFC 8215")),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0]), 64, Class::Never, range("discard only", "RFC 6666")),
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0]), 64, Class::Never, range("dummy prefix", "RFC 9780")),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 32, Class::Never, range("Teredo", "RFC 4380 section 2.6")),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23, Class::Never, range("IETF protocol assignments", "RFC 2928")),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, Class::Never, range("documentation", "RFC 3849")),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16, Class::Never, range("6to4, deprecated", "RFC 3056, RFC 7526")),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0]), 48, Class::Never, range("AS112", "RFC 7534")),
    (v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0]), 16, Class::Never, range("6bone, returned", "RFC 3701")),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20, Class::Never, range("documentation", "RFC 9637")),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0]), 16, Class::Never, range("segment routing SIDs", "RFC 9602")),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, Class::Private, range("unique local", "RFC 4193")),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, Class::Never, range("link local", "RFC 4291 section 2.5.6")),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, Class::Never, range("site local, deprecated", "RFC 3879")),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, Class::Never, range("multicast", "RFC 4291 section 2.7")),
];

/// The only block that IANA hands out for hosts.
pub(crate) const GLOBAL_UNICAST: (Ipv6Addr, u8) = (v6([0x2000, 0, 0, 0, 0, 0, 0, 0]), 3);
/// Why an address outside of it is refused.
pub(crate) const NOT_GLOBAL: Range = range("outside of global unicast 2000::/3", "RFC 4291 section 2.4");
/// Why an address of this host is refused.
pub(crate) const OWN: Range = range("an address of this host", "interface list");

/// Whether `addr` lies within `prefix/len`; `len` is at most 32.
pub(crate) fn within4(addr: Ipv4Addr, prefix: Ipv4Addr, len: u8) -> bool {
    debug_assert!(len <= 32);
    let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
    addr.to_bits() & mask == prefix.to_bits() & mask
}

/// Whether `addr` lies within `prefix/len`; `len` is at most 128.
pub(crate) fn within6(addr: Ipv6Addr, prefix: Ipv6Addr, len: u8) -> bool {
    debug_assert!(len <= 128);
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
    addr.to_bits() & mask == prefix.to_bits() & mask
}
