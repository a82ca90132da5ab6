//! Connecting, and what a handle does while the server comes and goes.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use trellis_core::{LatticeName, with_causes};
use trellis_lattice::{
    ConnectError, ConnectionPhase, Credentials, Headers, Lattice, PublishError, RequestError,
    Settings, SubscribeError, Tls, TlsIdentity, connect, connect_in_background,
};
use trellis_tests::NatsServer;

use crate::nats_server::{connected, settings_of};

const SOON: Duration = Duration::from_secs(20);

async fn until(lattice: &Lattice, is: impl Fn(ConnectionPhase) -> bool) {
    let mut state = lattice.state();
    let reached = state.wait_for(|now| is(now.phase));
    tokio::time::timeout(SOON, reached).await.unwrap().unwrap();
}

fn is_disconnected(phase: ConnectionPhase) -> bool {
    matches!(phase, ConnectionPhase::Disconnected { .. })
}

/// Answers every message on `subject` with its payload and headers.
async fn echo(lattice: &Lattice, subject: &str) {
    let mut requests = lattice.subscribe(subject).await.unwrap();
    lattice.flush().await.unwrap();
    let lattice = lattice.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.unwrap();
            let headers = Some(request.headers);
            lattice
                .publish(&reply, headers, request.payload)
                .await
                .unwrap();
        }
    });
}

#[tokio::test]
async fn a_request_is_answered_or_its_failure_is_typed() {
    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    echo(&lattice, "echo").await;
    let mut headers = Headers::new();
    headers.insert("traceparent", "00-1").unwrap();
    let answer = lattice.request("echo", Some(headers), "hi".into(), SOON);
    let answer = answer.await.unwrap();
    assert_eq!(answer.payload, "hi");
    assert_eq!(answer.headers.get("Traceparent"), Some("00-1"));

    let ask = |subject: &'static str, payload: Bytes| {
        let lattice = lattice.clone();
        async move { lattice.request(subject, None, payload, SOON).await }
    };
    let error = ask("nobody", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, RequestError::NoResponders { .. }),
        "{error}"
    );
    let error = ask("a b", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, RequestError::InvalidSubject { .. }),
        "{error}"
    );
    let large = vec![0; lattice.max_payload() + 1].into();
    let error = ask("echo", large).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { .. }), "{error}");
    let _silent = lattice.subscribe("silent").await.unwrap();
    lattice.flush().await.unwrap();
    let short = Duration::from_millis(50);
    let asked = lattice.request("silent", None, Bytes::new(), short);
    let error = asked.await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout { .. }), "{error}");
    let error = lattice.subscribe("a..b").await.unwrap_err();
    assert!(matches!(error, SubscribeError::Invalid { .. }), "{error}");

    let info = lattice.server_info().unwrap();
    assert!(!info.version.is_empty() && !info.jetstream);
    assert!(lattice.round_trip().await.unwrap() < SOON);
}

#[tokio::test]
async fn a_question_to_all_collects_until_enough_or_the_window_ends() {
    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    for _ in 0..3 {
        echo(&lattice, "all").await;
    }
    let scatter = lattice.scatter("all", "?".into(), SOON).await.unwrap();
    assert_eq!(
        scatter.collect(3).await.unwrap().len(),
        3,
        "and does not wait longer"
    );
    let window = Duration::from_millis(200);
    let start = Instant::now();
    let scatter = lattice.scatter("all", "?".into(), window).await.unwrap();
    assert_eq!(scatter.collect(9).await.unwrap().len(), 3);
    assert!(start.elapsed() >= window);
    let nobody = lattice.scatter("nobody", "?".into(), SOON).await.unwrap();
    assert!(nobody.collect(9).await.unwrap().is_empty(), "known at once");
}

#[tokio::test]
async fn members_of_a_group_share_the_messages() {
    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    let mut one = lattice.queue_subscribe("work", "group").await.unwrap();
    let mut two = lattice.queue_subscribe("work", "group").await.unwrap();
    for _ in 0..20 {
        lattice.publish("work", None, "x".into()).await.unwrap();
    }
    for _ in 0..20 {
        tokio::select! {
            message = one.next() => assert!(message.is_some()),
            message = two.next() => assert!(message.is_some()),
        }
    }
    // Nothing overtakes anything: what came twice would be here before what is said last.
    let mut end = lattice.subscribe("end").await.unwrap();
    lattice.publish("end", None, "x".into()).await.unwrap();
    assert!(end.next().await.is_some());
    let more = (one.next().now_or_never(), two.next().now_or_never());
    assert!(matches!(more, (None, None)), "each message comes once");
}

