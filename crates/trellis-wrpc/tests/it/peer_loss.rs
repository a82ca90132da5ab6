//! A host that dies: who had calls open with it learns it.

use std::env;
use std::future::pending;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use trellis_core::ErrorClass;
use trellis_tests::NatsServer;
use trellis_wrpc::{
    AcceptedBy, CallOptions, Config, IndexPath, Invocation, Reply, ServerConfig, Takers,
};

use crate::support::{Host, class, connect, echo, round_trip, soon, target, within};

const CHILD: &str = "TRELLIS_WRPC_TEST_CHILD";
const READY: &str = "the child is ready";

/// Another process, which is this program run again.
struct Process(Child);

impl Process {
    fn start(nats: &NatsServer, role: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "peer_loss::child", "--nocapture"])
            .env(CHILD, format!("{role} {}", nats.url()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.contains(READY));
        assert!(ready, "the child ended");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // SIGKILL
        let _ = self.0.wait();
    }
}

/// A host that judges nobody by silence.
async fn patient(nats: &NatsServer) -> Host {
    let config = Config {
        peer_silence_max: Duration::from_secs(3_600),
        ..Config::new("a")
    };
    Host::with(nats, config, ServerConfig::default()).await
}

/// Does nothing as a test; is the other process when asked to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(task) = env::var(CHILD) else {
        return;
    };
    let (role, url) = task.split_once(' ').unwrap();
    let nats = async_nats::connect(url).await.unwrap();
    let transport = trellis_wrpc::Transport::open(nats, Config::new("child"))
        .await
        .unwrap();
    let server = trellis_wrpc::Server::new(&transport, ServerConfig::default());
    let mut served = Vec::new();
    let export = |function| {
        trellis_wrpc::Export::new("lat", "comp", crate::support::INSTANCE, function).unwrap()
    };
    if role == "serves" {
        served.push(server.serve(&export("echo"), echo).await.unwrap());
        served.push(
            server
                .serve(&export("hang"), |_: Invocation| pending())
                .await
                .unwrap(),
        );
        let half = |invocation: Invocation| async move {
            let mut to = invocation.result_writer(IndexPath::new(&[0]))?;
            Ok(Reply::with_rest("ok", async move {
                to.write("half".into()).await?;
                pending().await
            }))
        };
        served.push(server.serve(&export("half"), half).await.unwrap());
        transport.settle().await.unwrap();
        println!("{READY}");
    } else {
        let client = trellis_wrpc::Client::new(&transport);
        let call = client
            .invoke(&target("hang"), "x".into(), soon())
            .await
            .unwrap();
        call.accepted_by().await.unwrap();
        println!("{READY}");
        let _ = call.result().await;
    }
    pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_killed_host_fail_before_its_silence_tells() {
    let nats = NatsServer::start();
    let process = Process::start(&nats, "serves");
    let host = patient(&nats).await;
    let hang = host
        .client
        .invoke(&target("hang"), "x".into(), soon())
        .await
        .unwrap();
    let half = host
        .client
        .invoke(&target("half"), "x".into(), soon())
        .await
        .unwrap();
    assert_eq!(
        hang.accepted_by().await.unwrap(),
        AcceptedBy::Host("child".to_owned())
    );
    let mut reader = half.result_reader(IndexPath::new(&[0]));
    assert_eq!(reader.next().await.unwrap().unwrap(), "half");
    let killed = Instant::now();
    drop(process);
    let error = hang.result().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert_eq!(error.message(), "host child is gone");
    assert_eq!(
        reader.next().await.unwrap_err().class(),
        ErrorClass::Unavailable
    );
    assert!(killed.elapsed().as_secs() < 10);
    assert_eq!(class(host.call("echo", "x").await), ErrorClass::Unavailable);
    drop((hang, half, reader));
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_only_silent_is_given_its_time() {
    let nats = NatsServer::start();
    let host = Host::start(&nats, "a").await;
    // Takes the call and stops there, as a paused process does: its connection stays.
    let paused = connect(&nats).await;
    let inbox = paused.new_inbox();
    let mut beats = paused.subscribe(format!("{inbox}.>")).await.unwrap();
    let mut calls = paused.subscribe("lat.comp.>").await.unwrap();
    round_trip(&paused).await;
    let call = host
        .client
        .invoke(&target("hang"), "x".into(), soon())
        .await
        .unwrap();
    let invocation = within(calls.next()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("trellis-wrpc", "1 accept host=paused");
    let (to, reply) = (invocation.reply.unwrap(), format!("{inbox}.0"));
    paused
        .publish_with_reply_and_headers(to.clone(), reply, headers, Bytes::new())
        .await
        .unwrap();
    let error = call.result().await.unwrap_err();
    assert_eq!(error.message(), "host paused fell silent");
    assert_eq!(error.lost_host(), Some("paused"));
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let beat = within(beats.next()).await.unwrap();
    assert_eq!(beat.subject.as_str(), format!("{inbox}.beat"));
    let (caller, _) = to.rsplit_once('.').unwrap();
    assert_eq!(beat.payload, caller.to_owned());
    assert_eq!(
        beat.reply.unwrap().as_str(),
        format!("{caller}.gone.{inbox}")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_no_host_takes_fails_between_two_beats() {
    let nats = NatsServer::start();
    let config = Config {
        beat_interval: Duration::from_secs(3),
        peer_silence_max: Duration::from_millis(3_200),
        ..Config::new("a")
    };
    let host = Host::with(&nats, config, ServerConfig::default()).await;
    // Gets the call as a host does that dies before it says a word.
    let mute = connect(&nats).await;
    let _subscription = mute.subscribe("lat.comp.>").await.unwrap();
    round_trip(&mute).await;
    let began = Instant::now();
    let echo = target("echo");
    let error = host.client.call(&echo, "x".into(), by_ours()).await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert_eq!(error.message(), "no host took the call within 3.2s");
    assert!(error.is_lost() && error.lost_host().is_none());
    assert!(error.may_have_run(), "{error}");
    let took = began.elapsed();
    assert!(
        took.as_millis() < 5_000,
        "the second beat is later: {took:?}"
    );
    host.is_idle().await;
}

/// Options of a call that only hosts of ours can get.
fn by_ours() -> CallOptions {
    CallOptions {
        takers: Takers::Prompt,
        ..soon()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_host_of_1_x_takes_a_call_as_late_as_it_likes() {
    let nats = NatsServer::start();
    let config = Config {
        beat_interval: Duration::from_millis(50),
        peer_silence_max: Duration::from_millis(200),
        ..Config::new("a")
    };
    let host = Host::with(&nats, config, ServerConfig::default()).await;
    // Takes nothing before its component has room, which may be never.
    let busy = connect(&nats).await;
    let mut calls = busy.subscribe("lat.comp.>").await.unwrap();
    round_trip(&busy).await;
    let echo = target("echo");
    let call = host.client.invoke(&echo, "x".into(), soon()).await;
    let call = call.unwrap();
    let invocation = within(calls.next()).await.unwrap();
    // Those that began later, and that hosts of ours would have taken by now, are given up meanwhile.
    for (target, options) in [(echo.clone(), by_ours()), (echo.at("b").unwrap(), soon())] {
        let error = host.client.call(&target, "x".into(), options).await;
        let error = error.unwrap_err();
        assert!(error.is_lost() && error.lost_host().is_none(), "{error}");
    }
    let to = invocation.reply.unwrap();
    let (results, own) = (format!("{to}.results"), busy.new_inbox());
    let accept = busy.publish_with_reply(to, own, Bytes::new());
    accept.await.unwrap();
    for payload in ["done", ""] {
        busy.publish(results.clone(), payload.into()).await.unwrap();
    }
    assert_eq!(within(call.result()).await.unwrap(), "done");
    assert_eq!(call.accepted_by().await.unwrap(), AcceptedBy::Legacy);
    drop(call);
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_the_lattice_reports_gone_fails_its_calls_at_once() {
    let nats = NatsServer::start();
    let _process = Process::start(&nats, "serves");
    let host = Host::start(&nats, "a").await;
    let call = host
        .client
        .invoke(&target("hang"), "x".into(), soon())
        .await
        .unwrap();
    call.accepted_by().await.unwrap();
    host.transport.peer_gone("another");
    assert!(within(async { host.call("echo", "x").await }).await.is_ok());
    host.transport.peer_gone("child");
    let began = Instant::now();
    assert_eq!(class(call.result().await), ErrorClass::Unavailable);
    assert!(began.elapsed().as_millis() < 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_for_a_killed_caller_is_dropped() {
    let nats = NatsServer::start();
    let mut host = patient(&nats).await;
    host.serve("hang", |_: Invocation| pending()).await;
    let process = Process::start(&nats, "calls");
    assert_eq!(host.server.calls(), 1);
    drop(process);
    host.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_fails_open_calls_and_refuses_new_ones() {
    let nats = NatsServer::start();
    let (mut server, client) = (Host::start(&nats, "a").await, Host::start(&nats, "b").await);
    server.serve("hang", |_: Invocation| pending()).await;
    let call = client
        .client
        .invoke(&target("hang"), "x".into(), soon())
        .await
        .unwrap();
    call.accepted_by().await.unwrap();
    drop(nats);
    let refused = async {
        loop {
            match client.call("hang", "x").await {
                Err(error) if !error.may_have_run() => break error,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(within(refused).await.class(), ErrorClass::Unavailable);
    let began = Instant::now();
    assert_eq!(class(call.result().await), ErrorClass::Unavailable);
    assert!(began.elapsed().as_secs() < 5);
}
