//! Where a request goes: a URL checked and normalised once, when an endpoint is registered.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Uri;
use rustc_hash::FxHasher;
use url::Url;

use crate::guard::{self, Range, UrlPolicy, Verdict};

/// Longest URL, in bytes, as given and as normalised.
pub const MAX_URL: usize = 2_048;

/// Ports of services that a stray HTTP request could be made to talk to, with what listens there.
/// A receiver of webhooks has no business on them.
pub const REFUSED_PORTS: &[(u16, &str)] = &[
    (1, "tcpmux"),
    (7, "echo"),
    (9, "discard"),
    (11, "systat"),
    (13, "daytime"),
    (15, "netstat"),
    (17, "qotd"),
    (19, "chargen"),
    (20, "ftp"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (37, "time"),
    (42, "name"),
    (43, "whois"),
    (53, "dns"),
    (69, "tftp"),
    (79, "finger"),
    (87, "link"),
    (95, "supdup"),
    (109, "pop2"),
    (110, "pop3"),
    (111, "rpcbind"),
    (113, "ident"),
    (115, "sftp"),
    (117, "uucp"),
    (119, "nntp"),
    (123, "ntp"),
    (135, "msrpc"),
    (137, "netbios"),
    (138, "netbios"),
    (139, "netbios"),
    (143, "imap"),
    (161, "snmp"),
    (162, "snmp"),
    (179, "bgp"),
    (389, "ldap"),
    (427, "slp"),
    (445, "smb"),
    (465, "smtps"),
    (512, "exec"),
    (513, "login"),
    (514, "shell"),
    (515, "printer"),
    (526, "tempo"),
    (530, "courier"),
    (531, "chat"),
    (532, "netnews"),
    (540, "uucp"),
    (548, "afp"),
    (554, "rtsp"),
    (556, "remotefs"),
    (563, "nntps"),
    (587, "submission"),
    (601, "syslog"),
    (623, "ipmi"),
    (636, "ldaps"),
    (873, "rsync"),
    (989, "ftps"),
    (990, "ftps"),
    (993, "imaps"),
    (995, "pop3s"),
    (1080, "socks"),
    (1433, "mssql"),
    (1521, "oracle"),
    (1719, "h323"),
    (1720, "h323"),
    (1723, "pptp"),
    (2049, "nfs"),
    (2181, "zookeeper"),
    (2375, "docker"),
    (2376, "docker"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3128, "proxy"),
    (3306, "mysql"),
    (3389, "rdp"),
    (3659, "apple-sasl"),
    (4045, "lockd"),
    (4190, "sieve"),
    (5060, "sip"),
    (5061, "sips"),
    (5432, "postgresql"),
    (5672, "amqp"),
    (5900, "vnc"),
    (6000, "x11"),
    (6379, "redis"),
    (6443, "kubernetes"),
    (6566, "sane"),
    (6665, "irc"),
    (6666, "irc"),
    (6667, "irc"),
    (6668, "irc"),
    (6669, "irc"),
    (6697, "ircs"),
    (9042, "cassandra"),
    (9092, "kafka"),
    (9200, "elasticsearch"),
    (9300, "elasticsearch"),
    (10080, "amanda"),
    (10250, "kubelet"),
    (11211, "memcached"),
    (27017, "mongodb"),
];

/// Endings of names that belong to a local network (RFC 6761, RFC 6762, RFC 8375, and `.internal`, which
/// ICANN keeps for private use).
const LOCAL_SUFFIXES: &[&str] = &[".local", ".internal", ".localdomain", ".home.arpa"];

/// Why a URL is refused. Each text names the fault and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Longer than [`MAX_URL`].
    #[error("the URL is longer than {MAX_URL} bytes; shorten it")]
    TooLong,
    /// A space, tab, line break or another control character.
    #[error("the URL holds a space or a control character; percent-encode it")]
    ControlCharacter,
    /// A backslash, which URL parsers do not agree about.
    #[error("the URL holds a backslash; write /, or %5C where a backslash is meant")]
    Backslash,
    /// Another scheme than `https` (or none).
    #[error("the URL must begin with https://")]
    Scheme,
    /// Plain `http`, where the policy does not allow it.
    #[error(
        "the URL must use https; plain http is possible only to addresses that the operator allows it for"
    )]
    PlainHttp,
    /// `user:password@`.
    #[error("the URL holds credentials; give them in the endpoint's auth settings instead")]
    Credentials,
    /// `#...`
    #[error("the URL holds a fragment (#), which is never sent; remove it")]
    Fragment,
    /// No host.
    #[error("the URL names no host")]
    EmptyHost,
    /// Not a host name, or an address that cannot be read.
    #[error("the URL's host is not a valid host name or address")]
    InvalidHost,
    /// An IPv6 zone (`%eth0`), which means nothing elsewhere, or an escape in the host.
    #[error("the URL's host holds a zone or a percent escape; write the plain host name or address")]
    EscapedHost,
    /// A port that is no port, or 0.
    #[error("the URL's port must be a number from 1 to 65535")]
    InvalidPort,
    /// A port in [`REFUSED_PORTS`].
    #[error("port {0} belongs to another service ({1}); use 443 or a port of your own")]
    RefusedPort(u16, &'static str),
    /// A name that only a local network can resolve.
    #[error("{0} is a name of a local network; use a public host name")]
    LocalName(String),
    /// A literal address that is never connected to.
    #[error("{0} is not a public address: {1}; use a public host name or address")]
    RefusedAddress(IpAddr, Range),
    /// Anything else that makes it no URL.
    #[error("the URL is malformed: {0}")]
    Malformed(String),
}

