//! Messages that make no sense must cost nothing but themselves.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use trellis_tests::NatsServer;

use crate::support::{Host, connect, echo, round_trip, target, within};

const NOTES: [&str; 12] = [
    "1 accept",
    "1 accept host=x window=0",
    "1 cancel",
    "1 end at=18446744073709551615",
    "1 size=18446744073709551615",
    "1 credit=18446744073709551615 path=0",
    "1 credit=1 path=x",
    "1 stop",
    "1 error=nonsense end",
    "1 deadline=18446744073709551615 end",
    "1 deadline=0 end",
    "9 end",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_sent_rubbish_goes_on() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    // Learn the inbox of the host from a call of its own.
    let raw = connect(&nats).await;
    let mut spy = raw.subscribe("lat.>").await.unwrap();
    round_trip(&raw).await;
    host.call("echo", "x").await.unwrap();
    let reply = within(spy.next()).await.unwrap().reply.unwrap();
    let inbox = reply.rsplit_once('.').unwrap().0;
    let numbers = [
        "0",
        "1",
        "none",
        "beat",
        "gone",
        "gone.",
        "ffffffffffffffff",
        "fffffffffffffffff",
        "+1",
        "-",
    ];
    let channels = [
        "",
        ".params",
        ".results",
        ".params.0",
        ".results.0.1",
        ".results.x",
        ".x",
    ];
    for note in NOTES {
        let mut headers = HeaderMap::new();
        headers.insert("trellis-wrpc", note);
        for number in numbers {
            for channel in channels {
                let to = format!("{inbox}.{number}{channel}");
                let payload = Bytes::from_static(b"\xff\xff\xff");
                raw.publish_with_reply_and_headers(to, "nowhere", headers.clone(), payload)
                    .await
                    .unwrap();
            }
        }
        let to = target("echo").subject().to_owned();
        raw.publish_with_reply_and_headers(to.clone(), "nowhere", headers.clone(), Bytes::new())
            .await
            .unwrap();
        raw.publish_with_headers(to, headers, Bytes::new())
            .await
            .unwrap();
    }
    round_trip(&raw).await;
    assert_eq!(host.call("echo", "still here").await.unwrap(), "still here");
}
