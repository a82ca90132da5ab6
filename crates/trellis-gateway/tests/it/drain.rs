//! The end: drain without a lost request, deadline, abort.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use trellis_gateway::{DrainReport, GatewayLimits};

use crate::support::{
    GET, PATIENCE, everywhere, gated, handler, header, read_response, read_to_end, says, start,
    statuses,
};

#[tokio::test]
async fn a_request_in_flight_finishes_and_says_close() {
    let (handler, called, go) = gated();
    let gateway = start(GatewayLimits::default(), everywhere(handler)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    called.acquire().await.unwrap().forget();
    gateway.trigger.drain();
    // The listener goes; what was taken stays.
    let refused = async {
        while tokio::net::TcpStream::connect(gateway.address)
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("still accepts");
    go.add_permits(10);
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    let report = gateway.task.await.unwrap();
    assert_eq!(
        (report.aborted, report.drained >= 1),
        (0, true),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_idle_gateway_ends_within_a_second() {
    let gateway = start(GatewayLimits::default(), everywhere(says("hi"))).await;
    let mut used = gateway.connect().await;
    used.write_all(GET).await.unwrap();
    read_response(&mut used).await;
    let _silent = gateway.connect().await;
    let begun = Instant::now();
    gateway.trigger.drain();
    assert_eq!(
        gateway.task.await.unwrap(),
        DrainReport {
            drained: 0,
            aborted: 0
        }
    );
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(read_to_end(&mut used).await, "");
}

#[tokio::test]
async fn the_deadline_cuts_off_what_does_not_end() {
    let (handler, called, _go) = gated();
    let limits = GatewayLimits {
        drain_deadline: Duration::from_millis(500),
        ..GatewayLimits::default()
    };
    let gateway = start(limits, everywhere(handler)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    called.acquire().await.unwrap().forget();
    gateway.trigger.drain();
    assert_eq!(
        gateway.task.await.unwrap(),
        DrainReport {
            drained: 0,
            aborted: 1
        }
    );
    assert_eq!(statuses(&read_to_end(&mut stream).await), [] as [u16; 0]);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (handler, called, _go) = gated();
    let gateway = start(GatewayLimits::default(), everywhere(handler)).await;
    let mut stream = gateway.connect().await;
    stream.write_all(GET).await.unwrap();
    called.acquire().await.unwrap().forget();
    gateway.trigger.drain();
    let begun = Instant::now();
    gateway.trigger.abort();
    let report = gateway.task.await.unwrap();
    assert_eq!(
        report,
        DrainReport {
            drained: 0,
            aborted: 1
        }
    );
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// Clients that keep their connections send at 300 requests a second while the gateway drains;
/// they stop when told to close. None may fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_draining_under_load() {
    let slow = handler(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(http::Response::new("done".into()))
    });
    let gateway = start(GatewayLimits::default(), everywhere(slow)).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..15)
        .map(|_| {
            let (address, answered, over) =
                (gateway.address, Arc::clone(&answered), Arc::clone(&over));
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let mut pace = tokio::time::interval(Duration::from_millis(50));
                while !over.load(Ordering::Relaxed) {
                    pace.tick().await;
                    stream.write_all(GET).await.unwrap();
                    let answer = read_response(&mut stream).await;
                    assert_eq!(statuses(&answer), [200]);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if header(&answer, "connection") == Some("close") {
                        return;
                    }
                }
            })
        })
        .collect();
    let under_way = async {
        while answered.load(Ordering::Relaxed) < 60 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, under_way)
        .await
        .expect("no load");
    gateway.trigger.drain();
    let report = gateway.task.await.unwrap();
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a request failed");
    }
    assert_eq!(report.aborted, 0);
}
