//! The outbox over a connection of loopback.

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

const FOREVER: Duration = Duration::from_secs(60);

async fn pair(bytes_max: usize) -> (Arc<Outbox>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let client = TcpStream::connect(address).await.expect("listening");
    let (stream, _) = listener.accept().await.expect("connecting");
    (Arc::new(Outbox::new(Arc::new(stream), bytes_max)), client)
}

fn put(outbox: &Outbox, body: &[u8]) -> Put {
    let head = encode::Head {
        subject: b"a",
        subscription: b"1",
        reply: None,
        headers: 0,
        total: body.len(),
    };
    let shared = || [body, encode::END].concat().into();
    let body = Body {
        bytes: body,
        shared: &shared,
    };
    outbox.put_message(&head, body)
}

#[tokio::test]
async fn messages_of_all_sizes_arrive_in_order_and_the_end_waits_for_them() {
    let (outbox, mut client) = pair(64 * 1_024 * 1_024).await;
    let drained = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { drained.drain(FOREVER).await });
    let reader = tokio::spawn(async move {
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.expect("readable");
        received
    });
    let mut expected = Vec::new();
    for number in 0..300 {
        let length = (number * 7_919) % (4 * SHARED_BYTES_MIN);
        let body = vec![b'a' + (number % 26) as u8; length];
        expected.extend_from_slice(format!("MSG a 1 {length}\r\n").as_bytes());
        expected.extend_from_slice(&body);
        expected.extend_from_slice(encode::END);
        match put(&outbox, &body) {
            Put::ToFlush if number % 3 == 0 => outbox.leave(),
            Put::ToFlush => outbox.flush(),
            other => assert_ne!(other, Put::Refused),
        }
    }
    outbox.close();
    assert_eq!(put(&outbox, b"late"), Put::Refused);
    writer.await.expect("no panic");
    assert_eq!(outbox.lock().bytes, 0);
    outbox.forget();
    assert!(reader.await.expect("no panic") == expected);
}

#[tokio::test]
async fn too_many_waiting_bytes_end_the_connection() {
    let (outbox, _client) = pair(1_000).await;
    assert_eq!(put(&outbox, &[0; 500]), Put::ToFlush);
    assert_eq!(put(&outbox, &[0; 600]), Put::Refused);
    assert_eq!(outbox.end(), Some(End::TooMuch));
    assert!(outbox.closed().is_cancelled());
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_too_long_ends_the_connection() {
    let (outbox, _client) = pair(usize::MAX / 2).await;
    // More than the buffers of the system take.
    assert_eq!(put(&outbox, &vec![0; 32 * 1_024 * 1_024]), Put::ToFlush);
    outbox.flush();
    outbox.drain(Duration::from_millis(50)).await;
    assert_eq!(outbox.end(), Some(End::TooSlow));
}

#[tokio::test]
async fn a_broken_connection_is_noticed() {
    let (outbox, client) = pair(64 * 1_024 * 1_024).await;
    drop(client);
    let drain = async {
        while outbox.end().is_none() {
            if put(&outbox, &[0; 1_000]) == Put::ToFlush {
                outbox.flush();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(drain, outbox.drain(FOREVER));
    assert_eq!(outbox.end(), Some(End::Broken));
}

#[tokio::test]
async fn publishers_are_held_back_for_who_reads_slowly_and_not_for_who_does_not() {
    let (outbox, mut client) = pair(64 * 1_024 * 1_024).await;
    assert_eq!(put(&outbox, &vec![0; 32 * 1_024 * 1_024]), Put::ToFlush);
    assert!(!outbox.lags(), "nothing was ever taken");
    let writer = Arc::clone(&outbox);
    let writer = tokio::spawn(async move { writer.drain(FOREVER).await });
    let mut input = vec![0; 64 * 1_024];
    while !outbox.lags() {
        client.read_exact(&mut input).await.expect("readable");
    }
    let read = async { while client.read_exact(&mut input).await.is_ok() {} };
    let caught_up = async {
        while outbox.lags() {
            outbox.catch_up().await;
        }
    };
    tokio::select! {
        () = read => panic!("the connection ended"),
        () = caught_up => {}
    }
    assert!(outbox.lock().bytes <= 16 * 1_024 * 1_024);
    writer.abort();
}
