//! What holds for every input: reading never panics, and what is written reads back.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use trellis_control::{
    Claims, CloudEvent, ComponentDescription, ComponentScaled, ComponentSpec, ConfigName,
    CtlResponse, DeleteLink, Event, Host, HostId, HostInventory, Link, ProviderDescription,
    REPLY_BYTES_MAX, Request, Route, ScaleComponentCommand, StartProviderCommand, TextMap, decode,
    delete_link, encode, import_table, put_link,
};
use trellis_core::LatticeName;

use crate::support::subjects;

/// A subject of every kind of request, with a payload that decides.
fn routes() -> impl Strategy<Value = Route> {
    let host = HostId::new("NCEX").unwrap();
    let config = ConfigName::new("kv-settings").unwrap();
    prop::sample::select(vec![
        Route::HostStop(host.clone()),
        Route::LabelPut(host.clone()),
        Route::LabelDelete(host.clone()),
        Route::ComponentAuction,
        Route::ProviderAuction,
        Route::ComponentScale(host.clone()),
        Route::ComponentUpdate(host.clone()),
        Route::ProviderStart(host.clone()),
        Route::ProviderStop(host.clone()),
        Route::LinkPut,
        Route::LinkDelete,
        Route::ConfigPut(config),
        Route::RegistryPut,
        Route::Drain(host.clone()),
        Route::Call(host.clone()),
        Route::Describe(host.clone()),
        Route::Tail(host),
    ])
}

/// Text that is nearly JSON: the pieces of real messages in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "-1",
        "1e999",
        "\"a\"",
        "\"\"",
        "\"component_id\":\"a\"",
        "\"interfaces\":[\"x\"]",
        "\"source_id\":\"a\"",
        "\"target\":\"b\"",
        "\"data\":",
        "\"specversion\":\"1.0\"",
        "\"type\":",
        "\"id\":\"1\"",
        "\"source\":\"N\"",
        "\"com.wasmcloud.lattice.component_scaled\"",
        "\"success\":true",
        "\"response\":",
        "\\u0000",
        "\"time\":\"2026-01-05T10:11:12Z\"",
        "\u{e9}",
        "\n",
    ]);
    vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn map() -> impl Strategy<Value = TextMap> {
    btree_map(".{0,8}", ".{0,8}", 0..4)
}

fn id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,12}"
}

fn links_of(source: &'static str) -> impl Strategy<Value = Link> {
    let interfaces = prop::sample::subsequence(vec!["store", "atomics", "batch"], 0..=3);
    let name = prop::sample::select(vec!["default", "second"]);
    let target = prop::sample::select(vec!["kv", "other", "third"]);
    (interfaces, name, target, vec(id(), 0..3)).prop_map(
        move |(interfaces, name, target, config)| Link {
            source_id: source.to_owned(),
            target: target.to_owned(),
            name: name.to_owned(),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            interfaces: interfaces.into_iter().map(str::to_owned).collect(),
            source_config: Vec::new(),
            target_config: config,
        },
    )
}

