//! Makes connections: look the name up, judge every address, dial the permitted ones in order, then TLS.
//!
//! The address that was judged is the address that is dialled; nothing is looked up a second time.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::eager::EagerStream;
use crate::failure::{ConnectFailure, Failure, FailureKind, UNRESOLVED, is_exhaustion};
use crate::guard::{self, UrlPolicy, Verdict};
use crate::phase::{self, Phase};
use crate::resolve::{BoxFuture, LookupFault, Watched};
use crate::stream::Stream;
use crate::target::Host;
use crate::tls;

/// Most addresses of one host that are tried for one connection.
pub const MAX_ATTEMPTED: usize = 3;

/// Opens TCP connections. Tests supply one that leads to a receiver of theirs.
pub trait Dial: Send + Sync + 'static {
    /// Connects to this very address.
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>>;
}

/// The system's TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}

/// The HTTP client's way to new connections.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Shared>);

struct Shared {
    resolver: Arc<Watched>,
    dial: Arc<dyn Dial>,
    tls: TlsConnector,
    policy: UrlPolicy,
    connect_timeout: Duration,
    /// Whether this host has been seen to reach anything by IPv4, by IPv6.
    reached: [AtomicBool; 2],
}

impl Connector {
    pub(crate) fn new(
        resolver: Arc<Watched>,
        dial: Arc<dyn Dial>,
        tls: Arc<rustls::ClientConfig>,
        policy: UrlPolicy,
        connect_timeout: Duration,
    ) -> Self {
        // A family that has an address here is one that is expected to work.
        let has = |family: fn(&IpAddr) -> bool| {
            AtomicBool::new(policy.own_addresses.iter().any(|addr| family(addr) && is_routable(*addr)))
        };
        let reached = [has(IpAddr::is_ipv4), has(IpAddr::is_ipv6)];
        let tls = TlsConnector::from(tls);
        Self(Arc::new(Shared { resolver, dial, tls, policy, connect_timeout, reached }))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectFailure;
    type Future = BoxFuture<'static, Result<TokioIo<Stream>, ConnectFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let connected = shared.connect(&uri).await;
            phase::enter(Phase::Waiting);
            connected.map(TokioIo::new).map_err(ConnectFailure)
        })
    }
}