/// The host of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// To be looked up; lower case, punycode, without a trailing dot.
    Name(String),
    Literal(IpAddr),
    /// `localhost` and what is below it: 127.0.0.1, without asking anybody (RFC 6761 section 6.3).
    Localhost,
}

impl Host {
    /// Reads a normalised host, as it stands in a URL.
    pub(crate) fn read(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(addr) => Self::Literal(addr),
            Err(_) if host == "localhost" || host.ends_with(".localhost") => Self::Localhost,
            Err(_) => Self::Name(host.to_owned()),
        }
    }

    /// The address where no look-up is needed.
    pub(crate) fn fixed_address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Literal(addr) => Some(*addr),
            Self::Localhost => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }
}

/// A URL that may be posted to, parsed once. What [`Target::as_str`] shows is what is connected to.
#[derive(Clone, Debug)]
pub struct Target {
    text: Box<str>,
    uri: Uri,
    host: Box<str>,
    port: u16,
    plain: bool,
    slot: u64,
    /// Whether the last answer came by HTTP/2. Shared by clones.
    h2: Arc<AtomicBool>,
}

impl Target {
    /// Checks and normalises a URL: scheme and host in lower case, international names in punycode, addresses
    /// of any spelling in the usual one, no default port, no trailing dot.
    ///
    /// Literal addresses are judged here; names are judged at every connection, by what they resolve to.
    ///
    /// # Errors
    /// See [`UrlFault`].
    pub fn parse(url: &str, policy: &UrlPolicy) -> Result<Self, UrlFault> {
        check_text(url)?;
        let mut parsed = Url::parse(url).map_err(|error| match error {
            url::ParseError::EmptyHost => UrlFault::EmptyHost,
            url::ParseError::InvalidPort => UrlFault::InvalidPort,
            url::ParseError::IdnaError
            | url::ParseError::InvalidIpv4Address
            | url::ParseError::InvalidIpv6Address
            | url::ParseError::InvalidDomainCharacter => UrlFault::InvalidHost,
            other => UrlFault::Malformed(other.to_string()),
        })?;
        let name = match parsed.host() {
            Some(url::Host::Domain(name)) => Some(name.strip_suffix('.').unwrap_or(name).to_owned()),
            Some(_) => None,
            None => return Err(UrlFault::EmptyHost),
        };
        if let Some(name) = &name {
            check_name(name, policy)?;
            parsed.set_host(Some(name)).map_err(|_| UrlFault::InvalidHost)?;
        }
        let port = parsed.port_or_known_default().filter(|port| *port != 0).ok_or(UrlFault::InvalidPort)?;
        if let Some((_, service)) = REFUSED_PORTS.iter().find(|(refused, _)| *refused == port) {
            return Err(UrlFault::RefusedPort(port, service));
        }
        let host = parsed.host_str().ok_or(UrlFault::EmptyHost)?;
        let verdict = Host::read(host).fixed_address().map(|addr| (addr, guard::verdict(addr, policy)));
        if let Some((addr, Verdict::Refused(range))) = verdict {
            return Err(UrlFault::RefusedAddress(addr, range));
        }
        let plain = parsed.scheme() == "http";
        let plain_allowed = verdict.map_or(policy.allow_loopback || policy.allow_private, |(_, verdict)| {
            verdict.permits_plain_http()
        });
        if plain && !plain_allowed {
            return Err(UrlFault::PlainHttp);
        }
        if parsed.as_str().len() > MAX_URL {
            return Err(UrlFault::TooLong);
        }
        let uri: Uri = parsed
            .as_str()
            .parse()
            .map_err(|error: http::uri::InvalidUri| UrlFault::Malformed(error.to_string()))?;
        let mut hasher = FxHasher::default();
        (host, port).hash(&mut hasher);
        Ok(Self {
            text: parsed.as_str().into(),
            host: host.into(),
            port,
            plain,
            slot: hasher.finish(),
            uri,
            h2: Arc::default(),
        })
    }