fn inventory() -> impl Strategy<Value = HostInventory> {
    let component = (
        id(),
        ".{0,20}",
        map(),
        any::<i32>(),
        any::<u32>(),
        option::of(map()),
    )
        .prop_map(
            |(id, image_ref, annotations, revision, max_instances, limits)| ComponentDescription {
                id,
                image_ref,
                name: None,
                annotations,
                revision,
                max_instances,
                limits,
            },
        );
    let provider = (id(), option::of(".{0,20}"), option::of(".{0,9}"), map()).prop_map(
        |(id, image_ref, name, annotations)| ProviderDescription {
            id,
            image_ref,
            name,
            revision: 0,
            annotations,
        },
    );
    (
        vec(component, 0..4),
        vec(provider, 0..4),
        map(),
        any::<u64>(),
    )
        .prop_map(
            |(components, providers, labels, uptime_seconds)| HostInventory {
                components,
                providers,
                labels,
                uptime_seconds,
                ..HostInventory::default()
            },
        )
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_an_error(route in routes(), payload in vec(any::<u8>(), 0..200)) {
        let subject = subjects().subject(&route);
        let _ = Request::decode(&subjects(), &subject, &Bytes::from(payload));
    }

    #[test]
    fn nearly_json_is_a_request_or_an_error(route in routes(), payload in nearly_json()) {
        let subject = subjects().subject(&route);
        if let Err(error) = Request::decode(&subjects(), &subject, &Bytes::from(payload)) {
            prop_assert!(error.message().len() < 2_000);
        }
    }

    #[test]
    fn any_subject_is_a_route_or_an_error(tail in ".{0,60}") {
        for base in ["", "wasmbus.ctl.v1.shop.", "trellis.v1.shop.", "wasmbus.ctl.v1.shop.config.put."] {
            if let Ok(route) = subjects().parse(&format!("{base}{tail}")) {
                prop_assert_eq!(subjects().subject(&route), format!("{base}{tail}"));
            }
        }
    }

    #[test]
    fn any_text_is_an_event_or_an_error(text in nearly_json(), bytes in vec(any::<u8>(), 0..100)) {
        let _ = CloudEvent::decode(text.as_bytes());
        let _ = CloudEvent::decode(&bytes);
    }

    #[test]
    fn any_text_is_a_reply_or_state_or_an_error(text in nearly_json()) {
        let _ = decode::<CtlResponse<HostInventory>>(text.as_bytes(), REPLY_BYTES_MAX);
        let _ = decode::<CtlResponse<Vec<Link>>>(text.as_bytes(), REPLY_BYTES_MAX);
        let _ = decode::<Host>(text.as_bytes(), REPLY_BYTES_MAX);
        let _ = decode::<ComponentSpec>(text.as_bytes(), REPLY_BYTES_MAX);
        let _ = decode::<Claims>(text.as_bytes(), REPLY_BYTES_MAX);
    }

    #[test]
    fn inventories_and_heartbeats_read_back(inventory in inventory()) {
        let reply = CtlResponse::data(inventory.clone());
        prop_assert_eq!(decode(&encode(&reply), REPLY_BYTES_MAX), Ok(reply));
        let event = CloudEvent::now(&HostId::new("N").unwrap(), Event::HostHeartbeat(inventory));
        prop_assert_eq!(CloudEvent::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn commands_read_back(
        (id, image, annotations, count) in (id(), "\\S{1,20}", map(), any::<u32>()),
        limits in option::of(map()),
        config in vec(".{0,9}", 0..3),
    ) {
        let scale = ScaleComponentCommand {
            component_ref: image.clone(),
            component_id: id.clone(),
            annotations: annotations.clone(),
            count,
            component_limits: limits,
            host_id: "NCEX".to_owned(),
            config: config.clone(),
            allow_update: count % 2 == 0,
        };
        let host = HostId::new("NCEX").unwrap();
        let subject = subjects().subject(&Route::ComponentScale(host.clone()));
        let read = Request::decode(&subjects(), &subject, &encode(&scale));
        prop_assert_eq!(read, Ok(Request::ComponentScale(scale)));
        let start = StartProviderCommand {
            provider_id: id,
            provider_ref: image,
            host_id: "NCEX".to_owned(),
            config,
            annotations,
        };
        let subject = subjects().subject(&Route::ProviderStart(host));
        let read = Request::decode(&subjects(), &subject, &encode(&start));
        prop_assert_eq!(read, Ok(Request::ProviderStart(start)));
    }

    #[test]
    fn events_read_back((id, image, annotations) in (id(), ".{0,20}", map()), seconds in 0..4_000_000_000_i64) {
        let event = CloudEvent {
            id: id.clone(),
            source: "NCEX".to_owned(),
            time: jiff::Timestamp::from_second(seconds).ok(),
            event: Event::ComponentScaled(ComponentScaled {
                annotations,
                image_ref: image,
                component_id: id,
                ..ComponentScaled::default()
            }),
        };
        prop_assert_eq!(CloudEvent::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn no_order_of_puts_gives_one_interface_two_targets(links in vec(links_of("cart"), 0..12)) {
        let mut spec = ComponentSpec::default();
        for link in links {
            if let Ok(next) = put_link(&spec, link.clone()) {
                prop_assert!(next.links.contains(&link));
                prop_assert_eq!(put_link(&next, link), Ok(next.clone()));
                spec = next;
            }
        }
        for (index, a) in spec.links.iter().enumerate() {
            for b in &spec.links[index + 1..] {
                let shared = a.interfaces.iter().any(|it| b.interfaces.contains(it));
                prop_assert!(a.name != b.name || !shared, "{:?} and {:?}", a, b);
                prop_assert!(a.name != b.name || a.target != b.target);
            }
        }
        // So the table loses nothing, and deleting one by one ends with nothing.
        let entries: usize = import_table(&spec.links).values().map(|it| it.len()).sum();
        let interfaces: usize = spec.links.iter().map(|it| it.interfaces.len()).sum();
        prop_assert_eq!(entries, interfaces);
        for link in spec.links.clone() {
            let deletion = DeleteLink {
                source_id: link.source_id.clone(),
                name: link.name.clone(),
                wit_namespace: link.wit_namespace.clone(),
                wit_package: link.wit_package.clone(),
                target: Some(link.target.clone()),
            };
            let (next, removed) = delete_link(&spec, &deletion);
            prop_assert_eq!(removed, Some(link));
            spec = next;
        }
        prop_assert!(spec.links.is_empty());
    }

    #[test]
    fn names_that_are_taken_make_subjects_that_read_back(name in "[-_=/A-Za-z0-9]{1,40}", lattice in "[A-Za-z0-9_-]{1,20}") {
        let subjects = trellis_control::Subjects::new(&LatticeName::new(lattice).unwrap());
        let route = Route::ConfigPut(ConfigName::new(name).unwrap());
        prop_assert_eq!(subjects.parse(&subjects.subject(&route)), Ok(route));
    }
}