#[tokio::test]
async fn what_the_credentials_do_not_allow_is_denied_at_once() {
    let server = NatsServer::with(
        r#"authorization { users: [ { user: "ann", password: "geheim", permissions: {
            publish: ["allowed.>"], subscribe: [">"] } } ] }"#,
    );
    let mut settings = settings_of(&server);
    settings.credentials = Credentials::UserAndPassword {
        user: "ann".to_owned(),
        password: "geheim".into(),
    };
    let lattice = connect(settings.clone()).await.unwrap();
    let error = lattice.request("forbidden", None, Bytes::new(), SOON).await;
    let denied = RequestError::Denied {
        subject: "forbidden".to_owned(),
    };
    assert_eq!(error.unwrap_err(), denied);
    let scatter = lattice.scatter("forbidden", Bytes::new(), SOON).await;
    assert_eq!(scatter.unwrap().collect(1).await.unwrap_err(), denied);
    lattice
        .round_trip()
        .await
        .expect("a refusal is an answer too");
    assert!(lattice.state().borrow().refusals >= 2);

    settings.credentials = Credentials::UserAndPassword {
        user: "ann".to_owned(),
        password: "falsch".into(),
    };
    let error = connect(settings).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Authentication { .. }),
        "{error:?}"
    );
    let text = with_causes(&error);
    assert!(text.contains(r#"does not accept the user "ann""#) && !text.contains("falsch"));
    let error = connect(settings_of(&server)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("wants credentials, and none were given")
    );
}

#[tokio::test]
async fn an_nkey_and_a_login_in_the_address_open_the_door() {
    let user = nkeys::KeyPair::new_user();
    let public = user.public_key();
    let server = NatsServer::with(&format!(
        r#"authorization {{ users: [ {{ nkey: "{public}" }}, {{ user: "ann", password: "p" }} ] }}"#
    ));
    let mut settings = settings_of(&server);
    settings.credentials = Credentials::Nkey(user.seed().unwrap().as_str().into());
    connect(settings).await.unwrap();
    let url = server.url().replace("nats://", "nats://ann:p@");
    connect(Settings::new(LatticeName::default(), [url]))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_address_where_no_nats_answers_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = Settings::new(
        LatticeName::default(),
        [format!("nats://{}", listener.local_addr().unwrap())],
    );
    settings.connect_timeout = Duration::from_millis(100);
    let error = connect(settings.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
    assert!(
        error.to_string().contains("did not answer within 0.1 s"),
        "{error}"
    );

    drop(listener);
    settings.connect_timeout = SOON;
    let error = connect(settings.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(&settings.servers[0]), "{error}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.servers = vec![listener.local_addr().unwrap().to_string()];
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await);
    });
    let error = connect(settings).await.unwrap_err();
    assert!(matches!(error, ConnectError::Other { .. }), "{error:?}");
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test]
async fn tls_is_trusted_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let certificate = write(
            &format!("{name}.pem"),
            &pem("CERTIFICATE", certificate.der()),
        );
        (
            certificate,
            write(
                &format!("{name}.key"),
                &pem("PRIVATE KEY", &key.serialize_der()),
            ),
        )
    };
    let authorities = write("authorities.pem", &pem("CERTIFICATE", authority.der()));
    let (server_certificate, server_key) = issue("127.0.0.1");
    let (certificate, key) = issue("client");
    let server = NatsServer::with(&format!(
        "tls {{ cert_file: {server_certificate:?}, key_file: {server_key:?}, ca_file: {authorities:?}, verify: true }}"
    ));
    let mut settings = settings_of(&server);
    let with = |identity, authorities| {
        Some(Tls {
            authorities,
            identity,
            first: false,
        })
    };
    let identity = TlsIdentity { certificate, key };
    settings.tls = with(Some(identity.clone()), Some(authorities.clone()));
    connect(settings.clone()).await.unwrap();

    settings.tls = with(Some(identity.clone()), Some(server_certificate));
    let error = connect(settings.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    settings.tls = with(None, Some(authorities));
    let error = connect(settings.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    settings.tls = with(Some(identity), Some("/nowhere/ca.pem".into()));
    let error = connect(settings).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(r#"the TLS authorities "/nowhere/ca.pem""#)
    );
}

#[tokio::test]
async fn a_lost_server_is_noticed_and_found_again() {
    let mut server = NatsServer::with("");
    let lattice = connected(&server).await;
    let mut kept = lattice.subscribe("kept").await.unwrap();
    let mut silent = lattice.subscribe("silent").await.unwrap();
    lattice.flush().await.unwrap();
    let open = {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            let asking = lattice.request("silent", None, Bytes::new(), SOON);
            asking.await.unwrap_err()
        })
    };
    silent.next().await.expect("the request arrives");
    server.kill();
    until(&lattice, is_disconnected).await;
    let error = open.await.unwrap();
    assert!(
        matches!(
            error,
            RequestError::ConnectionLost | RequestError::Disconnected
        ),
        "an open request does not wait for its deadline: {error:?}"
    );
    let error = lattice.publish("kept", None, "lost".into()).await;
    assert_eq!(error, Err(PublishError::Disconnected));
    let error = lattice.request("kept", None, Bytes::new(), SOON).await;
    assert_eq!(error.unwrap_err(), RequestError::Disconnected);

    server.start_again();
    until(&lattice, |phase| phase == ConnectionPhase::Connected).await;
    assert_eq!(lattice.state().borrow().connects, 2);
    lattice.publish("kept", None, "found".into()).await.unwrap();
    assert_eq!(kept.next().await.unwrap().payload, "found");
}

