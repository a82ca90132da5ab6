//! `wasi:keyvalue` from one host to another, by its twin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use trellis_capabilities::keyvalue::{
    Bucket, BucketName, KeyValueBackend, KeyValueError, KeyValueLink, MemoryBackend, OpenLink,
};
use trellis_core::{LatticeName, LinkName};
use trellis_host::twins::{Caller, Callers, KeyValueService, LinkEnds, RemoteKeyValue};
use trellis_tests::NatsServer;
use trellis_wire::twins::keyvalue::Error;
use trellis_wire::twins::{Encode, from_wire, to_wire};
use trellis_wrpc::{CallOptions, Export, Headers, Invocation, Reply, Returns, Target};

use crate::support::{Peer, ends, id, within};

const MIB: usize = 1 << 20;

/// A provider `kv` on one host, and another host that calls it.
struct Lab {
    caller: Peer,
    backend: Arc<dyn KeyValueBackend>,
    service: KeyValueService,
    _provider: Peer,
    _nats: NatsServer,
}

impl Lab {
    /// Starts both; `shop` may use what these interfaces offer.
    async fn start(interfaces: &[&str]) -> Self {
        let nats = NatsServer::start();
        let provider = Peer::start(&nats, "a").await;
        let backend: Arc<dyn KeyValueBackend> = Arc::new(MemoryBackend::new(256 * MIB));
        let callers = Callers::new([shop(&backend, interfaces)]);
        let lattice = LatticeName::default();
        let service = KeyValueService::open(&provider.server, &lattice, &id("kv"), callers).await;
        provider.transport.settle().await.unwrap();
        Self {
            caller: Peer::start(&nats, "b").await,
            backend,
            service: service.unwrap(),
            _provider: provider,
            _nats: nats,
        }
    }

    /// Opens a bucket as a component of the other host does.
    fn open(&self, ends: LinkEnds, identifier: &str) -> Arc<dyn Bucket> {
        let link = KeyValueLink {
            target: ends.target.clone(),
            name: ends.name.clone(),
            bucket: None,
        };
        let remote = RemoteKeyValue::new(self.caller.client.clone(), ends).unwrap();
        let opened = OpenLink::to_provider(Arc::new(remote), link).open(identifier);
        opened.unwrap()
    }

    /// Calls an operation with whatever bytes, as `shop`.
    async fn call_raw(&self, interface: &str, function: &str, params: Vec<u8>) -> Bytes {
        let interface = format!("wrpc:keyvalue/{interface}@0.2.0-draft");
        let target = Target::new("default", "kv", &interface, function).unwrap();
        let mut headers = Headers::new();
        headers.insert("source-id", "shop").unwrap();
        let options = CallOptions {
            headers,
            ..CallOptions::new(Duration::from_secs(20))
        };
        let target = target.returning(Returns::Value);
        let called = self.caller.client.call(&target, params.into(), options);
        within(called).await.unwrap()
    }
}

/// The link by which `shop` calls `kv`; its own bucket is `carts`.
fn shop(backend: &Arc<dyn KeyValueBackend>, interfaces: &[&str]) -> Caller {
    let link = KeyValueLink {
        target: id("kv"),
        name: LinkName::default(),
        bucket: Some("carts".to_owned()),
    };
    Caller {
        source: id("shop"),
        name: link.name.clone(),
        interfaces: interfaces.iter().map(|it| (*it).to_owned()).collect(),
        link: OpenLink::new(backend.clone(), link).unwrap(),
    }
}

const ALL: &[&str] = &["store", "atomics", "batch"];

fn text(bytes: &str) -> Bytes {
    Bytes::copy_from_slice(bytes.as_bytes())
}

