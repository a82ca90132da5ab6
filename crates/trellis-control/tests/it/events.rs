//! Golden JSON of every event.

use trellis_control::{
    CloudEvent, ComponentEventClaims, ComponentScaleFailed, ComponentScaled, ConfigChanged, Event,
    EventKind, HostId, HostInventory, HostMode, HostModeChanged, HostStarted, HostStopped,
    LabelsChanged, LinkDeleted, LinkSetFailed, OtherEvent, ProviderEventClaims, ProviderExited,
    ProviderHealth, ProviderStartFailed, ProviderStarted, ProviderStopped, TextMap,
};
use trellis_core::with_causes;

use crate::support::{link, names, text, text_map};

fn event(event: Event) -> CloudEvent {
    CloudEvent {
        id: text("0193b1c2-9d1e-7c4a-8a55-0d7c3f0e1a2b"),
        source: text("NCEX"),
        time: Some("2026-01-05T10:11:12.123456Z".parse().unwrap()),
        event,
    }
}

fn wire(event_type: &str, data: &str) -> String {
    format!(
        concat!(
            r#"{{"specversion":"1.0","id":"0193b1c2-9d1e-7c4a-8a55-0d7c3f0e1a2b","type":"{}","source":"NCEX","#,
            r#""datacontenttype":"application/json","time":"2026-01-05T10:11:12.123456Z","data":{}}}"#
        ),
        event_type, data
    )
}