#[tokio::test]
async fn a_handle_made_before_its_server_connects_behind_the_scenes() {
    let mut server = NatsServer::with("");
    server.kill();
    let lattice = connect_in_background(settings_of(&server)).await.unwrap();
    assert_eq!(lattice.state().borrow().phase, ConnectionPhase::Connecting);
    let error = lattice.request("a", None, Bytes::new(), SOON).await;
    assert_eq!(error.unwrap_err(), RequestError::Disconnected);
    let mut early = lattice.subscribe("early").await.unwrap();
    server.start_again();
    until(&lattice, |phase| phase == ConnectionPhase::Connected).await;
    lattice.publish("early", None, "x".into()).await.unwrap();
    assert!(early.next().await.is_some());
}

#[tokio::test]
async fn a_subscription_that_is_not_read_loses_messages_and_says_so() {
    let server = NatsServer::with("");
    let mut settings = settings_of(&server);
    settings.subscription_messages_max = 4;
    let lattice = connect(settings).await.unwrap();
    let mut slow = lattice.subscribe("many").await.unwrap();
    for number in 0..50 {
        let payload = Bytes::from(number.to_string());
        lattice.publish("many", None, payload).await.unwrap();
    }
    lattice.flush().await.unwrap();
    let mut state = lattice.state();
    let dropped = state.wait_for(|now| now.messages_dropped == 46);
    tokio::time::timeout(SOON, dropped).await.unwrap().unwrap();
    assert_eq!(slow.next().await.unwrap().payload, "0");
}

#[tokio::test]
async fn a_server_about_to_stop_says_so() {
    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    let pid = server.pid();
    rustix::process::kill_process(pid, rustix::process::Signal::USR2).unwrap();
    until(&lattice, |phase| phase == ConnectionPhase::LameDuck).await;
    assert!(lattice.is_connected());
    lattice.round_trip().await.unwrap();
}

#[tokio::test]
async fn draining_hands_out_what_has_arrived_and_closes() {
    let server = NatsServer::with("");
    let lattice = connected(&server).await;
    let mut messages = lattice.subscribe("last").await.unwrap();
    lattice.publish("last", None, "words".into()).await.unwrap();
    lattice.flush().await.unwrap();
    lattice.drain().await;
    assert_eq!(lattice.state().borrow().phase, ConnectionPhase::Closed);
    assert_eq!(messages.next().await.unwrap().payload, "words");
    assert!(messages.next().await.is_none());
    let error = lattice.request("a", None, Bytes::new(), SOON).await;
    assert_eq!(error.unwrap_err(), RequestError::Disconnected);
}
