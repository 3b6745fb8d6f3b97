//! The resolver that is used in production: hickory, asking the name servers of the system's configuration.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::failure::is_exhaustion;
use crate::resolve::{Answer, BoxFuture, Resolve, ResolveError};

/// Answers kept, in names; the least used go first.
const CACHED_NAMES: u64 = 8_192;
/// An answer is kept for its TTL, within these.
const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(300);
/// An absence is kept for at most this long, so that a partner who mends a record need not wait.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// For one query; there are two attempts, and the caller's limit on top.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// Queries under way over one connection to a name server.
const MAX_ACTIVE: usize = 512;

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error("the name servers cannot be used: {0}")]
pub struct ResolverFault(String);

/// Looks names up at the configured name servers: absolutely, without search domains and `/etc/hosts`, with
/// at most 8 steps of CNAME (hickory's own bound), and a small cache.
#[derive(Clone)]
pub struct HickoryResolver {
    inner: TokioResolver,
}

impl HickoryResolver {
    /// With the name servers of `/etc/resolv.conf`; nothing else of it counts.
    ///
    /// # Errors
    /// When the file cannot be read, or names no server.
    pub fn from_system() -> Result<Self, ResolverFault> {
        let (config, _) = read_system_conf().map_err(|error| ResolverFault(error.to_string()))?;
        Self::with_servers(config.name_servers().to_vec())
    }

    /// With these name servers, asked by UDP, and by TCP where an answer does not fit.
    ///
    /// # Errors
    /// When there are none.
    pub fn from_addresses(servers: &[SocketAddr]) -> Result<Self, ResolverFault> {
        let on_port = |mut connection: ConnectionConfig, port| {
            connection.port = port;
            connection
        };
        let servers = servers.iter().map(|server| {
            let connections = vec![
                on_port(ConnectionConfig::udp(), server.port()),
                on_port(ConnectionConfig::tcp(), server.port()),
            ];
            NameServerConfig::new(server.ip(), true, connections)
        });
        Self::with_servers(servers.collect())
    }

    fn with_servers(servers: Vec<NameServerConfig>) -> Result<Self, ResolverFault> {
        if servers.is_empty() {
            return Err(ResolverFault("none is configured".to_owned()));
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let inner = builder.build().map_err(|error| ResolverFault(error.to_string()))?;
        Ok(Self { inner })
    }
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = ATTEMPTS;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = CACHED_NAMES;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_min_ttl = Some(MIN_TTL);
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_min_ttl = Some(MIN_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.max_active_requests = MAX_ACTIVE;
    options
}

impl Resolve for HickoryResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer, ResolveError>> {
        Box::pin(async move {
            let mut name = Name::from_ascii(name).map_err(|error| ResolveError::Absent(error.to_string()))?;
            // The trailing dot: no search domain is ever tried.
            name.set_fqdn(true);
            let (found, cached) = watch_first_poll(self.inner.lookup_ip(name)).await;
            match found {
                Ok(found) => Ok(Answer { addresses: found.iter().collect(), cached }),
                Err(error) => Err(classify(&error)),
            }
        })
    }

    fn is_alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            // Any recursive resolver knows the root's servers, and no partner has a hand in them.
            self.inner.clear_lookup_cache(Name::root(), RecordType::NS);
            match self.inner.lookup(Name::root(), RecordType::NS).await {
                Ok(_) => true,
                Err(error) => matches!(classify(&error), ResolveError::Absent(_)),
            }
        })
    }
}

/// Runs a look-up, and says whether it was done without waiting: then it came from the cache.
async fn watch_first_poll<T>(look_up: impl Future<Output = T>) -> (T, bool) {
    let mut look_up = pin!(look_up);
    let mut first = true;
    poll_fn(|cx| match look_up.as_mut().poll(cx) {
        Poll::Ready(found) => Poll::Ready((found, first)),
        Poll::Pending => {
            first = false;
            Poll::Pending
        }
    })
    .await
}

fn classify(error: &NetError) -> ResolveError {
    let said = error.to_string();
    match error {
        NetError::Io(io) if is_exhaustion(io) => ResolveError::Exhausted(said),
        NetError::Io(_) | NetError::Timeout | NetError::NoConnections | NetError::Busy => {
            ResolveError::Unavailable(said)
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail | ResponseCode::Refused)) => {
            ResolveError::Unavailable(said)
        }
        // An answer came, and there is no address in it.
        _ => ResolveError::Absent(said),
    }
}