/// Checks that an event is written with exactly this type and data, and reads back.
fn check(content: Event, event_type: &str, data: &str) {
    let (event, wire) = (event(content), wire(event_type, data));
    assert_eq!(String::from_utf8_lossy(&event.encode()), wire);
    assert_eq!(CloudEvent::decode(wire.as_bytes()).unwrap(), event);
    let later = wire
        .replacen('{', r#"{"traceparent":"00-a","#, 1)
        .replacen(r#""data":{"#, r#""data":{"later":[{}],"#, 1)
        .replace("[{}],}", "[{}]}");
    assert_eq!(CloudEvent::decode(later.as_bytes()).unwrap(), event);
}

/// Checks that an event with this little data is read.
fn check_reads(content: Event, event_type: &str, data: &str) {
    let read = CloudEvent::decode(wire(event_type, data).as_bytes()).unwrap();
    assert_eq!(read.event, content);
}

const LINK: &str = concat!(
    r#""source_id":"cart","target":"kv","name":"default","wit_namespace":"wasi","wit_package":"keyvalue","#,
    r#""interfaces":["store"],"source_config":[],"target_config":[]"#
);

#[test]
fn hosts() {
    check(
        Event::HostStarted(HostStarted {
            friendly_name: text("quiet-lake-1234"),
            labels: text_map([("zone", "a")]),
            uptime_seconds: 0,
            version: text("1.9.2"),
        }),
        "com.wasmcloud.lattice.host_started",
        r#"{"friendly_name":"quiet-lake-1234","labels":{"zone":"a"},"uptime_seconds":0,"version":"1.9.2"}"#,
    );
    check(
        Event::HostStopped(HostStopped {
            labels: text_map([("zone", "a")]),
        }),
        "com.wasmcloud.lattice.host_stopped",
        r#"{"labels":{"zone":"a"}}"#,
    );
    check(
        Event::HostHeartbeat(HostInventory {
            host_id: text("NCEX"),
            ..HostInventory::default()
        }),
        "com.wasmcloud.lattice.host_heartbeat",
        concat!(
            r#"{"components":[],"providers":[],"host_id":"NCEX","friendly_name":"","labels":{},"#,
            r#""version":"","uptime_human":"","uptime_seconds":0}"#
        ),
    );
    check(
        Event::LabelsChanged(LabelsChanged {
            host_id: text("NCEX"),
            labels: text_map([("zone", "b")]),
        }),
        "com.wasmcloud.lattice.labels_changed",
        r#"{"host_id":"NCEX","labels":{"zone":"b"}}"#,
    );
}

#[test]
fn components() {
    let scaled = ComponentScaled {
        host_id: text("NCEX"),
        image_ref: text("reg.local/cart:1.2.0"),
        max_instances: 8,
        component_id: text("shop-cart"),
        ..ComponentScaled::default()
    };
    // The sample of the reference.
    check(
        Event::ComponentScaled(scaled.clone()),
        "com.wasmcloud.lattice.component_scaled",
        concat!(
            r#"{"annotations":{},"host_id":"NCEX","image_ref":"reg.local/cart:1.2.0","max_instances":8,"#,
            r#""component_id":"shop-cart"}"#
        ),
    );
    let claims = ComponentEventClaims {
        issuer: Some(text("ACME")),
        tags: Some(names(["demo"])),
        revision: Some(3),
        expires_human: Some(text("never")),
        ..ComponentEventClaims::default()
    };
    check(
        Event::ComponentScaled(ComponentScaled {
            public_key: Some(text("MCART")),
            claims: Some(claims),
            ..scaled
        }),
        "com.wasmcloud.lattice.component_scaled",
        concat!(
            r#"{"public_key":"MCART","claims":{"call_alias":null,"issuer":"ACME","tags":["demo"],"#,
            r#""name":null,"version":null,"revision":3,"not_before_human":null,"expires_human":"never"},"#,
            r#""annotations":{},"host_id":"NCEX","image_ref":"reg.local/cart:1.2.0","max_instances":8,"#,
            r#""component_id":"shop-cart"}"#
        ),
    );
    check(
        Event::ComponentScaleFailed(ComponentScaleFailed {
            public_key: None,
            annotations: text_map([("team", "web")]),
            component_id: text("shop-cart"),
            host_id: text("NCEX"),
            image_ref: text("reg.local/cart:1.2.0"),
            max_instances: 8,
            error: text("cannot fetch: refused"),
        }),
        "com.wasmcloud.lattice.component_scale_failed",
        concat!(
            r#"{"annotations":{"team":"web"},"component_id":"shop-cart","host_id":"NCEX","#,
            r#""image_ref":"reg.local/cart:1.2.0","max_instances":8,"error":"cannot fetch: refused"}"#
        ),
    );
}

#[test]
fn links() {
    check(
        Event::LinkSet(link()),
        "com.wasmcloud.lattice.linkdef_set",
        &format!("{{{LINK}}}"),
    );
    check(
        Event::LinkSetFailed(LinkSetFailed {
            link: link(),
            error: text("no config"),
        }),
        "com.wasmcloud.lattice.linkdef_set_failed",
        &format!(r#"{{{LINK},"error":"no config"}}"#),
    );
    let deleted = LinkDeleted {
        source_id: text("cart"),
        target: Some(text("kv")),
        name: text("default"),
        wit_namespace: text("wasi"),
        wit_package: text("keyvalue"),
        interfaces: Some(names(["store"])),
    };
    check(
        Event::LinkDeleted(deleted.clone()),
        "com.wasmcloud.lattice.linkdef_deleted",
        concat!(
            r#"{"source_id":"cart","target":"kv","name":"default","wit_namespace":"wasi","#,
            r#""wit_package":"keyvalue","interfaces":["store"]}"#
        ),
    );
    check(
        Event::LinkDeleted(LinkDeleted {
            target: None,
            interfaces: None,
            ..deleted
        }),
        "com.wasmcloud.lattice.linkdef_deleted",
        r#"{"source_id":"cart","name":"default","wit_namespace":"wasi","wit_package":"keyvalue"}"#,
    );
}

#[test]
fn providers_start_and_stop() {
    let started = ProviderStarted {
        host_id: text("NCEX"),
        image_ref: text("reg.local/kv:1"),
        provider_id: text("shop-kv"),
        ..ProviderStarted::default()
    };
    check(
        Event::ProviderStarted(started.clone()),
        "com.wasmcloud.lattice.provider_started",
        r#"{"host_id":"NCEX","image_ref":"reg.local/kv:1","provider_id":"shop-kv","annotations":{}}"#,
    );
    check(
        Event::ProviderStarted(ProviderStarted {
            claims: Some(ProviderEventClaims {
                issuer: Some(text("ACME")),
                ..ProviderEventClaims::default()
            }),
            instance_id: Some(text("shop-kv")),
            public_key: Some(text("shop-kv")),
            link_name: Some(text("default")),
            ..started
        }),
        "com.wasmcloud.lattice.provider_started",
        concat!(
            r#"{"host_id":"NCEX","image_ref":"reg.local/kv:1","provider_id":"shop-kv","annotations":{},"#,
            r#""claims":{"issuer":"ACME","tags":null,"name":null,"version":null,"not_before_human":null,"#,
            r#""expires_human":null},"instance_id":"shop-kv","public_key":"shop-kv","link_name":"default"}"#
        ),
    );
    check(
        Event::ProviderStartFailed(ProviderStartFailed {
            provider_ref: text("reg.local/kv:1"),
            provider_id: text("shop-kv"),
            host_id: text("NCEX"),
            error: text("refused"),
            link_name: text("default"),
        }),
        "com.wasmcloud.lattice.provider_start_failed",
        concat!(
            r#"{"provider_ref":"reg.local/kv:1","provider_id":"shop-kv","host_id":"NCEX","#,
            r#""error":"refused","link_name":"default"}"#
        ),
    );
    check(
        Event::ProviderStopped(ProviderStopped {
            host_id: text("NCEX"),
            provider_id: text("shop-kv"),
            annotations: TextMap::new(),
            reason: text("stop"),
            instance_id: Some(text("shop-kv")),
            public_key: Some(text("shop-kv")),
            link_name: Some(text("default")),
        }),
        "com.wasmcloud.lattice.provider_stopped",
        concat!(
            r#"{"host_id":"NCEX","provider_id":"shop-kv","annotations":{},"reason":"stop","#,
            r#""instance_id":"shop-kv","public_key":"shop-kv","link_name":"default"}"#
        ),
    );
}

#[test]
fn health_config_and_our_own() {
    let data = r#"{"host_id":"NCEX","provider_id":"shop-kv"}"#;
    let health = ProviderHealth {
        host_id: text("NCEX"),
        provider_id: text("shop-kv"),
    };
    let prefix = "com.wasmcloud.lattice";
    check(
        Event::HealthCheckPassed(health.clone()),
        &format!("{prefix}.health_check_passed"),
        data,
    );
    check(
        Event::HealthCheckFailed(health.clone()),
        &format!("{prefix}.health_check_failed"),
        data,
    );
    check(
        Event::HealthCheckStatus(health),
        &format!("{prefix}.health_check_status"),
        data,
    );
    let config = ConfigChanged {
        config_name: text("kv-settings"),
    };
    let data = r#"{"config_name":"kv-settings"}"#;
    check(
        Event::ConfigSet(config.clone()),
        &format!("{prefix}.config_set"),
        data,
    );
    check(
        Event::ConfigDeleted(config),
        &format!("{prefix}.config_deleted"),
        data,
    );
    check(
        Event::HostModeChanged(HostModeChanged {
            host_id: text("NCEX"),
            from: HostMode::Joined,
            to: HostMode::Degraded,
            why: text("state is 31 s old"),
        }),
        "trellis.lattice.host_mode_changed",
        r#"{"host_id":"NCEX","from":"joined","to":"degraded","why":"state is 31 s old"}"#,
    );
    check(
        Event::ProviderExited(ProviderExited {
            host_id: text("NCEX"),
            provider_id: text("shop-kv"),
            reason: text("signal 9"),
            restart_in_ms: Some(500),
        }),
        "trellis.lattice.provider_exited",
        r#"{"host_id":"NCEX","provider_id":"shop-kv","reason":"signal 9","restart_in_ms":500}"#,
    );
}

#[test]
fn little_data_is_read() {
    check_reads(
        Event::HostStopped(HostStopped::default()),
        "com.wasmcloud.lattice.host_stopped",
        "{}",
    );
    check_reads(
        Event::ComponentScaled(ComponentScaled {
            component_id: text("cart"),
            ..ComponentScaled::default()
        }),
        "com.wasmcloud.lattice.component_scaled",
        r#"{"component_id":"cart","claims":null}"#,
    );
    let least = concat!(
        r#"{"specversion":"1.0","id":"1","type":"com.wasmcloud.lattice.host_stopped","#,
        r#""source":"NCEX","time":null}"#
    );
    let read = CloudEvent::decode(least.as_bytes()).unwrap();
    assert_eq!(read.time, None);
    assert_eq!(read.event, Event::HostStopped(HostStopped::default()));
}

#[test]
fn an_unknown_type_is_kept_as_it_came() {
    let data = r#"{ "n": 1.50, "deep": [1, {}] }"#;
    let other = event(Event::Other(OtherEvent {
        event_type: text("com.wasmcloud.lattice.moon_landed"),
        data: Some(text(data)),
    }));
    let wire = wire("com.wasmcloud.lattice.moon_landed", data);
    assert_eq!(String::from_utf8_lossy(&other.encode()), wire);
    assert_eq!(CloudEvent::decode(wire.as_bytes()).unwrap(), other);
    check_reads(
        Event::Other(OtherEvent {
            event_type: text("x"),
            data: Some(text("3")),
        }),
        "x",
        "3",
    );
}

#[test]
fn a_new_event_has_an_id_a_time_and_its_host() {
    let host = HostId::new("NCEX").unwrap();
    let event = Event::HostStopped(HostStopped::default());
    let (first, second) = (
        CloudEvent::now(&host, event.clone()),
        CloudEvent::now(&host, event),
    );
    assert_ne!(first.id, second.id);
    assert_eq!(first.id.as_bytes()[14], b'7', "{}", first.id);
    assert_eq!(first.id.len(), 36);
    assert_eq!(CloudEvent::decode(&first.encode()).unwrap(), first);
    assert_eq!(first.event.kind(), Some(EventKind::HostStopped));
}

#[test]
fn what_is_no_event_is_told() {
    let error = |bytes: &str| with_causes(&CloudEvent::decode(bytes.as_bytes()).unwrap_err());
    assert_eq!(
        error(""),
        "cannot read the envelope of an event: the payload is empty where JSON is expected"
    );
    assert_eq!(
        error(&wire(
            "com.wasmcloud.lattice.config_set",
            r#"{"config_name":1}"#
        )),
        "cannot read the data of event config_set: line 1 column 16, field `config_name`: invalid type: \
         integer `1`, expected a string"
    );
    let old = wire("x", "{}").replace("1.0", "0.3");
    assert_eq!(
        error(&old),
        "the event has CloudEvents version \"0.3\", not \"1.0\""
    );
    let late = wire("x", "{}").replace("2026-01-05T10:11:12.123456Z", "late");
    assert!(error(&late).contains("field `time`"), "{}", error(&late));
}
