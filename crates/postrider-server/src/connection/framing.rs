//! A strict reading of where HTTP/1 messages begin and end: what two parsers could read differently is refused.
//!
//! hyper is lenient where RFC 9112 lets it be: it takes a bare LF for a line's end, and a `Content-Length` beside a
//! `Transfer-Encoding`. Behind a proxy that reads such a message in another way, the rest of a body becomes a second
//! request (request smuggling). So every byte of a connection passes here first. It costs one search for line ends in
//! each head; bodies are skipped by count.

#[cfg(feature = "fuzzing")]
pub(crate) mod differential;

/// Longest line of a head, in bytes. hyper's own bound on the whole head is smaller or equal.
const MAX_LINE: usize = 16 * 1024;
/// Longest line that gives a chunk's size, extensions included, in bytes.
const MAX_CHUNK_LINE: usize = 256;
/// The first line of an HTTP/2 connection preface (RFC 9113, section 3.4).
const HTTP2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// What follows it in the preface, in bytes.
const HTTP2_PREFACE_REST: usize = b"\r\nSM\r\n\r\n".len();

/// Reads along with a connection, and says at which byte it stops being sound.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    content_length: Option<u64>,
    chunked: bool,
    host: Host,
    first_request: bool,
}

/// What is known of a request's `Host` (RFC 9112, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    /// There need not be one: before HTTP/1.1.
    Optional,
    /// It has yet to come.
    Missing,
    Given,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    RequestLine,
    Header,
    Body {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    ChunkEnd,
    Trailer,
    /// What follows the first line of the HTTP/2 preface.
    Preface {
        left: usize,
    },
    /// HTTP/2, which has a framing of its own.
    Http2,
}

/// What a connection is doing, seen from its reading side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Between requests.
    Idle,
    /// A head has begun and is not complete.
    Head,
    /// A body, whose reader keeps the time.
    Body,
    /// HTTP/2.
    Http2,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            state: State::RequestLine,
            partial: Vec::new(),
            content_length: None,
            chunked: false,
            host: Host::Optional,
            first_request: true,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self.state {
            State::RequestLine if self.partial.is_empty() => Stage::Idle,
            State::RequestLine | State::Header | State::Preface { .. } => Stage::Head,
            State::Http2 => Stage::Http2,
            _ => Stage::Body,
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// How many of them are sound (at least all before the line at fault are; the rest must not be read by anybody).
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Http2 => return Ok(()),
                State::Preface { left } => {
                    let skipped = rest.len().min(*left);
                    *left -= skipped;
                    at += skipped;
                    if *left == 0 {
                        self.state = State::Http2;
                    }
                }
                State::Body { left } | State::ChunkData { left } => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= skipped as u64;
                    at += skipped;
                    if *left == 0 {
                        self.body_done();
                    }
                }
                _ => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        at += end + 1;
                        self.complete_line(&rest[..=end]).map_err(|Unsound| at - 1)?;
                    }
                    None if self.partial.len() + rest.len() > self.longest_line() => return Err(at),
                    None => {
                        self.partial.extend_from_slice(rest);
                        return Ok(());
                    }
                },
            }
        }
        Ok(())
    }

    fn longest_line(&self) -> usize {
        match self.state {
            State::RequestLine | State::Header => MAX_LINE,
            _ => MAX_CHUNK_LINE,
        }
    }

    fn body_done(&mut self) {
        self.state = match self.state {
            State::ChunkData { .. } => State::ChunkEnd,
            _ => State::RequestLine,
        };
    }

    fn complete_line(&mut self, end: &[u8]) -> Result<(), Unsound> {
        if self.partial.len() + end.len() > self.longest_line() {
            return Err(Unsound);
        }
        if self.partial.is_empty() {
            return self.line(end);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(end);
        self.line(&line)
    }

    /// Takes a whole line with its end.
    fn line(&mut self, line: &[u8]) -> Result<(), Unsound> {
        let content = line.strip_suffix(b"\r\n").ok_or(Unsound)?;
        if memchr::memchr2(b'\r', 0, content).is_some() {
            return Err(Unsound);
        }
        match self.state {
            // Empty lines before a request are passed over (RFC 9112, section 2.2).
            State::RequestLine if content.is_empty() => {}
            State::RequestLine if self.first_request && line == HTTP2_PREFACE_LINE => {
                self.state = State::Preface { left: HTTP2_PREFACE_REST };
            }
            State::RequestLine => {
                self.first_request = false;
                self.content_length = None;
                self.chunked = false;
                self.host = if content.ends_with(b"HTTP/1.1") { Host::Missing } else { Host::Optional };
                self.state = State::Header;
            }
            State::Header if content.is_empty() && self.host == Host::Missing => return Err(Unsound),
            State::Header if content.is_empty() => self.state = self.body_state(),
            State::Header => self.header(content)?,
            State::ChunkSize => {
                self.state = match chunk_size(content)? {
                    0 => State::Trailer,
                    left => State::ChunkData { left },
                };
            }
            State::ChunkEnd if content.is_empty() => self.state = State::ChunkSize,
            // No trailer fields: nothing here reads them.
            State::Trailer if content.is_empty() => self.state = State::RequestLine,
            _ => return Err(Unsound),
        }
        Ok(())
    }

    fn body_state(&self) -> State {
        match (self.chunked, self.content_length) {
            (true, _) => State::ChunkSize,
            (false, Some(left)) if left > 0 => State::Body { left },
            (false, _) => State::RequestLine,
        }
    }

    fn header(&mut self, content: &[u8]) -> Result<(), Unsound> {
        match content[0] {
            // A folded line (RFC 9112, section 5.2).
            b' ' | b'\t' => return Err(Unsound),
            b'c' | b'C' | b't' | b'T' | b'h' | b'H' => {}
            _ => return Ok(()),
        }
        let Some(colon) = memchr::memchr(b':', content) else {
            return Err(Unsound);
        };
        let (name, value) = (&content[..colon], trim(&content[colon + 1..]));
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            if self.content_length.is_some() || self.chunked || name.len() != 14 {
                return Err(Unsound);
            }
            self.content_length = Some(digits(value)?);
        } else if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
            let known = value.eq_ignore_ascii_case(b"chunked");
            if self.content_length.is_some() || self.chunked || !known || name.len() != 17 {
                return Err(Unsound);
            }
            self.chunked = true;
        } else if name.trim_ascii().eq_ignore_ascii_case(b"host") {
            if self.host == Host::Given || name.len() != 4 || !is_host(value) {
                return Err(Unsound);
            }
            self.host = Host::Given;
        }
        Ok(())
    }
}

