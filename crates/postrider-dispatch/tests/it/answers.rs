//! Receivers that answer badly, endlessly, late, oddly or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postrider_dispatch::{FailureKind, MAX_BODY_READ, MAX_KEPT_BODY, MAX_KEPT_HEADERS, Report, Request};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::support::{
    LONG, always, dev_policy, loopback, post, post_to, read_request, receive, wait_for_close,
};

const SHORT: Duration = Duration::from_millis(150);

fn timed_out(report: Report) -> String {
    let failure = report.result.unwrap_err();
    assert_eq!((failure.kind, failure.request_sent), (FailureKind::Timeout, true));
    assert!(report.duration >= SHORT && report.duration < LONG);
    assert!(report.remote_address.is_some());
    failure.detail
}

#[tokio::test]
async fn abuse_a40_a_receiver_that_never_answers_is_cut_at_the_timeout() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let receiver = receive(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            wait_for_close(&mut stream).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    assert_eq!(timed_out(post_to(&loopback(), receiver, SHORT).await), "no answer within 150 ms");
    timeout(LONG, was_closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn abuse_a40_a_receiver_that_never_even_reads_is_cut_at_the_timeout() {
    let receiver = receive(|stream, _| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    timed_out(post_to(&loopback(), receiver, SHORT).await);
}

#[tokio::test]
async fn abuse_a40_headers_and_then_nothing_is_a_timeout() {
    let receiver = always(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
    let detail = timed_out(post_to(&loopback(), receiver, SHORT).await);
    assert_eq!(detail, "the answer began (200), but did not end within 150 ms");
}

#[tokio::test]
async fn abuse_a40_a_body_or_a_head_that_trickles_is_a_timeout() {
    for head in ["HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 200 OK\r\nX: "] {
        let receiver = receive(move |mut stream, _| async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while stream.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
        })
        .await;
        timed_out(post_to(&loopback(), receiver, SHORT).await);
    }
}

/// Sends `head`, then `chunk` until the dispatcher hangs up; says how many bytes that took.
async fn endless(head: &'static str, chunk: &'static [u8]) -> (Report, usize) {
    let (sent, mut was_sent) = mpsc::channel(1);
    let receiver = receive(move |mut stream, _| {
        let sent = sent.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut total = 0;
            // A gigabyte is far more than the kernel takes without a reader.
            while total < 1 << 30 && stream.write_all(chunk).await.is_ok() {
                total += chunk.len();
            }
            sent.send(total).await.unwrap();
        }
    })
    .await;
    let report = post_to(&loopback(), receiver, LONG).await;
    let total = timeout(LONG, was_sent.recv()).await.unwrap().unwrap();
    assert!(total < 1 << 30, "the connection was dropped");
    (report, total)
}

#[tokio::test]
async fn abuse_a41_of_an_endless_body_4_kib_are_kept_and_the_connection_is_dropped() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let (report, _) = endless(head, &[b'x'; 64 * 1024]).await;
        let response = report.result.unwrap();
        assert_eq!(
            (response.status, response.body.len(), response.body_truncated),
            (200, MAX_KEPT_BODY, true)
        );
        assert!(response.body.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn abuse_a41_endless_headers_end_the_connection() {
    for chunk in [&b"X-Header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"[..], &[b'x'; 4096]] {
        let (report, _) = endless("HTTP/1.1 200 OK\r\n", chunk).await;
        let failure = report.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Reset, "{failure:?}");
        assert!(failure.detail.contains("head of the answer is too large"), "{failure:?}");
    }
}

#[tokio::test]
async fn abuse_a41_a_compressed_body_stays_compressed() {
    let receiver = always(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\x00\xff\x00",
    )
    .await;
    let response = post_to(&loopback(), receiver, LONG).await.result.unwrap();
    assert_eq!(&response.body[..], b"\x1f\x8b\x08\x00\xff\x00");
    assert_eq!(response.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn abuse_a41_a_body_in_many_pieces_is_kept_in_order_up_to_4_kib() {
    let pieces: Vec<u8> = (0..6_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let expected = pieces[..MAX_KEPT_BODY].to_vec();
    let receiver = receive(move |mut stream, _| {
        let pieces = pieces.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            for piece in pieces.chunks(1_000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
                stream.write_all(piece).await.unwrap();
                stream.write_all(b"\r\n").await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            wait_for_close(&mut stream).await;
        }
    })
    .await;
    let response = post_to(&loopback(), receiver, LONG).await.result.unwrap();
    assert_eq!(response.body, expected);
    assert!(response.body_truncated);
    let url = format!("http://{receiver}/");
    let more = Request { keep_body: MAX_BODY_READ, ..post(&url, &dev_policy(), LONG) };
    let response = loopback().send(more).await.result.unwrap();
    assert_eq!((response.body.len(), response.body_truncated), (6_000, false), "more where it is asked for");
}

#[tokio::test]
async fn of_many_headers_the_first_are_kept() {
    let receiver = receive(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        let mut answer = String::from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        for n in 0..80 {
            answer.push_str(&format!("X-{n}: {}\r\n", "v".repeat(if n == 40 { 9_000 } else { 10 })));
        }
        answer.push_str("\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        wait_for_close(&mut stream).await;
    })
    .await;
    let headers = post_to(&loopback(), receiver, LONG).await.result.unwrap().headers;
    assert!(headers.len() <= MAX_KEPT_HEADERS);
    assert!(
        headers.contains_key("x-39") && !headers.contains_key("x-40"),
        "the large one and those after it go"
    );
}

#[tokio::test]
async fn abuse_a42_a_reset_in_the_middle_is_one_failed_request() {
    for partial in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"] {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let receiver = receive(move |mut stream, _| {
            let counted = Arc::clone(&counted);
            async move {
                read_request(&mut stream).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                stream.write_all(partial.as_bytes()).await.unwrap();
                stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let report = post_to(&loopback(), receiver, LONG).await;
        let failure = report.result.unwrap_err();
        assert_eq!((failure.kind, failure.request_sent), (FailureKind::Reset, true), "{failure:?}");
        assert_eq!(requests.load(Ordering::Relaxed), 1);
        assert_eq!(report.remote_address, Some(receiver));
    }
}

#[tokio::test]
async fn abuse_a42_an_answer_that_is_not_http_is_a_reset() {
    let receiver = always(b"220 mail.example ESMTP\r\n").await;
    let failure = post_to(&loopback(), receiver, LONG).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Reset, "the answer is not valid HTTP"));
}

#[tokio::test]
async fn abuse_a43_an_answer_after_the_timeout_is_a_timeout_and_meets_no_later_request() {
    let late = Arc::new(Notify::new());
    let go = Arc::clone(&late);
    let receiver = receive(move |mut stream, nth| {
        let go = Arc::clone(&go);
        async move {
            read_request(&mut stream).await.unwrap();
            if nth == 0 {
                go.notified().await;
                // The connection is gone: the write may succeed or fail, nobody reads it.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await;
            } else {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh").await.unwrap();
            }
            wait_for_close(&mut stream).await;
        }
    })
    .await;
    let dispatcher = loopback();
    timed_out(post_to(&dispatcher, receiver, SHORT).await);
    late.notify_one();
    assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().body, "fresh");
}

#[tokio::test]
async fn abuse_a45_statuses_pass_through_as_they_are() {
    let cases: [(&'static str, u16); 12] = [
        ("204 No Content\r\n\r\n", 204),
        ("205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205),
        ("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 101),
        ("301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 301),
        ("307 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 307),
        ("304 Not Modified\r\n\r\n", 304),
        ("410 Gone\r\nContent-Length: 0\r\n\r\n", 410),
        ("429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", 429),
        ("503 No\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n", 503),
        ("503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", 503),
        ("999 What\r\nContent-Length: 0\r\n\r\n", 999),
        (
            "100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n",
            202,
        ),
    ];
    for (answer, status) in cases {
        let answer = format!("HTTP/1.1 {answer}");
        let receiver = receive(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                wait_for_close(&mut stream).await;
            }
        })
        .await;
        let response = post_to(&loopback(), receiver, LONG).await.result.unwrap();
        assert_eq!(response.status, status);
    }
    let receiver = always(b"HTTP/1.1 503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(post_to(&loopback(), receiver, LONG).await.result.unwrap().headers["retry-after"], "-1");
}

#[tokio::test]
async fn abuse_a45_an_interim_answer_alone_is_a_timeout() {
    let receiver = always(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    timed_out(post_to(&loopback(), receiver, SHORT).await);
}

#[tokio::test]
async fn abuse_a46_bodies_of_any_bytes_are_kept_as_they_are() {
    let receiver =
        always(b"HTTP/1.1 500 No\r\nX-Odd: \xff\x80\r\nContent-Length: 9\r\n\r\n\xff\xfe\x00\x1b[31m\x07")
            .await;
    let response = post_to(&loopback(), receiver, LONG).await.result.unwrap();
    assert_eq!(&response.body[..], b"\xff\xfe\x00\x1b[31m\x07");
    assert_eq!(response.headers["x-odd"].as_bytes(), b"\xff\x80");
}

#[tokio::test]
async fn abuse_a91_ten_thousand_early_hints_are_passed_over() {
    let receiver = receive(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        for _ in 0..10_000 {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        wait_for_close(&mut stream).await;
    })
    .await;
    let response = post_to(&loopback(), receiver, LONG).await.result.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    assert!(!response.headers.contains_key("link"));
}

#[tokio::test]
async fn abuse_a91_a_second_answer_to_one_request_never_meets_the_next_request() {
    let receiver = receive(|mut stream, nth| async move {
        while read_request(&mut stream).await.is_some() {
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}");
            if nth == 0 {
                answer.push_str("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"approved\":true}");
            }
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let dispatcher = loopback();
    assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().body, "0");
    assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().body, "1", "on a new connection");
}

#[tokio::test]
async fn abuse_a91_cookies_and_alternative_services_are_forgotten() {
    let (seen, mut requests) = mpsc::channel(2);
    let receiver = receive(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                seen.send(request).await.unwrap();
                let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nAlt-Svc: h2=\"evil.example:443\"\r\n\
                              Content-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let dispatcher = loopback();
    for _ in 0..2 {
        assert_eq!(post_to(&dispatcher, receiver, LONG).await.remote_address, Some(receiver));
    }
    assert_eq!(requests.recv().await, requests.recv().await, "the second request knows nothing of the first");
}

#[tokio::test]
async fn abuse_a91_an_answer_sent_ahead_never_meets_the_request_it_was_meant_for() {
    let (sent, mut was_sent) = mpsc::channel(1);
    let receiver = receive(move |mut stream, nth| {
        let sent = sent.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{nth}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                if nth == 0 {
                    let ahead = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"approved\": true}";
                    // By then the first answer may have been used, and this one may find the connection closed.
                    let _ = stream.write_all(ahead.as_bytes()).await;
                    sent.send(()).await.unwrap();
                }
            }
        }
    })
    .await;
    let dispatcher = loopback();
    assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().body, "0");
    timeout(LONG, was_sent.recv()).await.unwrap().unwrap();
    assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().body, "1", "on a new connection");
}