#[tokio::test]
async fn every_operation_reaches_the_provider() {
    let lab = Lab::start(ALL).await;
    let bucket = lab.open(ends("shop", "kv"), "apples");
    within(async {
        assert_eq!(bucket.get("a").await, Ok(None));
        bucket.set("a".to_owned(), text("1")).await.unwrap();
        bucket.set("empty".to_owned(), Bytes::new()).await.unwrap();
        assert_eq!(bucket.get("a").await, Ok(Some(text("1"))));
        assert_eq!(bucket.get("empty").await, Ok(Some(Bytes::new())));
        assert_eq!(bucket.exists("a").await, Ok(true));
        bucket.delete("a".to_owned()).await.unwrap();
        assert_eq!(bucket.exists("a").await, Ok(false));

        assert_eq!(bucket.increment("n".to_owned(), 2).await, Ok(2));
        assert_eq!(bucket.increment("n".to_owned(), 3).await, Ok(5));

        let pairs = vec![
            ("x".to_owned(), text("10")),
            ("y".to_owned(), Bytes::from(vec![7; 3 * MIB])), // takes several messages
        ];
        bucket.set_many(pairs).await.unwrap();
        let keys = ["y", "none", "x"].map(str::to_owned);
        let found = bucket.get_many(&keys).await.unwrap();
        assert_eq!(found[0].as_ref().map(Bytes::len), Some(3 * MIB));
        assert_eq!(found[1..], [None, Some(text("10"))]);
        bucket.delete_many(keys.to_vec()).await.unwrap();

        let page = bucket.list_keys(None).await.unwrap();
        let mut keys = page.keys;
        keys.sort();
        assert_eq!(
            (keys, page.cursor),
            (vec!["empty".to_owned(), "n".to_owned()], None)
        );
    })
    .await;
}

#[tokio::test]
async fn a_name_means_the_bucket_that_the_link_says_at_the_provider() {
    let lab = Lab::start(ALL).await;
    let carts = BucketName::new(&id("kv"), "carts").unwrap();
    let carts = lab.backend.bucket(&carts).unwrap();
    for (count, name) in ["", "default"].iter().enumerate() {
        let opened = lab.open(ends("shop", "kv"), name);
        let counted = within(opened.increment("n".to_owned(), 1)).await;
        assert_eq!(counted, Ok(count as u64 + 1));
    }
    assert_eq!(carts.get("n").await, Ok(Some(text("2"))));
    let other = lab.open(ends("shop", "kv"), "other");
    assert_eq!(within(other.get("n")).await, Ok(None));
}