impl Shared {
    async fn connect(&self, uri: &Uri) -> Result<Stream, Failure> {
        let host = uri.host().unwrap_or_default();
        let plain = uri.scheme() == Some(&http::uri::Scheme::HTTP);
        let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let addresses = self.permitted(&Host::read(host), plain).await?;
        let (tcp, remote) = self.dial_in_turn(&addresses, port).await?;
        // Requests are small and wait for their answers: Nagle's algorithm would only delay them.
        if let Err(error) = tcp.set_nodelay(true) {
            return Err(unconnected(remote, &error));
        }
        let tcp = EagerStream::new(tcp);
        if plain {
            return Ok(Stream::plain(tcp, remote));
        }
        phase::enter(Phase::Handshaking);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Failure::unsent(FailureKind::Tls, "the host name cannot be used with TLS"))?;
        match timeout(self.connect_timeout, self.tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Stream::tls(stream, remote)),
            Ok(Err(error)) => Err(tls::describe(&error).unwrap_or_else(|| broken_handshake(&error))),
            Err(_) => Err(Failure::unsent(
                FailureKind::Tls,
                format!("the TLS handshake was not done within {} ms", self.connect_timeout.as_millis()),
            )),
        }
    }

    /// The addresses of the host that may be connected to: at least one, at most [`MAX_ATTEMPTED`].
    async fn permitted(&self, host: &Host, plain: bool) -> Result<Vec<IpAddr>, Failure> {
        if let Some(address) = host.fixed_address() {
            return match self.judge(address, plain) {
                Verdict::Refused(range) => {
                    Err(Failure::unsent(FailureKind::Guard, "the address is not permitted")
                        .with_operator_detail(format!("{address}: {range}")))
                }
                _ => Ok(vec![address]),
            };
        }
        let Host::Name(name) = host else { return Ok(Vec::new()) };
        phase::enter(Phase::Resolving);
        let found = self.resolver.look_up(name).await.map_err(|fault| match fault {
            LookupFault::Theirs(said) => {
                Failure::unsent(FailureKind::Dns, UNRESOLVED).with_operator_detail(format!("{name}: {said}"))
            }
            LookupFault::Ours(said) => Failure::local(format!("{name}: {said}")),
        })?;
        let mut permitted = Vec::with_capacity(MAX_ATTEMPTED);
        let mut refused = None;
        for address in found {
            match self.judge(address, plain) {
                Verdict::Refused(range) => refused = Some((address, range)),
                _ if permitted.len() < MAX_ATTEMPTED => permitted.push(address),
                _ => {}
            }
        }
        if permitted.is_empty() {
            let reason = refused.map_or_else(
                || format!("{name} has no addresses"),
                |(address, range)| format!("guarded: {name} resolves to {address}, {range}"),
            );
            return Err(Failure::unsent(FailureKind::Dns, UNRESOLVED).with_operator_detail(reason));
        }
        Ok(permitted)
    }

    /// The guard's verdict; plain `http` is refused to where it would cross a public network.
    fn judge(&self, address: IpAddr, plain: bool) -> Verdict {
        match guard::verdict(address, &self.policy) {
            verdict if plain && verdict.is_permitted() && !verdict.permits_plain_http() => {
                Verdict::Refused(guard::Range {
                    name: "plain http to a public address",
                    source: "URL policy",
                })
            }
            verdict => verdict,
        }
    }

    /// Tries the addresses one after the other, each for its share of the connect timeout.
    async fn dial_in_turn(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        phase::enter(Phase::Connecting);
        let share = self.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut theirs = None;
        let mut ours = None;
        for &address in addresses {
            let remote = SocketAddr::new(address, port);
            match timeout(share, at_once(self.dial.dial(remote))).await {
                Ok((Ok(stream), _)) => {
                    self.reached(address).store(true, Ordering::Relaxed);
                    return Ok((stream, remote));
                }
                Ok((Err(error), at_once)) if self.is_ours(&error, address, at_once) => {
                    ours = Some(Failure::local(format!("connecting to {remote}: {error}")));
                }
                Ok((Err(error), _)) => theirs = Some(unconnected(remote, &error)),
                Err(_) => {
                    theirs = Some(
                        Failure::unsent(
                            FailureKind::Connect,
                            format!("no connection was made within {} ms", share.as_millis()),
                        )
                        .with_operator_detail(format!("{remote} does not answer")),
                    );
                }
            }
        }
        // If any address failed for its own reasons, a lack of ours for another one decides nothing.
        Err(theirs.or(ours).unwrap_or_else(|| Failure::unsent(FailureKind::Dns, UNRESOLVED)))
    }

    /// Whether it is this host that cannot connect, not that one that cannot be connected to.
    ///
    /// "No route" counts only where our own kernel says so, at once: later it comes from a router on the way,
    /// and one unreachable network must not look like an outage. Nor must a partner's IPv6 address on a host
    /// that never had IPv6.
    fn is_ours(&self, error: &io::Error, address: IpAddr, at_once: bool) -> bool {
        if is_exhaustion(error) {
            return true;
        }
        let unroutable = matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown | io::ErrorKind::AddrNotAvailable
        );
        let expected = match address {
            IpAddr::V4(_) => {
                !self.reached[1].load(Ordering::Relaxed) || self.reached[0].load(Ordering::Relaxed)
            }
            IpAddr::V6(_) => self.reached[1].load(Ordering::Relaxed),
        };
        unroutable && at_once && expected
    }

    fn reached(&self, address: IpAddr) -> &AtomicBool {
        &self.reached[usize::from(address.is_ipv6())]
    }
}

fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// Runs a dial, and says whether it ended without waiting, so without a packet that came back.
async fn at_once<T>(mut dial: BoxFuture<'static, T>) -> (T, bool) {
    let mut first = true;
    poll_fn(|cx| match dial.as_mut().poll(cx) {
        Poll::Ready(dialled) => Poll::Ready((dialled, first)),
        Poll::Pending => {
            first = false;
            Poll::Pending
        }
    })
    .await
}

fn unconnected(remote: SocketAddr, error: &io::Error) -> Failure {
    let detail = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the receiver refused the connection",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            "the receiver closed the connection as it was made"
        }
        io::ErrorKind::TimedOut => "the receiver does not answer",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the receiver cannot be reached"
        }
        _ => "no connection could be made",
    };
    Failure::unsent(FailureKind::Connect, detail).with_operator_detail(format!("{remote}: {error}"))
}

fn broken_handshake(error: &io::Error) -> Failure {
    if is_exhaustion(error) {
        return Failure::local(error.to_string());
    }
    Failure::unsent(FailureKind::Tls, "the receiver closed the connection during the TLS handshake")
        .with_operator_detail(error.to_string())
}
