//! The publishers of the bench: connections that send a prebuilt request, wait for its answer, and send the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::figures::Latencies;
use super::pace::Pace;
use super::pool::Pool;
use super::record::{Clock, Run};
use super::request::Template;

/// Bytes of a connection's buffer at first.
const BUFFER_BYTES: usize = 16 << 10;
/// An answer is no larger.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Header fields of an answer at most.
const MAX_HEADERS: usize = 64;
/// New connections that a publisher makes before it gives up.
const MAX_RECONNECTS: u32 = 100;
/// How long publishers may go on after the window for their last answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a publisher in a closed loop waits after the server said that it is overloaded.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(20);

/// What is sent where, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) template: Template,
    pub(super) connections: usize,
    /// Requests a second over all connections; a closed loop without.
    pub(super) rate: Option<f64>,
    /// Before the window is opened, in nanoseconds.
    pub(super) warmup_ns: u64,
    /// For how long it is open, in nanoseconds.
    pub(super) window_ns: u64,
}

/// What the publishers saw.
#[derive(Debug)]
pub(super) struct Published {
    /// The window, in nanoseconds of the clock.
    pub(super) window: Range<u64>,
    /// Events accepted in the window.
    pub(super) accepted_in_window: u64,
    /// Events accepted at any time.
    pub(super) accepted: u64,
    /// From the intended sending of a request to its answer.
    pub(super) latencies: Latencies,
    /// Events that were not accepted, by status code; 0 where a connection broke.
    pub(super) refused: BTreeMap<u16, u64>,
}

#[derive(Debug)]
struct Seen {
    accepted_in_window: u64,
    accepted: u64,
    latencies: Latencies,
    refused: BTreeMap<u16, u64>,
}

/// Sends until the window is over.
///
/// # Errors
/// When a connection cannot be made, or what answers is not HTTP.
pub(super) async fn publish(
    pool: &Pool,
    clock: Clock,
    run: &Arc<Run>,
    plan: &Plan,
) -> anyhow::Result<Published> {
    // What is seen is kept per thread: the lock is never contended, and there are few histograms to touch.
    let seen: Vec<Arc<Mutex<Seen>>> = (0..pool.len())
        .map(|_| {
            Arc::new(Mutex::new(Seen {
                accepted_in_window: 0,
                accepted: 0,
                latencies: Latencies::new(),
                refused: BTreeMap::new(),
            }))
        })
        .collect();
    let start = clock.now();
    let window = start + plan.warmup_ns..start + plan.warmup_ns + plan.window_ns;
    let tasks: Vec<_> = (0..plan.connections)
        .map(|number| {
            let publisher = Publisher {
                clock,
                run: run.clone(),
                seen: seen[number % pool.len()].clone(),
                address: plan.address,
                template: plan.template.clone(),
                window: window.clone(),
                paced: plan.rate.is_some(),
            };
            let (rate, connections) = (plan.rate, plan.connections);
            pool.spawn(number, async move {
                let pace = match rate {
                    Some(rate) => Pace::open(rate, number, connections, start)?,
                    None => Pace::Closed,
                };
                publisher.run(pace).await
            })
        })
        .collect();
    // One bound for all: a timer for each answer would cost as much as reading it.
    let bound = Duration::from_nanos(plan.warmup_ns + plan.window_ns) + ANSWER_TIMEOUT;
    let aborts: Vec<_> = tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    let joined = tokio::time::timeout(bound, async {
        for task in tasks {
            task.await.context("a publisher ended early")??;
        }
        anyhow::Ok(())
    });
    let ended = joined.await;
    aborts.iter().for_each(tokio::task::AbortHandle::abort);
    ended.with_context(|| format!("{} did not answer within {ANSWER_TIMEOUT:?}", plan.address))??;
    let mut all = Published {
        window,
        accepted_in_window: 0,
        accepted: 0,
        latencies: Latencies::new(),
        refused: BTreeMap::new(),
    };
    for seen in seen {
        let seen = seen.lock();
        all.accepted_in_window += seen.accepted_in_window;
        all.accepted += seen.accepted;
        all.latencies.add(&seen.latencies);
        for (status, count) in &seen.refused {
            *all.refused.entry(*status).or_default() += count;
        }
    }
    Ok(all)
}

struct Publisher {
    clock: Clock,
    run: Arc<Run>,
    seen: Arc<Mutex<Seen>>,
    address: SocketAddr,
    template: Template,
    window: Range<u64>,
    paced: bool,
}

