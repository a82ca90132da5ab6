//! Many, slow, silent and too many connections, and too many requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trellis_gateway::GatewayLimits;

use crate::support::{
    GET, PATIENCE, everywhere, gated, handler, header, read_response, says, short, start, statuses,
};

/// Counts of the scaled-down attacks.
const ATTACKERS: usize = 200;

/// Asserts that legitimate requests are answered while the attack goes on.
async fn legitimate(gateway: &crate::support::Running) {
    for _ in 0..20 {
        let answer = gateway.get("/", "").await;
        assert_eq!(statuses(&answer), [200]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_cut_off_by_the_time_since_their_first_byte() {
    let limits = GatewayLimits {
        header_read_timeout: Duration::from_millis(600),
        ..GatewayLimits::default()
    };
    let gateway = Arc::new(start(limits, everywhere(says("hi"))).await);
    let attack = (0..ATTACKERS).map(|_| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let mut stream = gateway.connect().await;
            let begun = Instant::now();
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n")
                .await
                .unwrap();
            let (mut reading, mut writing) = stream.into_split();
            let drip = tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_millis(50));
                loop {
                    pace.tick().await;
                    if writing.write_all(b"x: y\r\n").await.is_err() {
                        return;
                    }
                }
            });
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answer))
                .await
                .expect("never closed");
            drip.abort();
            begun.elapsed()
        })
    });
    let attack: Vec<_> = attack.collect();
    legitimate(&gateway).await;
    for attacker in attack {
        let lasted = attacker.await.unwrap();
        assert!(
            lasted >= Duration::from_millis(500) && lasted < Duration::from_secs(5),
            "{lasted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_idle_connections_are_closed() {
    let gateway = Arc::new(start(short(), everywhere(says("hi"))).await);
    let attack = (0..ATTACKERS).map(|n| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let mut stream = gateway.connect().await;
            match n % 4 {
                0 => {}
                1 => stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap(),
                2 => stream
                    .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                    .await
                    .unwrap(),
                _ => {
                    stream.write_all(GET).await.unwrap();
                    read_response(&mut stream).await;
                }
            }
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
                .await
                .unwrap_or_else(|_| panic!("never closed: kind {}", n % 4));
        })
    });
    let attack: Vec<_> = attack.collect();
    legitimate(&gateway).await;
    for attacker in attack {
        attacker.await.unwrap();
    }
}

#[tokio::test]
async fn too_many_requests_get_503_soon_and_the_rest_is_served() {
    let (waits, called, go) = gated();
    let limits = GatewayLimits {
        requests_in_flight_max: 3,
        retry_after: Duration::from_secs(2),
        ..short()
    };
    let gateway = start(limits, everywhere(waits)).await;
    let mut admitted = Vec::new();
    for _ in 0..3 {
        let mut stream = gateway.connect().await;
        stream.write_all(GET).await.unwrap();
        called.acquire().await.unwrap().forget();
        admitted.push(stream);
    }
    for _ in 0..3 {
        let mut stream = gateway.connect().await;
        stream.write_all(GET).await.unwrap();
        let begun = Instant::now();
        let answer = read_response(&mut stream).await;
        assert_eq!(statuses(&answer), [503]);
        assert_eq!(header(&answer, "retry-after"), Some("2"));
        assert_eq!(header(&answer, "x-trellis-error"), Some("overloaded"));
        assert!(begun.elapsed() < Duration::from_millis(400));
        // The connection is still good for another request.
        stream.write_all(GET).await.unwrap();
        assert_eq!(statuses(&read_response(&mut stream).await), [503]);
    }
    go.add_permits(4);
    for mut stream in admitted {
        assert!(read_response(&mut stream).await.ends_with("done"));
    }
    assert_eq!(statuses(&gateway.get("/", "").await), [200]);
}

#[tokio::test]
async fn connections_above_the_limit_hear_503_and_close() {
    let limits = GatewayLimits {
        connections_max: 2,
        ..GatewayLimits::default()
    };
    let gateway = start(limits, everywhere(says("hi"))).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = gateway.connect().await;
        stream.write_all(GET).await.unwrap();
        assert_eq!(statuses(&read_response(&mut stream).await), [200]);
        held.push(stream);
    }
    for _ in 0..5 {
        let answer = gateway.exchange(GET).await;
        assert_eq!(statuses(&answer), [503]);
        assert!(header(&answer, "retry-after").is_some());
    }
    held.pop();
    let served = async { while statuses(&gateway.get("/", "").await) != [200] {} };
    tokio::time::timeout(PATIENCE, served)
        .await
        .expect("a freed place is not used");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let gateway = start(
        short(),
        everywhere(handler(move |_| {
            let tells = crate::support::Tells(told.clone());
            async move {
                let _ = tells.0.send("called");
                std::future::pending::<()>().await;
                Ok(http::Response::new("never".into()))
            }
        })),
    )
    .await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    assert_eq!(hears.recv().await, Some("called"));
    drop(stream);
    let heard = tokio::time::timeout(PATIENCE, hears.recv()).await;
    assert_eq!(heard.expect("still running"), Some("dropped"));
}
