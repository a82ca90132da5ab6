//! Events and log lines as a client hears them.

use bytes::Bytes;
use trellis_control::{
    Client, CloudEvent, ConfigChanged, Event, EventKind, HostId, HostMode, HostModeChanged,
    HostStopped, LogLevel, LogLine, LogSource, OtherEvent, Subjects, encode,
};
use trellis_core::ComponentId;
use trellis_lattice::Lattice;
use trellis_tests::NatsServer;

use crate::support::{connect, host};

async fn publish(lattice: &Lattice, event: &CloudEvent) {
    let kind = event.event.kind().unwrap();
    let subject = Subjects::new(lattice.name()).event(kind);
    lattice
        .publish(&subject, None, event.encode())
        .await
        .unwrap();
}

fn sample() -> [CloudEvent; 3] {
    let config_name = "kv-settings".to_owned();
    let mode = HostModeChanged {
        host_id: "NCEX".to_owned(),
        from: HostMode::Joined,
        to: HostMode::Detached,
        why: "the server is gone".to_owned(),
    };
    [
        Event::ConfigSet(ConfigChanged { config_name }),
        Event::HostModeChanged(mode),
        Event::HostStopped(HostStopped::default()),
    ]
    .map(|it| CloudEvent::now(&host(), it))
}

#[tokio::test]
async fn events_come_as_they_were_published() {
    let server = NatsServer::start();
    let publisher = connect(&server).await;
    let mut events = Client::new(connect(&server).await)
        .events(&[])
        .await
        .unwrap();
    for event in sample() {
        publish(&publisher, &event).await;
        assert_eq!(events.next().await, Some(Ok(event)));
    }
}

#[tokio::test]
async fn a_filter_lets_only_its_kinds_through() {
    let server = NatsServer::start();
    let publisher = connect(&server).await;
    let kinds = [EventKind::HostStopped, EventKind::HostStopped];
    let client = Client::new(connect(&server).await);
    let mut events = client.events(&kinds).await.unwrap();
    let [config, mode, stopped] = sample();
    for event in [&config, &mode, &stopped, &config, &stopped] {
        publish(&publisher, event).await;
    }
    assert_eq!(events.next().await, Some(Ok(stopped.clone())));
    assert_eq!(events.next().await, Some(Ok(stopped)));
}

#[tokio::test]
async fn a_message_that_is_no_event_does_not_end_the_stream() {
    let server = NatsServer::start();
    let publisher = connect(&server).await;
    let mut events = Client::new(connect(&server).await)
        .events(&[])
        .await
        .unwrap();
    let subject = "wasmbus.evt.shop.moon_landed";
    publisher
        .publish(subject, None, Bytes::from_static(b"not json"))
        .await
        .unwrap();
    assert!(matches!(events.next().await, Some(Err(_))));
    let other = CloudEvent {
        event: Event::Other(OtherEvent {
            event_type: "com.wasmcloud.lattice.moon_landed".to_owned(),
            data: Some("1".to_owned()),
        }),
        ..sample()[0].clone()
    };
    publisher
        .publish(subject, None, other.encode())
        .await
        .unwrap();
    assert_eq!(events.next().await, Some(Ok(other)));
}

#[tokio::test]
async fn log_lines_of_one_component_come_from_every_host() {
    let server = NatsServer::start();
    let publisher = connect(&server).await;
    let client = Client::new(connect(&server).await);
    let cart = LogSource::Component(ComponentId::new("cart").unwrap());
    let mut of_all = client.log_lines(None, &cart).await.unwrap();
    let mut of_one = client.log_lines(Some(&host()), &cart).await.unwrap();
    for (sequence, (id, source)) in [("NTWO", &cart), ("NCEX", &LogSource::Host), ("NCEX", &cart)]
        .into_iter()
        .enumerate()
    {
        let line = LogLine {
            time: "2026-01-05T10:11:12Z".parse().unwrap(),
            host_id: id.to_owned(),
            component_id: None,
            level: LogLevel::Info,
            sequence: sequence as u64,
            message: "hello".to_owned(),
        };
        let subject = client
            .subjects()
            .log_lines(&HostId::new(id).unwrap(), source);
        publisher
            .publish(&subject, None, encode(&line))
            .await
            .unwrap();
    }
    assert_eq!(of_all.next().await.unwrap().unwrap().sequence, 0);
    assert_eq!(of_all.next().await.unwrap().unwrap().sequence, 2);
    assert_eq!(of_one.next().await.unwrap().unwrap().sequence, 2);
}
