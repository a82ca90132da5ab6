//! Nobody serves, nobody answers, too many call, and the orderly stop.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{
    CallError, CallOptions, Config, Export, Invocation, Offer, Reply, ServerConfig,
};

use crate::support::{Host, INSTANCE, class, connect, echo, round_trip, soon, target, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_nobody_serves_is_unavailable_at_once_and_did_not_run() {
    let nats = NatsServer::start();
    let host = Host::start(&nats, "a").await;
    for offer in [Offer::Extended, Offer::Legacy] {
        let options = CallOptions { offer, ..soon() };
        let error = host
            .client
            .call(&target("nope"), "x".into(), options)
            .await
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable);
        assert!(!error.may_have_run());
        let call = host
            .client
            .invoke(&target("nope"), "x".into(), soon())
            .await
            .unwrap();
        assert_eq!(class(call.result().await), ErrorClass::Unavailable);
    }
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_meant_for_one_host_reaches_that_one_or_nobody() {
    let nats = NatsServer::start();
    let caller = Host::start(&nats, "a").await;
    let (mut first, mut second) = (Host::start(&nats, "b").await, Host::start(&nats, "c").await);
    for (host, id) in [(&mut first, "b"), (&mut second, "c")] {
        host.serve("name", echo).await;
        host.serve_at(id, move |invocation: Invocation| async move {
            let meant = format!("lat.comp.wrpc.trellis.1.{id}.acme:demo/iface@0.1.0.name");
            assert_eq!(invocation.subject(), meant);
            assert!(invocation.is_of_ours());
            Ok(Reply::value(id))
        })
        .await;
    }
    for _ in 0..8 {
        for id in ["b", "c"] {
            let target = target("name").at(id).unwrap();
            let answer = caller.client.call(&target, "x".into(), soon()).await;
            assert_eq!(answer.unwrap(), id);
        }
    }
    let nobody = target("name").at("d").unwrap();
    let error = caller.client.call(&nobody, "x".into(), soon()).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(!error.may_have_run());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_before_it_began_arrives_as_that() {
    let nats = NatsServer::start();
    let caller = Host::start(&nats, "a").await;
    let mut callee = Host::start(&nats, "b").await;
    let unavailable = ErrorClass::Unavailable;
    callee
        .serve("gone", move |_: Invocation| async move {
            Err(CallError::before_start(unavailable, "it was stopped"))
        })
        .await;
    callee
        .serve("broken", move |_: Invocation| async move {
            Err(CallError::new(unavailable, "its own link is broken"))
        })
        .await;
    for (function, may_have_run) in [("gone", false), ("broken", true)] {
        let error = caller.call(function, "x").await.unwrap_err();
        assert_eq!(
            (error.class(), error.may_have_run()),
            (unavailable, may_have_run)
        );
        assert!(!error.is_lost() && error.lost_host().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_listens_and_never_answers_costs_the_deadline() {
    let nats = NatsServer::start();
    let host = Host::start(&nats, "a").await;
    let dead = connect(&nats).await;
    let _deaf = dead
        .subscribe(target("deaf").subject().to_owned())
        .await
        .unwrap();
    round_trip(&dead).await;
    let host_sees_it = async {
        loop {
            let options = CallOptions::new(Duration::from_millis(200));
            let result = host.client.call(&target("deaf"), "x".into(), options).await;
            if class(result) == ErrorClass::Deadline {
                break;
            }
        }
    };
    within(host_sees_it).await;
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_more_than_fit_is_overloaded_and_did_not_run() {
    let nats = NatsServer::start();
    let bounds = ServerConfig {
        calls_running_max: 1,
        calls_queued_max: 1,
        ..ServerConfig::default()
    };
    let mut server = Host::with(&nats, Config::new("a"), bounds).await;
    let client = Host::start(&nats, "b").await;
    let gate = Arc::new(Semaphore::new(0));
    let gate2 = gate.clone();
    server
        .serve("slow", move |invocation: Invocation| {
            let gate = gate2.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(Reply::value(invocation.params().await?))
            }
        })
        .await;
    let first = client
        .client
        .invoke(&target("slow"), "1".into(), soon())
        .await
        .unwrap();
    let second = client
        .client
        .invoke(&target("slow"), "2".into(), soon())
        .await
        .unwrap();
    first.accepted_by().await.unwrap();
    second.accepted_by().await.unwrap();
    let third = client.call("slow", "3").await.unwrap_err();
    assert_eq!(third.class(), ErrorClass::Overloaded);
    assert!(!third.may_have_run());
    // A caller of 1.x sees the closed channel.
    let options = CallOptions {
        offer: Offer::Legacy,
        ..soon()
    };
    assert_eq!(
        client
            .client
            .call(&target("slow"), "4".into(), options)
            .await
            .unwrap(),
        ""
    );
    gate.add_permits(2);
    assert_eq!(first.result().await.unwrap(), "1");
    assert_eq!(second.result().await.unwrap(), "2");
    drop((first, second));
    client.is_idle().await;
    server.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_passed_while_it_waited_does_not_run() {
    let nats = NatsServer::start();
    let bounds = ServerConfig {
        calls_running_max: 1,
        ..ServerConfig::default()
    };
    let mut server = Host::with(&nats, Config::new("a"), bounds).await;
    let client = Host::start(&nats, "b").await;
    let runs = Arc::new(AtomicUsize::new(0));
    let runs2 = runs.clone();
    server
        .serve("hang", move |_: Invocation| {
            runs2.fetch_add(1, SeqCst);
            pending()
        })
        .await;
    let first = client
        .client
        .invoke(&target("hang"), "1".into(), soon())
        .await
        .unwrap();
    first.accepted_by().await.unwrap();
    let options = CallOptions::new(Duration::from_millis(100));
    let second = client
        .client
        .call(&target("hang"), "2".into(), options)
        .await;
    assert_eq!(class(second), ErrorClass::Deadline);
    // The time began later where it is called, by what the message took to get there.
    within(async {
        while server.server.calls() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(first);
    server.is_idle().await;
    assert_eq!(runs.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_call() {
    let nats = NatsServer::start();
    let (mut stays, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    stays.serve("echo", echo).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (client, is_done) = (client.client.clone(), is_done.clone());
            tokio::spawn(async move {
                let target = target("echo");
                let mut calls = 0;
                while !is_done.load(SeqCst) {
                    let result = client.call(&target, "x".into(), soon()).await;
                    assert_eq!(result.unwrap(), "x");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for round in 0..10 {
        let mut goes = Host::start(&nats, &format!("goes-{round}")).await;
        goes.serve("echo", echo).await;
        let left = goes.server.stop(Duration::from_secs(10)).await;
        assert_eq!(left, 0);
    }
    is_done.store(true, SeqCst);
    for caller in callers {
        assert!(within(caller).await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_grace_and_then_ends_calls_as_unavailable() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("hang", |_: Invocation| pending()).await;
    let call = client
        .client
        .invoke(&target("hang"), Bytes::new(), soon())
        .await
        .unwrap();
    call.accepted_by().await.unwrap();
    assert_eq!(server.server.stop(Duration::from_millis(50)).await, 1);
    assert_eq!(class(call.result().await), ErrorClass::Unavailable);
    assert_eq!(
        class(client.call("hang", "x").await),
        ErrorClass::Unavailable
    );
}

/// More than the client of NATS queues commands: each function that goes out of service is two.
const FUNCTIONS: usize = 2_100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_many_functions_stops_while_there_is_no_server() {
    let mut nats = NatsServer::start();
    let host = Host::start(&nats, "a").await;
    let mut served = Vec::new();
    for number in 0..FUNCTIONS {
        let export = Export::new("lat", "comp", INSTANCE, &format!("f{number}")).unwrap();
        served.push(host.server.serve(&export, echo).await.unwrap());
    }
    host.transport.settle().await.unwrap();
    nats.kill();
    within(async { while host.transport.settle().await.is_ok() {} }).await;
    let left = within(host.server.stop(Duration::from_secs(1))).await;
    assert_eq!(left, 0);
}
