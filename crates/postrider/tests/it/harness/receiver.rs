//! A receiver of webhooks that notes every request and answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::eventually;
use super::wire::{Message, read_message};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// When its last byte was here.
    pub(crate) at: Instant,
    /// The same on the wall clock.
    pub(crate) wall: SystemTime,
    /// The path of its address.
    pub(crate) path: String,
    pub(crate) message: Message,
}

impl Received {
    /// The value of a header that must be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.message.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.message.headers))
    }

    /// The event's id.
    pub(crate) fn event(&self) -> &str {
        self.header("webhook-id")
    }

    /// The attempt's number.
    pub(crate) fn attempt(&self) -> u32 {
        self.header("webhook-attempt").parse().unwrap()
    }

    /// The delivery's sequence number.
    pub(crate) fn sequence(&self) -> u64 {
        self.header("webhook-sequence").parse().unwrap()
    }

    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.message.body).unwrap()
    }

    /// Whether one of its signatures fits a secret, as the Standard Webhooks specification says.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let mut signed = format!("{}.{}.", self.event(), self.header("webhook-timestamp")).into_bytes();
        signed.extend_from_slice(&self.message.body);
        self.header("webhook-signature").split(' ').any(|signature| {
            let signature =
                signature.strip_prefix("v1,").and_then(|signature| STANDARD.decode(signature).ok());
            signature.is_some_and(|signature| aws_lc_rs::hmac::verify(&key, &signed, &signature).is_ok())
        })
    }

    /// Checks the signature, with one of several allowed to fit, and its time.
    pub(crate) fn verify(&self, secret: &str) {
        assert!(self.is_signed_with(secret), "the signature is wrong: {self:?}");
        let stamp: u64 = self.header("webhook-timestamp").parse().unwrap();
        let now = self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(stamp) <= 5, "the timestamp is not the attempt's: {stamp}, now {now}");
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// An answer after a delay.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8>, delay: Duration },
    /// These bytes, whatever they are, then others again and again; then the connection closes.
    Raw { first: Vec<u8>, then: Vec<u8>, times: u64 },
    /// Nothing, until the other side gives up.
    Hang,
    /// The connection is reset.
    Reset,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
    }

    /// With a header more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// With this body.
    pub(crate) fn body(mut self, text: &[u8]) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = text.to_vec();
        }
        self
    }

    /// Given only after a while.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        if let Self::Answer { delay, .. } = &mut self {
            *delay = wait;
        }
        self
    }
}

type Script = Box<dyn FnMut(&Received) -> Reply + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<Script>,
    /// What it answers OpenCard's challenges with; they are noted as requests while it has none.
    owner: Mutex<Option<String>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    written: AtomicUsize,
}