    /// The normalised URL, to be stored and shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host name, or address (IPv6 in brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or implied by the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is plain `http`.
    pub fn is_plain_http(&self) -> bool {
        self.plain
    }

    /// Host, and port where it is not the scheme's own: what the `Host` header says.
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    /// Path and query: what the request line says.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn speaks_h2(&self) -> bool {
        self.h2.load(Ordering::Relaxed)
    }

    pub(crate) fn note_version(&self, version: http::Version) {
        let h2 = version == http::Version::HTTP_2;
        // Read first: many threads share this line, and it hardly ever changes.
        if self.speaks_h2() != h2 {
            self.h2.store(h2, Ordering::Relaxed);
        }
    }

    /// A number that is the same for the same authority.
    pub(crate) fn slot(&self) -> u64 {
        self.slot
    }
}

/// What must be seen in the text as given, since the parser would mend it silently.
fn check_text(url: &str) -> Result<(), UrlFault> {
    if url.len() > MAX_URL {
        return Err(UrlFault::TooLong);
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UrlFault::ControlCharacter);
    }
    if url.contains('\\') {
        return Err(UrlFault::Backslash);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlFault::Scheme)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(UrlFault::Scheme);
    }
    if rest.contains('#') {
        return Err(UrlFault::Fragment);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(UrlFault::Credentials);
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(UrlFault::EmptyHost);
    }
    if authority.contains('%') {
        return Err(UrlFault::EscapedHost);
    }
    Ok(())
}

/// Whether a normalised name can be looked up, and is not one of a local network (RFC 1035 section 2.3.4;
/// underscores are let through, since some hosts have them).
fn check_name(name: &str, policy: &UrlPolicy) -> Result<(), UrlFault> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label_fits) {
        return Err(UrlFault::InvalidHost);
    }
    let allowed = if name == "localhost" || name.ends_with(".localhost") {
        policy.allow_loopback
    } else if !name.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        policy.allow_loopback || policy.allow_private
    } else {
        true
    };
    if allowed { Ok(()) } else { Err(UrlFault::LocalName(name.to_owned())) }
}
