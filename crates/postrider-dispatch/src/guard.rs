//! The address guard: which IP addresses a partner's URL may lead to.
//!
//! Pure: an address and a policy in, a verdict out. It is asked when a URL with a literal address is
//! registered, and for every address of every new connection, right before that very address is dialled;
//! so a name that changes its mind between look-up and connection gains nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::ranges::{self, Class};

/// What the operator allows beyond public `https` URLs.
#[derive(Clone, Debug, Default)]
pub struct UrlPolicy {
    /// Loopback addresses, `localhost`, host names without a dot, and plain `http` to them (`--dev`).
    pub allow_loopback: bool,
    /// RFC 1918 and unique local addresses, host names of the local network, and plain `http` to them.
    /// Shared (CGNAT), link-local and metadata addresses stay refused.
    pub allow_private: bool,
    /// The operator's own NAT64 prefixes: an address within one is judged by the IPv4 address inside.
    pub nat64_prefixes: Vec<Nat64Prefix>,
    /// Addresses of this host's interfaces (see [`own_addresses`]), refused whatever else is allowed;
    /// loopback ones among them are left to `allow_loopback`.
    pub own_addresses: Vec<IpAddr>,
}

/// A named special range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// What the range is for, for people.
    pub name: &'static str,
    /// Where that is said.
    pub source: &'static str,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}

/// What the guard says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A public address.
    Public,
    /// This host, and the policy allows it.
    Loopback,
    /// The operator's network, and the policy allows it.
    Private,
    /// Never to be connected to.
    Refused(Range),
}

impl Verdict {
    /// Whether a connection may be made.
    pub fn is_permitted(self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// Whether plain `http` may be spoken to it: only where nothing public lies between.
    pub fn permits_plain_http(self) -> bool {
        matches!(self, Self::Loopback | Self::Private)
    }
}

/// Judges one address.
///
/// IPv6 is permitted only within `2000::/3` less the special ranges. Of the forms that carry an IPv4 address
/// inside, NAT64 (the well-known prefix and the operator's) is judged by that address; mapped, compatible,
/// translated, 6to4 and Teredo ones are refused whatever is inside, since no receiver is reached by them.
pub fn verdict(addr: IpAddr, policy: &UrlPolicy) -> Verdict {
    let verdict = match addr {
        IpAddr::V4(v4) => verdict4(v4, policy),
        IpAddr::V6(v6) => verdict6(v6, policy),
    };
    if verdict.is_permitted() && verdict != Verdict::Loopback && policy.own_addresses.contains(&addr) {
        return Verdict::Refused(ranges::OWN);
    }
    verdict
}

fn verdict4(addr: Ipv4Addr, policy: &UrlPolicy) -> Verdict {
    ranges::V4
        .iter()
        .find(|(prefix, len, ..)| ranges::within4(addr, *prefix, *len))
        .map_or(Verdict::Public, |(_, _, class, range)| open(*class, *range, policy))
}

fn verdict6(addr: Ipv6Addr, policy: &UrlPolicy) -> Verdict {
    let well_known = Nat64Prefix { prefix: ranges::NAT64_WELL_KNOWN, len: 96 };
    let mut translated = None;
    for nat64 in policy.nat64_prefixes.iter().chain([&well_known]) {
        let Some(inner) = nat64.embedded(addr) else { continue };
        match verdict(IpAddr::V4(inner), policy) {
            Verdict::Refused(range) => return Verdict::Refused(range),
            // A translator cannot lead back into this host, so something is amiss.
            Verdict::Loopback => return Verdict::Refused(ranges::NOT_GLOBAL),
            permitted => translated = Some(permitted),
        }
    }
    if let Some(permitted) = translated {
        return permitted;
    }
    if let Some((_, _, class, range)) = ranges::V6.iter().find(|(p, len, ..)| ranges::within6(addr, *p, *len))
    {
        return open(*class, *range, policy);
    }
    let (global, len) = ranges::GLOBAL_UNICAST;
    if ranges::within6(addr, global, len) { Verdict::Public } else { Verdict::Refused(ranges::NOT_GLOBAL) }
}

fn open(class: Class, range: Range, policy: &UrlPolicy) -> Verdict {
    match class {
        Class::Loopback if policy.allow_loopback => Verdict::Loopback,
        Class::Private if policy.allow_private => Verdict::Private,
        Class::Loopback | Class::Private | Class::Never => Verdict::Refused(range),
    }
}

/// The addresses of this host's interfaces, for [`UrlPolicy::own_addresses`].
///
/// # Errors
/// What the operating system says when it will not list them.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// A NAT64 prefix of 32, 40, 48, 56, 64 or 96 bits (RFC 6052 section 2.2), written as `2001:db8:64::/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix {
    prefix: Ipv6Addr,
    len: u8,
}

impl Nat64Prefix {
    /// The IPv4 address inside `addr`, if `addr` is within the prefix. Bits 64 to 71 are skipped, as the
    /// format has it, without insisting that they are zero; so is the suffix.
    fn embedded(&self, addr: Ipv6Addr) -> Option<Ipv4Addr> {
        if !ranges::within6(addr, self.prefix, self.len) {
            return None;
        }
        let octets = addr.octets();
        let mut inner = [0_u8; 4];
        let mut at = usize::from(self.len / 8);
        for byte in &mut inner {
            if at == 8 {
                at = 9;
            }
            *byte = octets[at];
            at += 1;
        }
        Some(Ipv4Addr::from(inner))
    }
}

/// Why a NAT64 prefix cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a NAT64 prefix is an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 2001:db8:64::/96")]
pub struct Nat64Fault;

impl FromStr for Nat64Prefix {
    type Err = Nat64Fault;

    fn from_str(text: &str) -> Result<Self, Nat64Fault> {
        let (prefix, len) = text.split_once('/').ok_or(Nat64Fault)?;
        let prefix: Ipv6Addr = prefix.parse().map_err(|_| Nat64Fault)?;
        let len: u8 = len.parse().map_err(|_| Nat64Fault)?;
        if ![32, 40, 48, 56, 64, 96].contains(&len) {
            return Err(Nat64Fault);
        }
        Ok(Self { prefix, len })
    }
}
