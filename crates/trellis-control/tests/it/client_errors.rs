//! What the person learns when a request does not work.

use std::time::Duration;

use bytes::Bytes;
use trellis_control::{
    Answer, CallCommand, CallResult, Client, ClientError, Config, ConfigName, CtlResponse,
    ErrorCode, Label, Link, Request, ScaleComponentCommand, Timing, change_id, encode,
};
use trellis_core::with_causes;
use trellis_tests::NatsServer;

use crate::fake_host::FakeHost;
use crate::support::{connect, host};

fn scale(id: &str) -> ScaleComponentCommand {
    ScaleComponentCommand {
        component_id: id.to_owned(),
        component_ref: "reg.local/cart:1".to_owned(),
        count: 1,
        ..ScaleComponentCommand::default()
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named_with_its_lattice() {
    let server = NatsServer::start();
    let client = Client::new(connect(&server).await);
    let error = client
        .scale_component(&host(), scale("cart"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot scale the component: no host NCEX in lattice shop takes it"
    );
    assert_eq!(
        error.hint().unwrap(),
        "`trellis get hosts` lists the hosts of this lattice; `--lattice` chooses another"
    );
    assert!(!error.may_have_been_done());
    let error = client.status(&host()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("wasmCloud 1.x"));
    let error = client.links().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list links: no host in lattice shop takes it"
    );
    assert!(error.hint().unwrap().contains("trellis up"));
    assert!(client.hosts().await.unwrap().answers.is_empty());
}

#[tokio::test]
async fn a_host_that_does_not_answer_may_have_done_it() {
    let server = NatsServer::start();
    let _fake = FakeHost::start(connect(&server).await, "NCEX", |_| None).await;
    let timing = Timing {
        request: Duration::from_millis(150),
        ..Timing::default()
    };
    let client = Client::new(connect(&server).await).with_timing(timing);
    let error = client
        .scale_component(&host(), scale("cart"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot scale the component: no answer from host NCEX in lattice shop within 150 ms"
    );
    assert!(error.may_have_been_done());
    assert!(error.hint().unwrap().contains("trellis get inventory"));
}

fn does(_: &Request) -> Option<Bytes> {
    Some(encode(&CtlResponse::done("done")))
}

#[tokio::test]
async fn what_a_deaf_host_does_not_hear_another_does() {
    let server = NatsServer::start();
    let _deaf = FakeHost::start(connect(&server).await, "NDEAF", |_| None).await;
    let _other = FakeHost::start(connect(&server).await, "NCEX", does).await;
    let timing = Timing {
        // More than all that is sent takes, so that the last has the time to be answered.
        request: Duration::from_secs(20),
        ..Timing::default()
    };
    let client = Client::new(connect(&server).await).with_timing(timing);
    let (name, config) = (ConfigName::new("carts").unwrap(), Config::new());
    let link = Link {
        source_id: "web".to_owned(),
        target: "cart".to_owned(),
        wit_namespace: "acme".to_owned(),
        wit_package: "shop".to_owned(),
        interfaces: vec!["cart".to_owned()],
        ..Link::default()
    };
    // The first of each reaches the deaf one with a chance of a half, all sixteen of it never.
    for _ in 0..4 {
        client.put_config(&name, &config).await.unwrap();
        client.put_link(&link).await.unwrap();
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_so_within_its_time_and_the_rest_never() {
    let server = NatsServer::start();
    let fake = FakeHost::start(connect(&server).await, "NCEX", |_| None).await;
    let timing = Timing {
        request: Duration::from_millis(1_000),
        ..Timing::default()
    };
    let client = Client::new(connect(&server).await).with_timing(timing);
    let watching = connect(&server).await;
    let mut copies = watching
        .subscribe("wasmbus.ctl.v1.shop.config.put.*")
        .await
        .unwrap();
    watching.flush().await.unwrap();
    let (name, config) = (ConfigName::new("carts").unwrap(), Config::new());
    let error = client.put_config(&name, &config).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
    let asked = fake.asked().len();
    assert!((2..=7).contains(&asked), "asked {asked} times");
    // By it the hosts know that all of them are one.
    let first = change_id(&copies.next().await.unwrap().headers).unwrap();
    for _ in 1..asked {
        let copy = copies.next().await.unwrap();
        assert_eq!(change_id(&copy.headers).as_ref(), Some(&first));
    }
    client.put_config(&name, &config).await.unwrap_err();
    let next = copies.next().await.unwrap();
    assert_ne!(change_id(&next.headers).unwrap(), first);

    let asked = fake.asked().len();
    let label = Label {
        key: "zone".to_owned(),
        value: "a".to_owned(),
    };
    let error = client.put_label(&host(), &label).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot put the label: no answer from host NCEX in lattice shop within 1000 ms"
    );
    assert_eq!(fake.asked().len(), asked + 1, "only this host can do it");
    let error = client.scale_component(&host(), scale("cart")).await;
    assert!(error.unwrap_err().may_have_been_done());
    assert_eq!(fake.asked().len(), asked + 2);
}

fn refuses(request: &Request) -> Option<Bytes> {
    Some(match request {
        Request::Call(_) => encode(&Answer::<CallResult>::failure(
            ErrorCode::Trap,
            "unreachable",
        )),
        Request::HostGet => encode(&CtlResponse::done("no data")),
        Request::LinkGet => Bytes::from_static(br#"{"success":true,"message":"","response":{}}"#),
        Request::ClaimsGet => Bytes::new(),
        _ => encode(&CtlResponse::<()>::failure("the disk is full")),
    })
}

#[tokio::test]
async fn a_refusal_carries_the_words_of_the_host() {
    let server = NatsServer::start();
    let _fake = FakeHost::start(connect(&server).await, "NCEX", refuses).await;
    let client = Client::new(connect(&server).await);
    let error = client
        .scale_component(&host(), scale("cart"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot scale the component: host NCEX in lattice shop refuses: the disk is full"
    );
    let call = CallCommand {
        component_id: "cart".to_owned(),
        function: "run".to_owned(),
        ..CallCommand::default()
    };
    let error = client.call(&host(), &call).await.unwrap_err();
    assert_eq!(
        with_causes(&error),
        "cannot call the function on host NCEX: unreachable (trap)"
    );
    let bids = client.hosts().await.unwrap();
    assert!(bids.answers.is_empty());
    assert!(bids.failures[0].to_string().contains("the disk is full"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_where_it_breaks() {
    let server = NatsServer::start();
    let _fake = FakeHost::start(connect(&server).await, "NCEX", refuses).await;
    let client = Client::new(connect(&server).await);
    let unreadable = |error: &ClientError| matches!(error, ClientError::Unreadable { .. });
    let error = client.host_inventory(&host()).await.unwrap_err();
    assert!(unreadable(&error), "{error:?}");
    let error = client.links().await.unwrap_err();
    assert!(unreadable(&error));
    assert!(
        with_causes(&error).contains("field `response`"),
        "{}",
        with_causes(&error)
    );
    let error = client.claims().await.unwrap_err();
    assert!(
        with_causes(&error).contains("payload is empty"),
        "{}",
        with_causes(&error)
    );
}

#[tokio::test]
async fn what_cannot_work_is_not_sent() {
    let server = NatsServer::start();
    let fake = FakeHost::start(connect(&server).await, "NCEX", refuses).await;
    let client = Client::new(connect(&server).await);
    for id in ["", "a.b", "*", "a b"] {
        let error = client
            .scale_component(&host(), scale(id))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ClientError::Invalid { .. }),
            "{id:?}: {error:?}"
        );
    }
    let link = Link {
        source_id: "a>".to_owned(),
        ..Link::default()
    };
    assert_eq!(
        with_causes(&client.put_link(&link).await.unwrap_err()),
        "cannot put the link: link has a bad `source_id`: the component id has only letters, digits, `-` and `_`; \
         '>' is none of them"
    );
    let label = Label {
        key: "hostcore.os".to_owned(),
        value: String::new(),
    };
    assert!(client.put_label(&host(), &label).await.is_err());
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_lost_server_is_a_typed_error() {
    let server = NatsServer::start();
    let lattice = connect(&server).await;
    let mut state = lattice.state();
    let client = Client::new(lattice);
    drop(server);
    state.wait_for(|it| !it.is_connected()).await.unwrap();
    let error = client.links().await.unwrap_err();
    assert!(matches!(error, ClientError::Connection { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("trellis doctor"));
    assert!(client.hosts().await.is_err());
    assert!(client.events(&[]).await.is_err());
}
