//! A publisher's connection: one request out, one answer back.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ordinary;

/// Bytes of a connection's buffer at first.
const BUFFER_BYTES: usize = 16 << 10;
/// An answer is no larger.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Header fields of a message at most.
pub(super) const MAX_HEADERS: usize = 64;

/// How publishers and receiver speak HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Http {
    /// Prebuilt bytes and a minimal parser: the client costs little beside its system calls, so the direct limit is as high,
    /// and the ratio as strict, as it gets
    Raw,
    /// The hyper library, as an ordinary client and an ordinary service would use it: both limits are lower, and the ratio
    /// is what such a service sees
    Hyper,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Link {
    Raw(Connection),
    Hyper(Box<ordinary::Connection>),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn open(http: Http, address: SocketAddr) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(match http {
            Http::Raw => Self::Raw(Connection { stream, buffer: vec![0; BUFFER_BYTES] }),
            Http::Hyper => Self::Hyper(Box::new(ordinary::Connection::open(stream).await?)),
        })
    }

    /// Sends a request, given as the bytes of HTTP/1.1, and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes back is not an answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        match self {
            Self::Raw(connection) => connection.exchange(request).await,
            Self::Hyper(connection) => connection.exchange(request).await,
        }
    }
}

/// A connection with a minimal parser.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
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
