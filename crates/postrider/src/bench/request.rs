//! Requests built once; only the digits that vary are written for each.

use std::net::SocketAddr;

use super::record::{COUNTER_DIGITS, Run};

/// Digits of a tenant's number.
const TENANT_DIGITS: usize = 5;
/// The event type of the bench.
pub(super) const EVENT_TYPE: &str = "bench.event";

/// A request with room for counters and tenants.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where the counter and the tenant of each event stand.
    events: Vec<(usize, Option<usize>)>,
}

impl Template {
    /// `POST /v1/events` with one event, or an array of `batch` events.
    pub(super) fn publish(
        run: &Run,
        server: &str,
        token: &str,
        tenant_prefix: &str,
        batch: usize,
        size: usize,
    ) -> Self {
        let data = data(size);
        let mut body = String::new();
        let mut events = Vec::with_capacity(batch);
        if batch > 1 {
            body.push('[');
        }
        for index in 0..batch {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&format!("{{\"tenant\":\"{tenant_prefix}"));
            let tenant = body.len();
            body.push_str(&"0".repeat(TENANT_DIGITS));
            body.push_str(&format!("\",\"type\":\"{EVENT_TYPE}\",\"id\":\"{}", run.label()));
            let counter = body.len();
            body.push_str(&"0".repeat(COUNTER_DIGITS));
            body.push_str(&format!("\",\"data\":{data}}}"));
            events.push((counter, Some(tenant)));
        }
        if batch > 1 {
            body.push(']');
        }
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let shift = head.len();
        let events = events
            .into_iter()
            .map(|(counter, tenant)| (counter + shift, tenant.map(|tenant| tenant + shift)))
            .collect();
        Self { bytes: (head + &body).into_bytes(), events }
    }

    /// What a delivery of the same data looks like, straight to the receiver.
    pub(super) fn delivery(run: &Run, receiver: SocketAddr, size: usize) -> Self {
        let body = format!(
            "{{\"type\":\"{EVENT_TYPE}\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"data\":{}}}",
            data(size)
        );
        let before = format!(
            "POST {} HTTP/1.1\r\nhost: {receiver}\r\ncontent-type: application/json\r\nwebhook-id: {}",
            Run::path(0, 0),
            run.label()
        );
        let after = format!(
            "\r\nwebhook-timestamp: 1767225600\r\nwebhook-signature: v1,{}\r\nwebhook-sequence: 1000000\r\n\
             webhook-attempt: 1\r\nuser-agent: postrider-bench\r\ncontent-length: {}\r\n\r\n{body}",
            "A".repeat(44),
            body.len()
        );
        let counter = before.len();
        let bytes = [before, "0".repeat(COUNTER_DIGITS), after].concat().into_bytes();
        Self { bytes, events: vec![(counter, None)] }
    }

    /// Events in the request.
    pub(super) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// The request for the events that begin with `first`, spread over `tenants` tenants.
    pub(super) fn fill(&mut self, first: u64, tenants: u64) -> &[u8] {
        for (counter, &(at, tenant_at)) in (first..).zip(&self.events) {
            write_digits(&mut self.bytes[at..at + COUNTER_DIGITS], counter);
            if let Some(at) = tenant_at {
                write_digits(&mut self.bytes[at..at + TENANT_DIGITS], counter % tenants);
            }
        }
        &self.bytes
    }
}

/// The id of a tenant of the bench.
pub(super) fn tenant(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:0width$}", width = TENANT_DIGITS)
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// JSON of exactly `size` bytes (2 at least) that looks like a card transaction.
fn data(size: usize) -> String {
    const FIELDS: &str = "{\"transaction\":\"0198a6c2-7d1e-7c30-9b52-3f1f6f0f7a11\",\"card\":\"c_5561234567\",\
        \"amount\":\"42.50\",\"currency\":\"EUR\",\"merchant\":{\"name\":\"Station Kiosk\",\"mcc\":\"5411\",\
        \"city\":\"Z\u{fc}rich\"},\"state\":\"authorized\"";
    const WORDS: [&str; 8] =
        ["receipt", "terminal", "approved", "17.93", "balance", "contactless", "2044", "loyalty"];
    let (open, close) = (",\"memo\":\"", "\"}");
    if size < FIELDS.len() + open.len() + close.len() {
        return match size {
            0..=2 => "{}".into(),
            _ => format!("\"{}\"", "x".repeat(size - 2)),
        };
    }
    let room = size - FIELDS.len() - open.len() - close.len();
    let mut memo = String::with_capacity(room + 16);
    // A small generator of our own: the same text in every run, and not the same word over and over.
    let mut state = 0x9e37_79b9_u32;
    while memo.len() < room {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        memo.push_str(WORDS[(state >> 29) as usize]);
        memo.push_str(&format!(" {:x} ", state >> 12));
    }
    memo.truncate(room);
    [FIELDS, open, &memo, close].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &[u8]) -> serde_json::Value {
        let text = std::str::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn data_has_the_size_asked_for_and_is_json() {
        for size in [2, 3, 50, 250, 1_024, 65_536] {
            let data = data(size);
            assert_eq!(data.len(), size);
            serde_json::from_str::<serde_json::Value>(&data).unwrap();
        }
    }

    #[test]
    fn only_counters_and_tenants_vary() {
        let run = Run::new("b-1-".into(), 3, 1);
        let mut template = Template::publish(&run, "127.0.0.1:1", "tok", "bench-", 4, 100);
        assert_eq!(template.events(), 4);
        let sent = body(template.fill(1_234, run.tenants()));
        for (counter, event) in (1_234_u64..).zip(sent.as_array().unwrap()) {
            assert_eq!(event["id"], run.id(counter));
            assert_eq!(event["tenant"], tenant("bench-", counter % 3));
        }
        let mut one = Template::publish(&run, "127.0.0.1:1", "tok", "bench-", 1, 100);
        assert_eq!(body(one.fill(7, 3))["id"], run.id(7));
    }

    #[test]
    fn a_direct_request_looks_like_a_delivery() {
        let run = Run::new("b-1-".into(), 1, 1);
        let mut template = Template::delivery(&run, "127.0.0.1:1".parse().unwrap(), 1_024);
        let request = template.fill(42, 1).to_vec();
        assert!(body(&request)["data"].is_object());
        assert!(String::from_utf8(request).unwrap().contains(&format!("webhook-id: {}\r\n", run.id(42))));
    }
}
