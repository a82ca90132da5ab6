//! TLS with an authority made for the test, and HTTP/2.

use std::sync::Arc;

use futures_util::future::join_all;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::server::Server;
use super::{Script, config, empty, read, short};
use crate::http_client::{ClientError, HttpClient, TlsTrust};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut parameters = CertificateParams::new([]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Starts a server as `name` with a certificate of `issuer` that speaks `protocols`.
async fn start(issuer: &Issuer, name: &str, protocols: &[&str]) -> Server {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    Server::start_at("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(config)))).await
}

/// Returns a client that reaches every name of the test zone on this machine.
fn client(trusted: Option<CertificateDer<'static>>) -> HttpClient {
    let mut config = config("private+*.test:*");
    config.tls = TlsTrust::new(trusted).unwrap();
    config.resolver = Script::new(&[&["127.0.0.1"]]);
    HttpClient::new(config)
}

fn uri(server: &Server, path: &str) -> String {
    format!("https://shop.test:{}{path}", server.port())
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_can_on_one_connection() {
    let issuer = authority();
    let server = start(&issuer, "shop.test", &["h2", "http/1.1"]).await;
    let client = client(Some(issuer.der().clone()));
    let head = read(&client, &uri(&server, "/headers")).await.unwrap();
    assert_eq!(head, format!("HTTP/2.0 {} {{}}", uri(&server, "/headers")));
    let uri = uri(&server, "/");
    let all = join_all((0..20).map(|_| read(&client, &uri))).await;
    assert!(all.into_iter().all(|it| it.unwrap() == "hello"));
    assert_eq!((server.accepted(), server.requests()), (1, 21));
}

#[tokio::test]
async fn other_servers_get_http1() {
    let issuer = authority();
    for protocols in [&["http/1.1"][..], &[]] {
        let server = start(&issuer, "shop.test", protocols).await;
        let client = client(Some(issuer.der().clone()));
        for _ in 0..5 {
            let head = read(&client, &uri(&server, "/headers")).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 /headers"), "{head}");
        }
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_server() {
    let issuer = authority();
    let server = start(&issuer, "shop.test", &["h2"]).await;
    let error = read(&client(None), &uri(&server, "/")).await.err().unwrap();
    assert!(
        matches!(error, ClientError::TlsCertificate { .. }),
        "{error:?}"
    );

    let other = start(&issuer, "other.test", &["h2"]).await;
    let client = client(Some(issuer.der().clone()));
    let error = read(&client, &uri(&other, "/")).await.err().unwrap();
    assert_eq!(error.wasi_name(), "TLS-certificate-error", "{error:?}");
    assert_eq!((server.requests(), other.requests()), (0, 0));
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let server = Server::start().await;
    let error = read(&client(None), &uri(&server, "/")).await.err().unwrap();
    assert_eq!(error.wasi_name(), "TLS-protocol-error", "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    // Connections wait in the backlog, nobody accepts them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = Request::get(format!("https://shop.test:{port}/"))
        .body(empty())
        .unwrap();
    let error = client(None).send(request, short()).await.err().unwrap();
    assert!(
        matches!(error, ClientError::ConnectTimeout { .. }),
        "{error:?}"
    );
}
