//! The receiver of the bench: as little HTTP/1.1 as a webhook needs, so that it costs next to nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::link::{Http, MAX_HEADERS};
use super::ordinary;
use super::pool::Pool;
use super::record::{Arrival, Recorder};

/// The answer to every request.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// The answer to what is not understood; the connection ends with it.
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Bytes of a connection's buffer at first.
const BUFFER_BYTES: usize = 16 << 10;
/// A request is no larger.
const MAX_REQUEST_BYTES: usize = 20 << 20;
/// Room for the answers to requests that came together.
const ANSWERS_BYTES: usize = 1 << 10;

/// Listens on loopback and answers on the threads of the pool in turn.
///
/// # Errors
/// When it cannot listen.
pub(super) fn start(pool: &Pool, recorder: Arc<Recorder>, http: Http) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("the receiver cannot listen")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let handles = pool.handles();
    drop(pool.spawn(0, accept(listener, handles, recorder, http)));
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, handles: Vec<Handle>, recorder: Arc<Recorder>, http: Http) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    for handle in handles.iter().cycle() {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(stream) = stream.into_std() else { continue };
        let recorder = recorder.clone();
        drop(handle.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            if stream.set_nodelay(true).is_err() {
                return;
            }
            // A connection that ends in the middle shows in the record as what did not arrive.
            match http {
                Http::Raw => drop(serve(stream, &recorder).await),
                Http::Hyper => drop(ordinary::serve(stream, &recorder).await),
            }
        }));
    }
}

async fn serve(mut stream: TcpStream, recorder: &Recorder) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let mut answers: Vec<u8> = Vec::with_capacity(ANSWERS_BYTES);
    loop {
        if filled == buffer.len() {
            if filled >= MAX_REQUEST_BYTES {
                return stream.write_all(REFUSAL).await;
            }
            buffer.resize(filled * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let now = recorder.clock.now();
        let run = recorder.run.load();
        let mut done = 0;
        answers.clear();
        loop {
            match parse(&buffer[done..filled]) {
                Parsed::Whole { length, arrival } => {
                    if let (Some(run), Some(arrival)) = (run.as_ref(), arrival) {
                        run.arrive(arrival, now);
                    }
                    done += length;
                    answers.extend_from_slice(ANSWER);
                }
                Parsed::Partial => break,
                Parsed::Bad => return stream.write_all(REFUSAL).await,
            }
        }
        drop(run);
        if done > 0 {
            buffer.copy_within(done..filled, 0);
            filled -= done;
            stream.write_all(&answers).await?;
        }
    }
}

/// What the first bytes of a connection hold.
#[derive(Debug)]
enum Parsed<'a> {
    /// A request of that many bytes; a webhook, if it has an id.
    Whole { length: usize, arrival: Option<Arrival<'a>> },
    /// The beginning of one.
    Partial,
    /// Not HTTP/1.1, or a body without a stated length.
    Bad,
}

fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Bad,
    };
    let mut body = 0;
    let mut id = None;
    for header in request.headers.iter() {
        // The lengths tell most names apart before any is compared.
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let Some(length) = std::str::from_utf8(header.value).ok().and_then(|v| v.parse().ok()) else {
                    return Parsed::Bad;
                };
                body = length;
            }
            10 if header.name.eq_ignore_ascii_case("webhook-id") => id = Some(header.value),
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => return Parsed::Bad,
            _ => {}
        }
    }
    if body > MAX_REQUEST_BYTES {
        return Parsed::Bad;
    }
    let length = head + body;
    if bytes.len() < length {
        return Parsed::Partial;
    }
    let arrival = id.zip(request.path).map(|(id, path)| Arrival { id, path });
    Parsed::Whole { length, arrival }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_one_after_the_other() {
        let one =
            b"POST /hook/00000/000 HTTP/1.1\r\nHost: h\r\nWebhook-Id: r-1\r\nContent-Length: 2\r\n\r\n{}";
        let two = [&one[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        let Parsed::Whole { length, arrival } = parse(&two) else { panic!("the first is whole") };
        let arrival = arrival.unwrap();
        assert_eq!((length, arrival.id, arrival.path), (one.len(), &b"r-1"[..], "/hook/00000/000"));
        assert!(matches!(parse(&two[length..]), Parsed::Whole { length: 18, arrival: None }));
        for end in 0..one.len() {
            assert!(matches!(parse(&one[..end]), Parsed::Partial), "{end}");
        }
    }

    #[test]
    fn a_body_of_unknown_or_absurd_length_is_refused() {
        for head in ["transfer-encoding: chunked", "content-length: x", "content-length: 99999999999"] {
            let request = format!("POST / HTTP/1.1\r\n{head}\r\n\r\n");
            assert!(matches!(parse(request.as_bytes()), Parsed::Bad), "{head}");
        }
        assert!(matches!(parse(b"\x16\x03\x01\x02\x00\x01"), Parsed::Bad));
    }
}
