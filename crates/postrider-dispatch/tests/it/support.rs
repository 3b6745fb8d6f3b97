//! A resolver and a dialler under the test's control, and raw receivers.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use postrider_dispatch::resolve::{Answer, BoxFuture, ResolveError};
use postrider_dispatch::{
    Dial, DispatchConfig, Dispatcher, MAX_KEPT_BODY, Report, Request, Resolve, Target, TcpDial, UrlPolicy,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any test needs, short enough to end one that hangs.
pub(crate) const LONG: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) enum Lookup {
    Found(Vec<IpAddr>),
    Remembered(Vec<IpAddr>),
    Fails(ResolveError),
    Hangs,
}

/// Answers from a script: each name has a list, whose last entry stays.
#[derive(Default)]
pub(crate) struct Names {
    script: Mutex<HashMap<String, Vec<Lookup>>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) alive: AtomicBool,
    pub(crate) proofs: AtomicUsize,
}

impl Names {
    pub(crate) fn with(entries: &[(&str, &[Lookup])]) -> Arc<Self> {
        let names = Self::default();
        for (name, lookups) in entries {
            names.script.lock().unwrap().insert((*name).to_owned(), lookups.to_vec());
        }
        Arc::new(names)
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Answer, ResolveError>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let next = {
            let mut script = self.script.lock().unwrap();
            match script.get_mut(name) {
                Some(list) if list.len() > 1 => list.remove(0),
                Some(list) => list[0].clone(),
                None => Lookup::Fails(ResolveError::Absent("no such name".into())),
            }
        };
        Box::pin(async move {
            match next {
                Lookup::Found(addresses) => Ok(Answer { addresses, cached: false }),
                Lookup::Remembered(addresses) => Ok(Answer { addresses, cached: true }),
                Lookup::Fails(error) => Err(error),
                Lookup::Hangs => std::future::pending().await,
            }
        })
    }

    fn is_alive(&self) -> BoxFuture<'_, bool> {
        self.proofs.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.alive.load(Ordering::Relaxed) })
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Line {
    /// Leads to this receiver.
    To(SocketAddr),
    /// Fails with this error number, at once.
    Fails(i32),
    /// Fails with it after a while, as when a packet came back.
    FailsLater(i32),
    Hangs,
}

/// A dialler that leads wherever the test says, and notes where it was asked to go.
pub(crate) struct Lines {
    by_address: HashMap<IpAddr, Line>,
    otherwise: Line,
    pub(crate) dialled: Mutex<Vec<SocketAddr>>,
}

impl Lines {
    pub(crate) fn all(line: Line) -> Arc<Self> {
        Self::with(&[], line)
    }

    pub(crate) fn with(lines: &[(&str, Line)], otherwise: Line) -> Arc<Self> {
        let by_address = lines.iter().map(|(address, line)| (ip(address), *line)).collect();
        Arc::new(Self { by_address, otherwise, dialled: Mutex::default() })
    }

    pub(crate) fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Dial for Lines {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        let line = *self.by_address.get(&address.ip()).unwrap_or(&self.otherwise);
        Box::pin(async move {
            match line {
                Line::To(receiver) => {
                    assert!(receiver.ip().is_loopback(), "tests stay on loopback");
                    TcpStream::connect(receiver).await
                }
                Line::Fails(code) => Err(io::Error::from_raw_os_error(code)),
                Line::FailsLater(code) => {
                    tokio::task::yield_now().await;
                    Err(io::Error::from_raw_os_error(code))
                }
                Line::Hangs => std::future::pending().await,
            }
        })
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn found(addresses: &[&str]) -> Lookup {
    Lookup::Found(addresses.iter().map(|address| ip(address)).collect())
}

pub(crate) fn dev_policy() -> UrlPolicy {
    UrlPolicy { allow_loopback: true, ..UrlPolicy::default() }
}

/// A dispatcher that may talk to loopback, by real TCP.
pub(crate) fn loopback() -> Dispatcher {
    loopback_with(DispatchConfig::default())
}

pub(crate) fn loopback_with(config: DispatchConfig) -> Dispatcher {
    let config = DispatchConfig { policy: dev_policy(), ..config };
    Dispatcher::new(config, Names::with(&[]), Arc::new(TcpDial)).unwrap()
}

/// A dispatcher with the strict policy.
pub(crate) fn strict(names: &Arc<Names>, lines: &Arc<Lines>) -> Dispatcher {
    Dispatcher::new(DispatchConfig::default(), names.clone(), lines.clone()).unwrap()
}

pub(crate) fn post(url: &str, policy: &UrlPolicy, timeout: Duration) -> Request {
    Request {
        target: Arc::new(Target::parse(url, policy).unwrap()),
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{\"hello\":1}"),
        timeout,
        keep_body: MAX_KEPT_BODY,
    }
}

/// Posts to a receiver on loopback.
pub(crate) async fn post_to(dispatcher: &Dispatcher, receiver: SocketAddr, timeout: Duration) -> Report {
    dispatcher.send(post(&format!("http://{receiver}/hook"), &dev_policy(), timeout)).await
}

/// Posts to a name that is known to the test's resolver.
pub(crate) async fn post_name(dispatcher: &Dispatcher, url: &str, timeout: Duration) -> Report {
    dispatcher.send(post(url, &UrlPolicy::default(), timeout)).await
}

/// Listens on loopback and hands each connection, with its number from 0, to `handle`.
pub(crate) async fn receive<F, Fut>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut nth = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream, nth));
            nth += 1;
        }
    });
    address
}

/// Reads one request to its end; `None` if the connection ended before one began.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if let Some(head_end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..head_end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if read.len() >= head_end + 4 + length {
                return Some(String::from_utf8(read).unwrap());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => read.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

/// Waits until the other side has closed.
pub(crate) async fn wait_for_close(stream: &mut TcpStream) {
    let mut chunk = [0; 4096];
    while matches!(stream.read(&mut chunk).await, Ok(n) if n > 0) {}
}

/// Answers every request on every connection with these bytes.
pub(crate) async fn always(answer: &'static [u8]) -> SocketAddr {
    receive(move |mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    })
    .await
}
