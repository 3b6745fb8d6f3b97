//! Deliveries over TLS, as everywhere but on loopback: with authorities of the operator's own, and never without a check.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{Receiver, Setup};

/// Ends TLS in front of a receiver; the URL of what it makes of it.
async fn behind_tls(receiver: &Receiver, issuer: &Issuer<'static, KeyPair>) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let behind = receiver.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let Ok(mut inner) = TcpStream::connect(behind).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    url
}

/// What issues certificates, and its own in PEM.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

#[tokio::test]
async fn abuse_a44_certificates_of_the_operators_authority_are_accepted_and_of_any_other_are_not() {
    let ((known, pem), (unknown, _)) = (authority(), authority());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("authorities.pem");
    std::fs::write(&file, pem).unwrap();
    let server = Setup::default()
        .set("RETRY_SCHEDULE_S", "[]")
        .set("OUTBOUND__EXTRA_CA_FILE", file.display())
        .start()
        .await;
    let acme = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    let good =
        acme.endpoint(json!({"url": behind_tls(&receiver, &known).await, "event_types": ["good"]})).await;
    acme.endpoint(json!({"url": behind_tls(&receiver, &unknown).await, "event_types": ["bad"]})).await;
    let event = acme.publish(json!({"type": "good"})).await;
    receiver.wait_for_event(&event, 1).await[0].verify(&good.secret);
    acme.wait_for_status(&event, "succeeded").await;
    let event = acme.publish(json!({"type": "bad"})).await;
    let delivery = acme.wait_for_status(&event, "failed").await;
    assert_eq!(delivery["attempts"][0]["error"]["kind"], "tls", "{delivery}");
    assert_eq!(receiver.count(), 1, "nothing was sent without a check");
}
