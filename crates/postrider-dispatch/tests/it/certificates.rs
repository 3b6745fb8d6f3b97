//! TLS: what is accepted, and which failure is named for what is not. Loopback plays a public address.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use postrider_dispatch::{DispatchConfig, Dispatcher, FailureKind, UrlPolicy, load_roots};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use crate::support::{LONG, Line, Lines, Names, found, post, post_name, receive, wait_for_close};

const HOST: &str = "receiver.example";
const URL: &str = "https://receiver.example/hook";

struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Authority {
        certificate: certificate.der().clone(),
        pem: certificate.pem(),
        issuer: Issuer::new(params, key),
    }
}

fn params(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

fn issue(authority: &Authority, params: &CertificateParams) -> rustls::ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    server(certificate.der().clone(), &key)
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap()
}

/// Answers with the HTTP version that the request came in.
async fn serve(config: rustls::ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    receive(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = hyper::service::service_fn(|request: hyper::Request<Incoming>| async move {
                let version = format!("{:?}", request.version());
                request.into_body().collect().await?;
                Ok::<_, hyper::Error>(hyper::Response::new(Full::new(bytes::Bytes::from(version))))
            });
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        }
    })
    .await
}

fn dispatcher(receiver: SocketAddr, roots: Vec<CertificateDer<'static>>) -> (Dispatcher, Arc<Lines>) {
    let names = Names::with(&[(HOST, &[found(&["93.184.216.34"])])]);
    let lines = Lines::all(Line::To(receiver));
    let config = DispatchConfig { extra_roots: roots, ..DispatchConfig::default() };
    (Dispatcher::new(config, names, lines.clone()).unwrap(), lines)
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_and_shares_one_connection() {
    let authority = authority();
    for (offered, spoken) in
        [(&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let mut config = issue(&authority, &params(HOST));
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let (dispatcher, lines) = dispatcher(serve(config).await, vec![authority.certificate.clone()]);
        for _ in 0..3 {
            let report = post_name(&dispatcher, URL, LONG).await;
            assert_eq!(report.result.unwrap().body, spoken);
            assert_eq!(report.remote_address.unwrap().to_string(), "93.184.216.34:443");
        }
        assert_eq!(lines.dialled().len(), 1);
    }
}

/// Refuses every second request, then every one from the fourth on; says how many came.
async fn refusing(config: rustls::ServerConfig, count: Arc<AtomicUsize>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    receive(move |stream, _| {
        let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
        async move {
            let mut connection = h2::server::handshake(acceptor.accept(stream).await.unwrap()).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                match count.fetch_add(1, Ordering::Relaxed) {
                    0 | 2 => drop(respond.send_response(hyper::Response::new(()), true).unwrap()),
                    _ => respond.send_reset(h2::Reason::REFUSED_STREAM),
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn abuse_a42_what_an_http_2_receiver_did_not_look_at_is_sent_once_more() {
    let authority = authority();
    let mut config = issue(&authority, &params(HOST));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = refusing(config, Arc::clone(&count)).await;
    let (dispatcher, _) = dispatcher(receiver, vec![authority.certificate.clone()]);
    // As the engine does it: one target for all requests of an endpoint.
    let request = post(URL, &UrlPolicy::default(), LONG);
    assert_eq!(dispatcher.send(request.clone()).await.result.unwrap().status, 200);
    assert_eq!(dispatcher.send(request.clone()).await.result.unwrap().status, 200);
    assert_eq!(count.load(Ordering::Relaxed), 3, "the second was refused, and came again");
    let failure = dispatcher.send(request).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.request_sent), (FailureKind::Reset, false), "{failure:?}");
    assert_eq!(count.load(Ordering::Relaxed), 5, "no more than once");
}

#[tokio::test]
async fn abuse_a44_a_certificate_that_is_not_acceptable_is_named_with_its_fault() {
    let authority = authority();
    let mut expired = params(HOST);
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut future = params(HOST);
    future.not_before = date_time_ymd(2200, 1, 1);
    let key = KeyPair::generate().unwrap();
    let self_signed = server(params(HOST).self_signed(&key).unwrap().der().clone(), &key);
    let mut own_authority = params(HOST);
    own_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let self_signed_authority = server(own_authority.self_signed(&key).unwrap().der().clone(), &key);
    let cases = [
        (issue(&authority, &expired), "the receiver's certificate has expired; renew it"),
        (issue(&authority, &future), "the receiver's certificate is not valid yet"),
        (
            issue(&authority, &params("other.example")),
            "the receiver's certificate is for another name than the URL's host",
        ),
        (
            self_signed,
            "the receiver's certificate is self-signed or from an unknown issuer, or its chain is incomplete",
        ),
        (
            self_signed_authority,
            "the receiver's certificate is self-signed: it is an authority's, not a server's",
        ),
    ];
    for (config, detail) in cases {
        let (dispatcher, lines) = dispatcher(serve(config).await, vec![authority.certificate.clone()]);
        let failure = post_name(&dispatcher, URL, LONG).await.result.unwrap_err();
        assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Tls, detail), "{failure:?}");
        assert!(!failure.request_sent);
        assert_eq!(lines.dialled().len(), 1);
    }
}

#[tokio::test]
async fn abuse_a44_an_authority_that_is_not_configured_is_not_trusted() {
    let receiver = serve(issue(&authority(), &params(HOST))).await;
    let failure = post_name(&dispatcher(receiver, Vec::new()).0, URL, LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls);
    assert!(failure.detail.contains("unknown issuer"));
}

#[tokio::test]
async fn abuse_a44_a_receiver_that_speaks_tls_1_0_alone_is_named_so() {
    // A fatal alert protocol_version; and a ServerHello that chooses TLS 1.0 (RFC 2246 sections 7.2, 7.4.1.3).
    let alert = vec![0x15, 3, 1, 0, 2, 2, 70];
    let mut hello = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    for answer in [alert, hello] {
        let receiver = receive(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await.unwrap();
                wait_for_close(&mut stream).await;
            }
        })
        .await;
        let failure = post_name(&dispatcher(receiver, Vec::new()).0, URL, LONG).await.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Tls, "{failure:?}");
        assert!(failure.detail.contains("TLS 1.2 or later is required"), "{failure:?}");
    }
}

#[tokio::test]
async fn abuse_a44_a_receiver_without_tls_is_named_so() {
    let receiver = receive(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        wait_for_close(&mut stream).await;
    })
    .await;
    let failure = post_name(&dispatcher(receiver, Vec::new()).0, URL, LONG).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls);
    assert!(failure.detail.contains("does it speak plain http?"), "{failure:?}");

    let receiver = receive(|stream, _| async move { drop(stream) }).await;
    let failure = post_name(&dispatcher(receiver, Vec::new()).0, URL, LONG).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.request_sent), (FailureKind::Tls, false), "{failure:?}");
}

#[tokio::test]
async fn authorities_are_read_from_a_pem_file() {
    let authority = authority();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    assert!(load_roots(file.path()).is_err(), "no certificate inside");
    file.write_all(authority.pem.as_bytes()).unwrap();
    let roots = load_roots(file.path()).unwrap();
    assert_eq!(roots, std::slice::from_ref(&authority.certificate));
    assert!(load_roots(std::path::Path::new("/nonexistent/ca.pem")).is_err());
    let receiver = serve(issue(&authority, &params(HOST))).await;
    assert_eq!(post_name(&dispatcher(receiver, roots).0, URL, LONG).await.result.unwrap().status, 200);
}