/// The message can be read in more than one way, or in none.
struct Unsound;

/// Without spaces and tabs around it (RFC 9110, section 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A name or an address, and perhaps a port (RFC 9110, section 7.2). That of an `http` URL is never empty (section 4.2.1).
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let (address, port) = (&rest[..end], &rest[end + 1..]);
            if !address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
                return false;
            }
            (address, port)
        }
        None => {
            let end = memchr::memchr(b':', value).unwrap_or(value.len());
            let (name, port) = value.split_at(end);
            if !name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b)) {
                return false;
            }
            (name, port)
        }
    };
    let port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    !name.is_empty() && port
}

/// 1 to 18 decimal digits, nothing else.
fn digits(value: &[u8]) -> Result<u64, Unsound> {
    if value.is_empty() || value.len() > 18 {
        return Err(Unsound);
    }
    value.iter().try_fold(0, |n, b| match b {
        b'0'..=b'9' => Ok(n * 10 + u64::from(b - b'0')),
        _ => Err(Unsound),
    })
}

/// 1 to 15 hexadecimal digits, and after a semicolon whatever extension (RFC 9112, section 7.1).
fn chunk_size(content: &[u8]) -> Result<u64, Unsound> {
    let size = content.split(|b| *b == b';').next().unwrap_or_default();
    if size.is_empty() || size.len() > 15 {
        return Err(Unsound);
    }
    size.iter().try_fold(0, |n, b| {
        let digit = char::from(*b).to_digit(16).ok_or(Unsound)?;
        Ok(n * 16 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(text: &str) -> Result<Stage, usize> {
        let mut whole = Framing::new();
        let result = whole.read(text.as_bytes()).map(|()| whole.stage());
        // Cut anywhere, the verdict must be the same.
        let mut bytewise = Framing::new();
        let one_by_one = text
            .bytes()
            .enumerate()
            .try_for_each(|(at, b)| bytewise.read(&[b]).map_err(|_| at))
            .map(|()| bytewise.stage());
        assert_eq!(result.is_ok(), one_by_one.is_ok(), "{text:?}");
        result
    }

    #[test]
    fn sound_messages_are_followed_to_the_next_request() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe\nlo",
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t5 \r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(sound(text), Ok(Stage::Idle), "{text:?}");
        }
        assert_eq!(sound("GET / HT"), Ok(Stage::Head));
        assert_eq!(sound("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"), Ok(Stage::Body));
        assert_eq!(sound("PRI * HTTP/2.0\r\n\r\nSM"), Ok(Stage::Head));
        assert_eq!(sound("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n\n\r"), Ok(Stage::Http2));
    }

    #[test]
    fn abuse_a79_what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: -5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 5\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n",
            "GET / HTTP/1.1\r\nHost: a\0\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n\tb\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(sound(text).is_err(), "{text:?}");
        }
        let huge = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\n",
            "x".repeat(300)
        );
        assert!(sound(&huge).is_err());
        assert!(sound(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_LINE))).is_err());
    }

    #[test]
    fn abuse_a79_a_request_names_its_host_once_and_well() {
        let with = |host: &str| sound(&format!("GET / HTTP/1.1\r\n{host}\r\n"));
        for host in [
            "a",
            "a.example:8700",
            "127.0.0.1:80",
            "[::1]:8700",
            "[::1]",
            "a:",
            "xn--bcher-kva.example",
            "a_b",
        ] {
            assert_eq!(with(&format!("hOST:{host} \r\n")), Ok(Stage::Idle), "{host}");
        }
        let long = format!("Host: a:{}\r\n", "1".repeat(6));
        for bad in [
            "",
            "Accept: a\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nX: y\r\nhost: b\r\n",
            "Host: a b\r\n",
            "Host:\r\n",
            "Host: a/b\r\n",
            "Host: a@b\r\n",
            "Host: a:b\r\n",
            "Host: a:1:2\r\n",
            "Host: [::1\r\n",
            "Host: [::1]x\r\n",
            "Host: []\r\n",
            "Host: :80\r\n",
            "Host : a\r\n",
            "Host: \u{e9}\r\n",
            "Host: a#\r\n",
            "Host: a\"\r\n",
            &long,
        ] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
        assert_eq!(sound("GET / HTTP/1.0\r\n\r\n"), Ok(Stage::Idle));
        assert!(sound("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n").is_err());
        assert!(
            sound("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n").is_err(),
            "each request anew"
        );
    }

    #[test]
    fn the_fault_is_told_before_anything_behind_it_can_be_read() {
        let text = b"GET / HTTP/1.1\r\nHost: a\nGET /smuggled HTTP/1.1\r\n\r\n";
        assert_eq!(Framing::new().read(text), Err(23));
    }
}
