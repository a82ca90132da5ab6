//! Requests that share an instance of WASI 0.3: what one client does, or runs out of, leaves the others
//! alone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::mpsc::UnboundedSender;
use trellis_core::{ErrorClass, Limits, Reuse};
use trellis_engine::{
    CallError, ComponentHandle, ComponentSpec, OutgoingHttp, OutgoingResponse, RequestOptions,
    ResponseBody, WasiBody,
};

use crate::support::{deploy, digest, engine, get, guest, pieces, spec};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One instance for all requests.
async fn one_instance(deadline: Duration, concurrency_max: u32) -> Arc<ComponentHandle> {
    let limits = Limits {
        instances_max: 1,
        deadline,
        ..Limits::default()
    };
    let reuse = Reuse {
        concurrency_max,
        ..Reuse::CONCURRENT
    };
    deploy(&engine(), "misbehaver_p3", limits, Some(reuse)).await
}

/// A body that comes back from the guest piece by piece.
struct Relay {
    sender: UnboundedSender<Bytes>,
    back: ResponseBody,
}

impl Relay {
    async fn begin(guest: &ComponentHandle) -> Self {
        let (sender, body) = pieces();
        let request = http::Request::post("http://test/relay").body(body).unwrap();
        let back = guest.handle_http(request).await.unwrap().into_body();
        let mut relay = Self { sender, back };
        relay.pass("begun").await;
        relay
    }

    async fn pass(&mut self, piece: &'static str) {
        self.sender
            .send(Bytes::from_static(piece.as_bytes()))
            .unwrap();
        let frame = tokio::time::timeout(PATIENCE, self.back.frame()).await;
        let frame = frame.expect("the body hangs").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }

    /// Ends it, and returns what else came back.
    async fn end(self) -> Bytes {
        drop(self.sender);
        self.back.collect().await.unwrap().to_bytes()
    }
}

/// Returns how many calls failed with `class`.
fn failed(guest: &ComponentHandle, class: ErrorClass) -> u64 {
    let failed = guest.figures().unwrap().read().failed;
    failed.iter().find(|(it, _)| *it == class).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_does_not_cut_its_neighbours_body() {
    let guest = one_instance(Duration::from_secs(60), 16).await;
    let mut relay = Relay::begin(&guest).await;
    let mut leaving = Box::pin(get(&guest, "/wait"));
    let polled = poll_fn(|context| Poll::Ready(leaving.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    // Whoever comes later is answered: the one before is in the instance.
    assert_eq!(get(&guest, "/").await.unwrap().0, 200);
    relay.pass("before").await;
    drop(leaving);
    relay.pass("after").await;
    assert_eq!(relay.end().await, "");
    assert_eq!(guest.figures().unwrap().read().instances_made, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_does_not_cut_the_body_of_a_later_neighbour() {
    let guest = one_instance(Duration::from_secs(4), 16).await;
    let late = async {
        let error = get(&guest, "/wait").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Deadline);
    };
    let later = async {
        // Half of the time of the first one passes before the second one begins.
        get(&guest, "/sleep?ms=2000").await.unwrap();
        Relay::begin(&guest).await
    };
    let ((), mut relay) = tokio::join!(late, later);
    relay.pass("after").await;
    assert_eq!(relay.end().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_at_its_deadline_whatever_else_its_instance_does() {
    let guest = one_instance(Duration::from_secs(3), 16).await;
    let mut relay = Relay::begin(&guest).await;
    let ended = async {
        loop {
            // Each has a deadline later than that of the body.
            assert_eq!(get(&guest, "/").await.unwrap().0, 200);
            let frame = poll_fn(|context| {
                let back = Pin::new(&mut relay.back);
                Poll::Ready(http_body::Body::poll_frame(back, context))
            });
            match frame.await {
                Poll::Pending => tokio::task::yield_now().await,
                Poll::Ready(frame) => return frame,
            }
        }
    };
    let frame = tokio::time::timeout(PATIENCE, ended).await;
    let error = frame.expect("the body goes on").unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("Timeout"), "{error:?}");
    assert_eq!(failed(&guest, ErrorClass::Deadline), 1);
    assert_eq!(failed(&guest, ErrorClass::Trap), 0);
    assert_eq!(get(&guest, "/").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_alone_in_its_instance_ends_at_its_deadline() {
    let guest = one_instance(Duration::from_millis(500), 16).await;
    let mut relay = Relay::begin(&guest).await;
    let frame = tokio::time::timeout(PATIENCE, relay.back.frame()).await;
    assert!(frame.expect("the body goes on").unwrap().is_err());
    assert_eq!(failed(&guest, ErrorClass::Deadline), 1);
}

/// Never answers a request.
#[derive(Default)]
struct Silent(AtomicUsize);

impl OutgoingHttp for Silent {
    fn send(&self, _: http::Request<WasiBody>, _: RequestOptions) -> OutgoingResponse {
        self.0.fetch_add(1, SeqCst);
        Box::pin(std::future::pending())
    }
}

type Call = Pin<Box<dyn Future<Output = Result<(u16, String), CallError>> + Send>>;

/// Begins a call, which has to wait.
async fn begin(guest: &Arc<ComponentHandle>, path: &'static str) -> Call {
    let guest = guest.clone();
    let mut call: Call = Box::pin(async move { get(&guest, path).await });
    let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "{path}");
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_left_the_queue_is_not_run() {
    let silent = Arc::new(Silent::default());
    let engine = engine();
    let bytes = guest("misbehaver_p3");
    let hash = digest(&bytes);
    let compiled = engine.compile(bytes, hash).await.unwrap();
    let spec = ComponentSpec {
        limits: Limits {
            instances_max: 1,
            ..Limits::default()
        },
        reuse: Some(Reuse {
            concurrency_max: 2,
            ..Reuse::CONCURRENT
        }),
        outgoing: Some(silent.clone()),
        ..spec("misbehaver")
    };
    let guest = ComponentHandle::new(spec.id.clone());
    guest.publish(engine.deploy(compiled, spec).await.unwrap());

    // Two fill the instance. One of them goes away and leaves its place in the admission, not in there.
    let stays = begin(&guest, "/outgoing?url=http://silent/").await;
    let leaves = begin(&guest, "/outgoing?url=http://silent/").await;
    while silent.0.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    drop(leaves);
    let dead = begin(&guest, "/state").await;
    drop(dead);
    let live = begin(&guest, "/state").await;
    // Nobody needs the instance any more: the queue goes to the next one.
    drop(stays);
    let answer = tokio::time::timeout(PATIENCE, live).await;
    assert_eq!(answer.expect("it is not run").unwrap().1, "1\n");
}
