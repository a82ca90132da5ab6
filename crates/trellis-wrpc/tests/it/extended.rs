//! Calls between our own hosts.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{AcceptedBy, CallError, CallOptions, Invocation, Offer, Reply};

use crate::support::{Host, Listener, MIB, class, echo, soon, target, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unary_call_takes_two_messages() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("echo", echo).await;
    let listener = Listener::start(&nats).await;
    assert_eq!(client.call("echo", "\x02hi").await.unwrap(), "\x02hi");
    let heard = listener.heard(&[&server, &client]).await;
    assert_eq!(heard.len(), 2, "{heard:#?}");
    client.is_idle().await;
    server.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameters_and_no_result_take_two_messages_each() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    host.serve("unit", move |invocation: Invocation| {
        let count = count.clone();
        async move {
            assert!(invocation.params().await?.is_empty());
            count.fetch_add(1, SeqCst);
            Ok(Reply::value(Bytes::new()))
        }
    })
    .await;
    let listener = Listener::start(&nats).await;
    assert_eq!(host.call("unit", "").await.unwrap(), "");
    assert_eq!(calls.load(SeqCst), 1);
    assert_eq!(listener.heard(&[&host]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_beyond_the_message_limit_travel_in_pieces() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("echo", echo).await;
    for offer in [Offer::Extended, Offer::Legacy] {
        let big = Bytes::from(
            (0..5 * MIB / 2)
                .map(|i| (i % 251) as u8)
                .collect::<Vec<_>>(),
        );
        let options = CallOptions { offer, ..soon() };
        let result = client
            .client
            .call(&target("echo"), big.clone(), options)
            .await;
        assert!(result.unwrap() == big, "{offer:?}");
    }
    client.is_idle().await;
    server.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_arrive_without_those_of_the_extension() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("headers", |invocation: Invocation| async move {
        let mut all: Vec<String> = invocation
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        all.sort();
        assert_eq!(invocation.source_id(), Some("shop-cart"));
        assert_eq!(invocation.link_name(), Some("default"));
        assert!(invocation.subject().ends_with(".headers"));
        Ok(Reply::value(all.join("\n")))
    })
    .await;
    let mut options = soon();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    options.headers.insert("source-id", "shop-cart").unwrap();
    options.headers.insert("link-name", "default").unwrap();
    options.headers.insert("traceparent", trace).unwrap();
    let result = host
        .client
        .call(&target("headers"), Bytes::new(), options)
        .await
        .unwrap();
    assert_eq!(
        result,
        format!("link-name=default\nsource-id=shop-cart\ntraceparent={trace}")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_arrives_with_class_and_text() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server
        .serve("fail", |invocation: Invocation| async move {
            let wanted = invocation.params().await?;
            let wanted = std::str::from_utf8(&wanted).unwrap();
            let class = ErrorClass::ALL
                .into_iter()
                .find(|class| class.name() == wanted)
                .unwrap();
            Err(CallError::new(
                class,
                format!("because of {class}\nand more"),
            ))
        })
        .await;
    for class in ErrorClass::ALL {
        let error = client.call("fail", class.name()).await.unwrap_err();
        assert_eq!(error.class(), class);
        assert_eq!(error.message(), format!("because of {class} and more"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_handler_is_a_trap_of_its_call_alone() {
    let nats = NatsServer::start();
    let mut host = Host::start(&nats, "a").await;
    host.serve("echo", echo).await;
    host.serve("panic", |_: Invocation| async { panic!("on purpose") })
        .await;
    assert_eq!(class(host.call("panic", "x").await), ErrorClass::Trap);
    assert_eq!(host.call("echo", "x").await.unwrap(), "x");
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_drops_the_work_at_the_other_end() {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    let (began, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began2, dropped2) = (began.clone(), dropped.clone());
    server
        .serve("hang", move |_: Invocation| {
            let (began, dropped) = (began2.clone(), Dropped(dropped2.clone()));
            async move {
                began.notify_one();
                let _dropped = dropped;
                pending().await
            }
        })
        .await;
    // Given up before the other end said that it took the call, and after.
    for wait_for_acceptance in [false, true] {
        let call = client
            .client
            .invoke(&target("hang"), "x".into(), soon())
            .await
            .unwrap();
        within(began.notified()).await;
        if wait_for_acceptance {
            assert_eq!(
                call.accepted_by().await.unwrap(),
                AcceptedBy::Host("a".to_owned())
            );
        }
        drop(call);
        within(dropped.notified()).await;
        server.is_idle().await;
        client.is_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_call_at_both_ends() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("hang", |_: Invocation| pending()).await;
    let began = Instant::now();
    let options = CallOptions::new(Duration::from_millis(100));
    let result = client
        .client
        .call(&target("hang"), "x".into(), options)
        .await;
    assert_eq!(class(result), ErrorClass::Deadline);
    assert!(began.elapsed() < Duration::from_secs(5));
    client.is_idle().await;
    server.is_idle().await;
}