impl Publisher {
    async fn run(mut self, mut pace: Pace) -> anyhow::Result<()> {
        let batch = self.template.events();
        let tenants = self.run.tenants();
        let mut connection = Connection::open(self.address).await?;
        let mut reconnects = 0;
        loop {
            let intended = pace.next(self.clock).await?;
            if intended >= self.window.end {
                return Ok(());
            }
            let Some(first) = self.run.take(batch) else { bail!("more events than a run can record") };
            self.run.sent(first, batch, intended);
            let request = self.template.fill(first, tenants);
            match connection.exchange(request).await {
                Ok(answer) => {
                    let status = self.note(first, batch, intended, &answer);
                    if matches!(status, 429 | 503) && !self.paced {
                        tokio::time::sleep(OVERLOAD_PAUSE).await;
                    }
                }
                Err(error) => {
                    *self.seen.lock().refused.entry(0).or_default() += batch;
                    reconnects += 1;
                    if reconnects > MAX_RECONNECTS {
                        return Err(error.context("the connection broke again and again"));
                    }
                    connection = Connection::open(self.address).await?;
                }
            }
        }
    }

    fn note(&self, first: u64, batch: u64, intended: u64, answer: &Answer<'_>) -> u16 {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        if !(200..300).contains(&answer.status) {
            *seen.refused.entry(answer.status).or_default() += batch;
            return answer.status;
        }
        let accepted = if batch == 1 {
            self.run.accepted(first);
            1
        } else {
            let items = items(answer.body, batch as usize);
            items.iter().zip(first..).filter(|(ok, _)| **ok).for_each(|(_, n)| self.run.accepted(n));
            items.iter().filter(|ok| **ok).count() as u64
        };
        seen.accepted += accepted;
        if accepted < batch {
            *seen.refused.entry(422).or_default() += batch - accepted;
        }
        if self.window.contains(&now) {
            seen.accepted_in_window += accepted;
        }
        if self.window.contains(&intended) {
            seen.latencies.record(now.saturating_sub(intended));
        }
        answer.status
    }
}

/// Which items of a batch were accepted.
fn items(body: &[u8], batch: usize) -> Vec<bool> {
    // Counting is enough as long as nothing was refused; reading JSON would cost as much as the request.
    if memchr::memmem::find_iter(body, b"\"deliveries\"").count() == batch {
        return vec![true; batch];
    }
    #[derive(serde::Deserialize)]
    struct Items {
        data: Vec<postrider_client::BatchItem>,
    }
    let mut accepted: Vec<bool> = serde_json::from_slice::<Items>(body)
        .map(|items| items.data.iter().map(|item| item.outcome().is_ok()).collect())
        .unwrap_or_default();
    accepted.resize(batch, false);
    accepted
}

struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES] })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            if let Some(head) = parse(&self.buffer[..filled])? {
                if head.length > MAX_ANSWER_BYTES {
                    bail!("an answer of {} bytes", head.length);
                }
                if filled >= head.length {
                    break head;
                }
                self.buffer.resize(head.length.max(self.buffer.len()), 0);
            } else if filled == self.buffer.len() {
                bail!("the head of an answer is larger than {filled} bytes");
            }
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 => bail!("the connection was closed"),
                read => filled += read,
            }
        };
        Ok(Answer { status: head.status, body: &self.buffer[head.body..head.length] })
    }
}

struct Head {
    status: u16,
    body: usize,
    length: usize,
}

/// Status and length of an answer; `None` until its head is there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(bytes).context("the answer is not HTTP/1.1")?
    else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    match length {
        Some(length) => Ok(Some(Head { status, body, length: body.saturating_add(length) })),
        None if status == 204 => Ok(Some(Head { status, body, length: body })),
        None => {
            bail!("an answer (status {status}) without content-length, which this publisher does not read")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_items_of_a_batch_are_not_counted_as_accepted() {
        let all = br#"{"data":[{"id":"a","deliveries":1},{"id":"b","deliveries":0}]}"#;
        assert_eq!(items(all, 2), [true, true]);
        let some = br#"{"data":[{"type":"t","title":"Invalid","status":422},{"id":"b","deliveries":1}]}"#;
        assert_eq!(items(some, 2), [false, true]);
        assert_eq!(items(b"nonsense", 2), [false, false]);
    }

    #[test]
    fn the_length_of_an_answer_is_known_once_its_head_is_there() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        for end in 0..answer.len() - 2 {
            assert!(parse(&answer[..end]).unwrap().is_none(), "{end}");
        }
        let head = parse(answer).unwrap().unwrap();
        assert_eq!((head.status, head.length), (202, answer.len()));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
