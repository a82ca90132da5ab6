//! What a handler sees of a request, and where requests go.

use std::sync::Arc;

use crate::support::{
    Echo, GET, everywhere, header, read_response, route, says, short, start, start_with, statuses,
};
use tokio::io::AsyncWriteExt;
use trellis_gateway::RouteTable;

#[tokio::test]
async fn unknown_hosts_and_paths_get_404_and_no_names() {
    let routes = vec![
        route("secret-app", Some("secret.test"), "/", says("secret")),
        route("open-app", None, "/open", says("open")),
    ];
    let gateway = start(short(), routes).await;
    assert!(
        gateway
            .get("/", "host: secret.test\r\n")
            .await
            .ends_with("secret")
    );
    assert!(
        gateway
            .get("/", "host: SECRET.test.:80\r\n")
            .await
            .ends_with("secret")
    );
    assert!(gateway.get("/open/x?y", "").await.ends_with("open"));
    let wrong_host = gateway.get("/", "host: other.test\r\n").await;
    let wrong_path = gateway.get("/opened", "host: other.test\r\n").await;
    for answer in [&wrong_host, &wrong_path] {
        assert_eq!(statuses(answer), [404]);
        assert!(
            !answer.contains("secret") && !answer.contains("open"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn routes_are_swapped_while_serving() {
    let gateway = start(short(), everywhere(says("one"))).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    assert!(read_response(&mut stream).await.ends_with("one"));
    let table = RouteTable::new(everywhere(says("two"))).unwrap();
    gateway.routes.store(Arc::new(table));
    stream.write_all(GET).await.unwrap();
    assert!(read_response(&mut stream).await.ends_with("two"));
}

#[tokio::test]
async fn forwarding_and_hop_by_hop_headers_do_not_reach_the_handler() {
    let lines = "x-forwarded-for: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nforwarded: for=1\r\nte: trailers\r\n\
        keep-alive: 5\r\nproxy-authorization: x\r\nx-private: 1\r\nconnection: x-private\r\n";
    for (trusted, passes) in [
        (None, false),
        (Some("192.0.2.0/24"), false),
        (Some("127.0.0.0/8"), true),
    ] {
        let echo = Echo::default();
        let seen = Arc::clone(&echo.seen);
        let gateway = start_with(short(), everywhere(Arc::new(echo)), |config| {
            config.trusted_peers = trusted.iter().map(|range| range.parse().unwrap()).collect();
        });
        assert_eq!(statuses(&gateway.await.get("/", lines).await), [200]);
        let head = seen.lock().unwrap().pop().unwrap();
        let mut names: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let forwarded = [
            "forwarded",
            "host",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
        ];
        let plain = ["host", "x-request-id"];
        assert_eq!(names, if passes { &forwarded[..] } else { &plain[..] });
    }
}

#[tokio::test]
async fn request_ids_are_kept_or_made_and_the_same_in_both_directions() {
    let echo = Echo::default();
    let seen = Arc::clone(&echo.seen);
    let gateway = start(short(), everywhere(Arc::new(echo))).await;
    let mut made = Vec::new();
    for (sent, kept) in [
        ("my-id", true),
        ("", false),
        ("a b", false),
        (&"x".repeat(129), false),
    ] {
        let answer = gateway.get("/", &format!("x-request-id: {sent}\r\n")).await;
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        let head = seen.lock().unwrap().pop().unwrap();
        assert_eq!(head.headers["x-request-id"], id.as_str());
        assert_eq!(id == sent, kept, "{sent:?} became {id:?}");
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 4);
    let rejected = gateway
        .exchange("GET / HTTP/1.1\r\nx-request-id: mine\r\n\r\n")
        .await;
    assert_eq!(header(&rejected, "x-request-id"), Some("mine"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = start(short(), everywhere(Arc::new(Echo::default()))).await;
    let requests: String = (0..50)
        .map(|n| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nbody{n:02}"))
        .collect();
    let answer = gateway.exchange(requests).await;
    let bodies: Vec<&str> = answer
        .match_indices("body")
        .map(|(at, _)| &answer[at..at + 6])
        .collect();
    let expected: Vec<String> = (0..50).map(|n| format!("body{n:02}")).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn upgrades_and_connect_are_refused_in_words() {
    let echo = Echo::default();
    let seen = Arc::clone(&echo.seen);
    let gateway = start(short(), everywhere(Arc::new(echo))).await;
    for request in [
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n",
    ] {
        let answer = gateway.exchange(request).await;
        assert_eq!(statuses(&answer), [501], "{request}");
        assert!(answer.contains("not implemented: this gateway"), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_is_asked_for_with_100_continue_only_when_wanted() {
    let gateway = start(short(), everywhere(Arc::new(Echo::default()))).await;
    let mut stream = gateway.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n";
    stream
        .write_all(format!("{head}content-length: 2\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hi").await.unwrap();
    assert!(read_response(&mut stream).await.ends_with("hi"));
    let answer = gateway
        .exchange(format!("{head}content-length: 99999999999\r\n\r\n"))
        .await;
    assert_eq!(statuses(&answer), [413]);
}