#[tokio::test]
async fn whoever_has_no_link_is_denied() {
    let lab = Lab::start(&["store"]).await;
    let shop_ends = ends("shop", "kv");
    let bucket = lab.open(shop_ends.clone(), "");
    within(async {
        assert_eq!(bucket.exists("a").await, Ok(false));
        // An interface that the link does not name.
        let counted = bucket.increment("a".to_owned(), 1).await;
        assert_eq!(counted, Err(KeyValueError::AccessDenied));
        // Another component, another link.
        let thief = lab.open(ends("thief", "kv"), "");
        assert_eq!(thief.get("a").await, Err(KeyValueError::AccessDenied));
        let named = LinkEnds {
            name: LinkName::new("backup").unwrap(),
            ..shop_ends
        };
        let named = lab.open(named, "");
        assert_eq!(named.get("a").await, Err(KeyValueError::AccessDenied));
        // A link that was taken away.
        lab.service.admit(Callers::default());
        assert_eq!(bucket.exists("a").await, Err(KeyValueError::AccessDenied));
        lab.service.admit(Callers::new([shop(&lab.backend, ALL)]));
        assert_eq!(bucket.increment("a".to_owned(), 1).await, Ok(1));
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_runs_nowhere_is_named_at_once() {
    let lab = Lab::start(ALL).await;
    let bucket = lab.open(ends("shop", "cache"), "");
    let started = Instant::now();
    let error = within(bucket.get("a")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5)); // not the deadline of the operation
    let KeyValueError::Provider { message } = error else {
        panic!("{error:?}");
    };
    for part in ["cache", "lattice default", "link default", "nobody serves"] {
        assert!(message.contains(part), "{message}");
    }
    lab.service.leave().await;
    let remote = RemoteKeyValue::new(lab.caller.client.clone(), ends("shop", "kv")).unwrap();
    let carts = BucketName::new(&id("kv"), "carts").unwrap();
    let carts = remote.bucket(&carts).unwrap();
    let gone = within(carts.get("a")).await;
    assert!(matches!(gone, Err(KeyValueError::Provider { .. })));
}

#[tokio::test]
async fn the_provider_holds_callers_to_its_bounds() {
    let lab = Lab::start(ALL).await;
    let error = |answer: Bytes| {
        from_wire::<Result<(), Error>>(&answer)
            .unwrap()
            .unwrap_err()
    };
    let refused = |answer: Bytes| match error(answer) {
        Error::Other(message) => message,
        other => panic!("{other:?}"),
    };
    // Not a value at all, and more than the value.
    let garbage = lab.call_raw("store", "set", vec![0xff; 12]).await;
    assert!(refused(garbage).contains("cannot be read"));
    let mut longer = to_wire(&("carts", "a"));
    longer.push(0);
    assert!(refused(lab.call_raw("store", "delete", longer).await).contains("cannot be read"));
    // A batch of four thousand million keys, in a few bytes.
    let mut bomb = Vec::new();
    "carts".encode(&mut bomb);
    bomb.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(refused(lab.call_raw("batch", "delete-many", bomb).await).contains("1024"));
    let key = "k".repeat(5_000);
    let answer = lab
        .call_raw("store", "delete", to_wire(&("carts", &*key)))
        .await;
    assert!(refused(answer).contains("5000"));
    let answer = lab
        .call_raw("store", "delete", to_wire(&("a\nb", "k")))
        .await;
    assert_eq!(error(answer), Error::NoSuchStore);
}

#[tokio::test]
async fn reading_is_repeated_when_its_host_is_lost_and_counting_is_not() {
    let nats = NatsServer::start();
    let (caller, provider) = (Peer::start(&nats, "b").await, Peer::start(&nats, "a").await);
    let (begun, mut seen) = mpsc::unbounded_channel();
    // Every other call waits for ever.
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = move |_: Invocation| {
        let is_first = calls.fetch_add(1, SeqCst).is_multiple_of(2);
        begun.send(()).unwrap();
        async move {
            match is_first {
                true => std::future::pending().await,
                false => Ok(Reply::value(to_wire(&Ok::<bool, Error>(true)))),
            }
        }
    };
    let mut served = Vec::new();
    for (interface, function) in [("store", "exists"), ("atomics", "increment")] {
        let interface = format!("wrpc:keyvalue/{interface}@0.2.0-draft");
        let export = Export::new("default", "kv", &interface, function).unwrap();
        served.push(
            provider
                .server
                .serve(&export, handler.clone())
                .await
                .unwrap(),
        );
    }
    provider.transport.settle().await.unwrap();
    let remote = RemoteKeyValue::new(caller.client.clone(), ends("shop", "kv")).unwrap();
    let name = BucketName::new(&id("kv"), "default").unwrap();
    let bucket = remote.bucket(&name).unwrap();
    // Says that the host is gone until that is believed: at first nobody knows who took the call.
    let lose = async || {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            caller.transport.peer_gone("a");
        }
    };

    let exists = tokio::select! {
        exists = within(bucket.exists("n")) => exists,
        () = lose() => unreachable!(),
    };
    assert_eq!(exists, Ok(true));
    seen.recv().await.unwrap();
    seen.recv().await.unwrap();
    let counted = tokio::select! {
        counted = within(bucket.increment("n".to_owned(), 1)) => counted,
        () = lose() => unreachable!(),
    };
    assert!(
        matches!(counted, Err(KeyValueError::Provider { .. })),
        "{counted:?}"
    );
    seen.recv().await.unwrap();
    assert!(seen.try_recv().is_err(), "it was not sent again");
}
