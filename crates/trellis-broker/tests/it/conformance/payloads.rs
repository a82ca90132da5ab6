//! Messages: their ends, their headers, their size.

use crate::raw_client::{CONNECT, RawClient, check_all};
use crate::servers::{Server, Settings};

const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'\r\n<closed>";

#[tokio::test(flavor = "multi_thread")]
async fn payloads_and_headers() {
    let header = "NATS/1.0\r\nA: B\r\n\r\n";
    let with_headers = format!("SUB a 1\r\nHPUB a r 18 20\r\n{header}hi\r\n");
    let received = format!("HMSG a 1 r 18 20\r\n{header}hi\r\n");
    let cases = [
        ("SUB a 1\r\nPUB a 0\r\n\r\n", "MSG a 1 0\r\n\r\n"),
        (
            "SUB a 1\r\nPUB a 4\r\n\r\n\r\n\r\n",
            "MSG a 1 4\r\n\r\n\r\n\r\n",
        ),
        ("SUB a 1\r\nPUB a r.s 1\r\nx\r\n", "MSG a 1 r.s 1\r\nx\r\n"),
        ("SUB a 1\r\nPUB a 1\nx\r\n", "MSG a 1 1\r\nx\r\n"),
        (
            "SUB  a \t 7  \r\nPUB   a    1  \r\nx\r\n",
            "MSG a 7 1\r\nx\r\n",
        ),
        ("PUB a 1\r\nxyz\r\n", UNKNOWN),
        ("PUB a 1\nx\n", UNKNOWN),
        (&with_headers, &received),
        ("SUB a 1\r\nHPUB a 0 2\r\nhi\r\n", "MSG a 1 2\r\nhi\r\n"),
        (
            "SUB a 1\r\nHPUB a 4 6\r\nabcdhi\r\n",
            "HMSG a 1 4 6\r\nabcdhi\r\n",
        ),
        (
            "PUB a 1048577\r\n",
            "-ERR 'Maximum Payload Violation'\r\n<closed>",
        ),
    ];
    check_all(&Settings::default(), CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_headers_gets_none_and_may_send_none() {
    let message = "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    for server in Server::both(&Settings::default()).await {
        let mut plain = RawClient::open(&server).await;
        plain
            .send("CONNECT {\"verbose\":false,\"headers\":false}\r\n")
            .await;
        assert_eq!(plain.talk("SUB a 1\r\n").await, "");
        let mut other = RawClient::connect(&server, None).await;
        other.send(message).await;
        let received = plain.until("hi\r\n").await;
        assert_eq!(received, "MSG a 1 2\r\nhi\r\n", "{}", server.name);
        assert_eq!(plain.talk(message).await, "<closed>", "{}", server.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_arrives_whole_in_any_pieces() {
    let payload: String = ('a'..='z').cycle().take(1_048_576).collect();
    for server in Server::both(&Settings::default()).await {
        let mut client = RawClient::connect(&server, None).await;
        client.send("SUB a 1\r\nPUB a 1048").await;
        client.send("576\r\n").await;
        for piece in payload.as_bytes().chunks(70_001) {
            client.send(piece).await;
        }
        client.send("\r").await;
        client.send("\nPING\r\n").await;
        let received = client.until("PONG\r\n").await;
        let expected = format!("MSG a 1 1048576\r\n{payload}\r\nPONG\r\n");
        assert!(
            received == expected,
            "{}: {} bytes",
            server.name,
            received.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_message_is_nobodys() {
    for server in Server::both(&Settings::default()).await {
        let mut listener = RawClient::connect(&server, None).await;
        listener.talk("SUB a 1\r\n").await;
        let mut other = RawClient::connect(&server, None).await;
        other.send("PUB a 10\r\nhalf").await;
        drop(other);
        assert_eq!(
            listener.talk("PUB a 1\r\nx\r\n").await,
            "MSG a 1 1\r\nx\r\n",
            "{}",
            server.name
        );
    }
}
