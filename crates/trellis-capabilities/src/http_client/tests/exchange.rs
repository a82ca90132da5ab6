//! Requests and responses as they go over the wire or to a service of the same host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use trellis_core::ErrorClass;

use super::server::Server;
use super::{Silent, client, config, empty, full, get, read, short};
use crate::http_client::{
    Authority, ClientError, Host, HttpClient, LocalFailure, LocalMap, LocalService, RequestBody,
    Timeouts,
};

/// Waits until the server that listened at `address` is gone: then the port can be taken again.
async fn wait_until_free(address: SocketAddr) {
    while TcpListener::bind(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_connection_serves_requests_in_a_row() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    for _ in 0..50 {
        assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
    }
    assert_eq!((server.accepted(), server.requests()), (1, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_share_what_is_open() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    for _ in 0..10 {
        let uri = server.uri("/");
        let all = join_all((0..8).map(|_| read(&client, &uri))).await;
        assert!(all.into_iter().all(|it| it.unwrap() == "hello"));
    }
    assert_eq!(server.requests(), 80);
    assert!(
        server.accepted() <= 16,
        "{} connections for 8 at once",
        server.accepted()
    );
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    for _ in 0..3 {
        let request = Request::post(server.uri("/echo"))
            .body(full("over and out"))
            .unwrap();
        let response = client.send(request, Timeouts::default()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "over and out");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_guest_does_not_write_the_fields_of_the_connection() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let request = Request::get(server.uri("/headers"))
        .header("host", "internal.test")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("transfer-encoding", "chunked")
        .header("x-mine", "1")
        .body(empty())
        .unwrap();
    let response = client.send(request, Timeouts::default()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let expected = format!(
        "HTTP/1.1 /headers {{\"x-mine\": \"1\", \"host\": \"{}\"}}",
        server.address
    );
    assert_eq!(String::from_utf8(body.into()).unwrap(), expected);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_replaced() {
    let server = Server::start().await;
    let allow = server.address.to_string();
    let client = client(&allow);
    assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
    let address = server.address;
    drop(server);
    wait_until_free(address).await;
    let server = Server::start_at(&address.to_string(), None).await;
    assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_port_without_listener_refuses() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let uri = server.uri("/");
    let address = server.address;
    drop(server);
    wait_until_free(address).await;
    let error = get(&client, &uri).await.err().unwrap();
    assert!(matches!(error, ClientError::Refused { .. }), "{error:?}");
    assert_eq!(error.wasi_name(), "connection-refused");
}

#[tokio::test]
async fn a_broken_response_has_its_own_error() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    for (path, name) in [
        ("/large-head", "HTTP-response-header-section-size"),
        ("/many-fields", "HTTP-response-header-section-size"),
        ("/upgrade", "HTTP-upgrade-failed"),
        ("/cut", "connection-terminated"),
    ] {
        match read(&client, &server.uri(path)).await {
            Err(error) => assert_eq!(error.wasi_name(), name, "{path}: {error:?}"),
            Ok(text) => panic!("{path}: {text}"),
        }
    }
    assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let send = async |path, timeouts| {
        let request = Request::get(server.uri(path)).body(empty()).unwrap();
        client.send(request, timeouts).await
    };
    let patient = Timeouts::default();
    let first_byte = short().first_byte;
    let error = send(
        "/never",
        Timeouts {
            first_byte,
            ..patient
        },
    )
    .await
    .err()
    .unwrap();
    assert!(matches!(error, ClientError::FirstByteTimeout), "{error:?}");

    let between_bytes = short().between_bytes;
    let response = send(
        "/stall",
        Timeouts {
            between_bytes,
            ..patient
        },
    )
    .await
    .unwrap();
    let mut body = response.into_body();
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(piece, "piece");
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ClientError::BetweenBytesTimeout),
        "{error:?}"
    );
    // Both connections are closed, none of them is used again.
    server.wait_for_open(0).await;
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_given_up() {
    let mut config = config("name.test");
    config.resolver = Arc::new(Silent);
    let request = Request::get("http://name.test/").body(empty()).unwrap();
    let error = HttpClient::new(config)
        .send(request, short())
        .await
        .err()
        .unwrap();
    assert_eq!(error.wasi_name(), "DNS-timeout");
}

#[tokio::test]
async fn a_name_that_is_unknown_is_an_error_of_dns() {
    let mut config = config("name.test");
    config.resolver = super::Script::new(&[&[]]);
    let error = get(&HttpClient::new(config), "http://name.test/")
        .await
        .err()
        .unwrap();
    assert_eq!(error.wasi_name(), "DNS-error");
}

/// Answers with what it was asked, fails, or stays silent, by path.
struct Shop;

impl LocalService for Shop {
    fn call(
        &self,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Result<Response<RequestBody>, LocalFailure>> {
        Box::pin(async move {
            match request.uri().path() {
                "/busy" => Err(LocalFailure {
                    class: ErrorClass::Overloaded,
                    message: "all instances of shop are busy".into(),
                }),
                "/never" => std::future::pending().await,
                _ => {
                    assert_eq!(request.headers()["host"], "shop.test");
                    Ok(Response::new(request.into_body()))
                }
            }
        })
    }
}

fn with_shop(allow: &str) -> HttpClient {
    let mut config = config(allow);
    // Who would ask the network would wait for ever.
    config.resolver = Arc::new(Silent);
    let authority = Authority {
        host: Host::parse("shop.test").unwrap(),
        port: 80,
    };
    let service: Arc<dyn LocalService> = Arc::new(Shop);
    config.local.replace(LocalMap::from([(authority, service)]));
    HttpClient::new(config)
}

#[tokio::test]
async fn a_service_of_the_same_host_answers_without_a_socket() {
    let client = with_shop("shop.test");
    let request = Request::post("http://Shop.test./cart")
        .body(full("two pears"))
        .unwrap();
    let response = client.send(request, Timeouts::default()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "two pears");

    let error = get(&client, "http://shop.test/busy").await.err().unwrap();
    assert_eq!(
        (error.wasi_name(), error.class()),
        ("connection-limit-reached", ErrorClass::Overloaded)
    );

    let request = Request::get("http://shop.test/never")
        .body(empty())
        .unwrap();
    let error = client.send(request, short()).await.err().unwrap();
    assert!(matches!(error, ClientError::FirstByteTimeout), "{error:?}");
}

#[tokio::test]
async fn a_service_of_the_same_host_needs_a_grant_too() {
    let error = get(&with_shop("other.test"), "http://shop.test/")
        .await
        .err()
        .unwrap();
    assert_eq!(error.wasi_name(), "HTTP-request-denied");
}

#[tokio::test]
async fn guests_cannot_ask_for_endless_patience() {
    let endless = Duration::MAX;
    let timeouts = Timeouts {
        connect: endless,
        first_byte: endless,
        between_bytes: endless,
    };
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let request = Request::get(server.uri("/")).body(empty()).unwrap();
    assert!(client.send(request, timeouts).await.is_ok());
    assert_eq!(timeouts.bounded().between_bytes, Timeouts::MAX);
}