/// The receiver. Its copies are the same one.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// One that answers 204 to everything.
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// One on a listener of the test's own.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            script: Mutex::new(Box::new(|_| Reply::status(204))),
            owner: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        });
        let address = listener.local_addr().unwrap();
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, SeqCst);
                accepting.open.fetch_add(1, SeqCst);
                let shared = accepting.clone();
                tokio::spawn(async move {
                    serve(stream, &shared).await;
                    shared.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.url_of("/hook")
    }

    /// Its URL with a path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on everything is answered so.
    pub(crate) fn answer(&self, reply: Reply) {
        self.script(move |_| reply.clone());
    }

    /// From now on requests are answered by a function of each.
    pub(crate) fn script(&self, script: impl FnMut(&Received) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// The first requests of each event are answered so, in order, further ones with the last.
    pub(crate) fn for_each_event(&self, replies: Vec<Reply>) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        self.script(move |request| {
            let count = counts.entry(request.event().to_owned()).or_default();
            let reply = replies[(*count).min(replies.len() - 1)].clone();
            *count += 1;
            reply
        });
    }

    /// From now on it proves to be OpenCard's partner who has this secret, and does not note that it was asked to.
    pub(crate) fn proves(&self, secret: &str) {
        *self.shared.owner.lock().unwrap() = Some(secret.to_owned());
    }

    /// Everything that arrived so far, in order.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// How many requests arrived.
    pub(crate) fn count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// Everything about one event.
    pub(crate) fn of(&self, event: &str) -> Vec<Received> {
        self.shared.received.lock().unwrap().iter().filter(|r| r.event() == event).cloned().collect()
    }

    /// Waits until so many requests arrived.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} requests at the receiver");
        eventually(&what, async || (self.count() >= count).then(|| self.all())).await
    }

    /// Waits until so many requests about one event arrived.
    pub(crate) async fn wait_for_event(&self, event: &str, count: usize) -> Vec<Received> {
        let what = format!("{count} requests about {event}");
        eventually(&what, async || Some(self.of(event)).filter(|all| all.len() >= count)).await
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(SeqCst)
    }

    /// Connections that were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Waits until everything that was sent to it on connections of before is noted, and these are closed: after the end
    /// of the other side.
    pub(crate) async fn drained(&self) {
        // Connections are accepted in the order in which they were made: after this one no older one waits.
        let mut last = TcpStream::connect(self.address).await.unwrap();
        last.shutdown().await.unwrap();
        assert_eq!(last.read(&mut [0; 1]).await.unwrap(), 0, "it closes what says nothing");
        eventually("no connection is open", async || (self.shared.open.load(SeqCst) == 0).then_some(()))
            .await;
    }

    /// Bytes of [`Reply::Raw`] that went out.
    pub(crate) fn written(&self) -> usize {
        self.shared.written.load(SeqCst)
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(message)) = read_message(&mut stream, &mut buffer).await {
        let path = message.first_line.split(' ').nth(1).unwrap_or_default().to_owned();
        let received = Received { at: Instant::now(), wall: SystemTime::now(), path, message };
        if let Some(reply) = proof(&received, shared) {
            shared.in_flight.fetch_add(1, SeqCst);
            if !carry_out(&mut stream, reply, shared).await {
                return;
            }
            continue;
        }
        let now = shared.in_flight.fetch_add(1, SeqCst) + 1;
        shared.most_in_flight.fetch_max(now, SeqCst);
        let reply = (shared.script.lock().unwrap())(&received);
        shared.received.lock().unwrap().push(received);
        if !carry_out(&mut stream, reply, shared).await {
            return;
        }
    }
}

/// The answer to a challenge: twenty letters and digits, and nothing else is ever signed.
fn proof(request: &Received, shared: &Shared) -> Option<Reply> {
    let secret = shared.owner.lock().unwrap().clone()?;
    let (_, challenge) = request.path.rsplit_once("challenge=")?;
    let fits = challenge.len() == 20 && challenge.bytes().all(|b| b.is_ascii_alphanumeric());
    if !fits || !request.message.first_line.starts_with("GET ") {
        return None;
    }
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let proof = data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, challenge.as_bytes()).as_ref());
    Some(Reply::status(200).with("X-Verify-Token", &proof))
}

/// Whether the connection goes on. A request counts as under way until its answer begins, since the other side may act on
/// it at once.
async fn carry_out(stream: &mut TcpStream, reply: Reply, shared: &Shared) -> bool {
    match reply {
        Reply::Answer { status, headers, body, delay } => {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut head = format!("HTTP/1.1 {status} x\r\n");
            if status != 204 {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            for (name, value) in &headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            let whole = [head.as_bytes(), &body].concat();
            shared.in_flight.fetch_sub(1, SeqCst);
            stream.write_all(&whole).await.is_ok()
        }
        Reply::Raw { first, then, times } => {
            shared.in_flight.fetch_sub(1, SeqCst);
            let mut sent = stream.write_all(&first).await;
            for _ in 0..times {
                if sent.is_err() {
                    break;
                }
                shared.written.fetch_add(then.len(), SeqCst);
                sent = stream.write_all(&then).await;
            }
            false
        }
        Reply::Hang => {
            let _ = stream.read(&mut [0; 1]).await;
            shared.in_flight.fetch_sub(1, SeqCst);
            false
        }
        Reply::Reset => {
            shared.in_flight.fetch_sub(1, SeqCst);
            let _ = stream.set_zero_linger();
            false
        }
    }
}
