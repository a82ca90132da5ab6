//! The bound of connections, and what happens to idle ones.

use std::time::Duration;

use http::Request;

use super::server::Server;
use super::{client, config, empty, get, read, short};
use crate::http_client::{ClientError, HttpClient, Timeouts};

fn bounded(connections_max: u32, servers: &[&Server]) -> HttpClient {
    let allow: Vec<_> = servers.iter().map(|it| it.address.to_string()).collect();
    let mut config = config(&allow.join(","));
    config.connections_max = connections_max;
    HttpClient::new(config)
}

#[tokio::test]
async fn one_connection_too_many_is_refused_until_another_ends() {
    let server = Server::start().await;
    let client = bounded(2, &[&server]);
    let first = get(&client, &server.uri("/stall")).await.unwrap();
    let _second = get(&client, &server.uri("/stall")).await.unwrap();
    let request = || Request::get(server.uri("/")).body(empty()).unwrap();
    let error = client.send(request(), short()).await.err().unwrap();
    assert!(
        matches!(error, ClientError::ConnectionLimit { max: 2 }),
        "{error:?}"
    );
    assert_eq!(server.accepted(), 2);

    drop(first);
    assert!(client.send(request(), Timeouts::default()).await.is_ok());
}

#[tokio::test]
async fn idle_connections_make_room_for_other_hosts() {
    let servers = [
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    let client = bounded(1, &servers.each_ref());
    for _ in 0..3 {
        for server in &servers {
            assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
        }
    }
    for server in &servers {
        assert_eq!(server.requests(), 3);
    }
}

#[tokio::test]
async fn a_response_that_is_dropped_early_closes_its_connection() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    drop(get(&client, &server.uri("/stall")).await.unwrap());
    server.wait_for_open(0).await;
    assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    assert_eq!(read(&client, &server.uri("/")).await.unwrap(), "hello");
    server.wait_for_open(1).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    server.wait_for_open(0).await;
}

#[tokio::test]
async fn a_response_outlives_its_client() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let request = Request::post(server.uri("/echo"))
        .body(super::full("still here"))
        .unwrap();
    let response = client.send(request, Timeouts::default()).await.unwrap();
    drop(client);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "still here");
    server.wait_for_open(0).await;
}
