//! What our broker bounds.

use std::time::Duration;

use tokio::time::Instant;
use trellis_broker::{AllowAll, BindError, Config};
use trellis_core::LatticeName;
use trellis_identity::{Authority, Role};

use crate::raw_client::{CONNECT, RawClient, check_all};
use crate::servers::{Server, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_one_client_are_bounded() {
    let mut settings = Settings::default();
    settings.limits.subscriptions_per_client_max = 3;
    let full = "-ERR 'maximum subscriptions exceeded'\r\n";
    let cases = [(
        "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB d 4\r\nSUB a 1\r\nUNSUB 1\r\nUNSUB 2\r\nPUB c 1\r\nx\r\n",
        &*format!("{full}{full}MSG c 3 1\r\nx\r\n"),
    )];
    check_all(&settings, CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_bounded_and_places_become_free() {
    let mut settings = Settings::default();
    settings.limits.clients_max = 2;
    for server in Server::both(&settings).await {
        let one = RawClient::connect(&server, None).await;
        let _two = RawClient::connect(&server, None).await;
        let mut three = RawClient::open(&server).await;
        let end = three.rest().await;
        assert_eq!(
            end, "-ERR 'maximum connections exceeded'\r\n<closed>",
            "{}",
            server.name
        );
        drop(one);
        loop {
            let mut next = RawClient::open(&server).await;
            if next.talk(CONNECT).await.is_empty() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_asked_and_then_cut_off() {
    let mut settings = Settings::default();
    settings.limits.ping_interval = Duration::from_millis(200);
    let server = Server::ours(&settings).await;
    let mut client = RawClient::connect(&server, None).await;
    let begin = Instant::now();
    let end = client.rest().await;
    assert_eq!(end, "PING\r\n-ERR 'Stale Connection'\r\n<closed>");
    assert!(
        begin.elapsed() >= settings.limits.ping_interval * 2,
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let broker = Config::new(([127, 0, 0, 1], 0).into())
        .bind(AllowAll)
        .await
        .unwrap();
    let error = Config::new(broker.address())
        .bind(AllowAll)
        .await
        .unwrap_err();
    assert!(matches!(error, BindError::InUse { address } if address == broker.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_an_authority_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let lattice = LatticeName::new("default").unwrap();
    let authority = Authority::open_or_create(&folder.path().join("keys"), &lattice).unwrap();
    let credentials = [Role::Operator, Role::Viewer].map(|role| authority.credentials(&role));
    let server = Server::ours_with(&Settings::default(), authority).await;
    let change = "PUB wasmbus.ctl.v1.default.link.put 2\r\n{}\r\n";
    for (credentials, denied) in credentials.iter().zip([false, true]) {
        let mut client = RawClient::connect(&server, Some(credentials)).await;
        client.send(format!("{change}PING\r\n")).await;
        let answer = client.until("PONG\r\n").await;
        assert_eq!(
            answer.contains("Permissions Violation for Publish"),
            denied,
            "{answer}"
        );
    }
}
