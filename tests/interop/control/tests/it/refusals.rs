//! What a 1.x client is told when it asks for what cannot be.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use wasmcloud_control_interface::Link;

use crate::lab::{Lab, fails};

/// The key of a host that does not exist.
const NOBODY: &str = "NCUKFHNMPCV7WSVEJXGQIJH5UQ5BVM4B7DI3YCWNUGBLRE5LDKKLBMMD";

/// The server tells at once that nobody listens: sooner than a tool gives up.
const AT_ONCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_for_a_host_that_is_not_there() {
    let (lab, _host) = Lab::with_host("unknown-host").await;
    let client = &lab.client;
    let asked = async {
        assert!(client.get_host_inventory(NOBODY).await.is_err());
        assert!(client.put_label(NOBODY, "a", "b").await.is_err());
        assert!(client.delete_label(NOBODY, "a").await.is_err());
        let image = "file:///a.wasm";
        let scaled = client.scale_component(NOBODY, image, "a", 1, None, Vec::new(), false);
        assert!(scaled.await.is_err());
        assert!(
            client
                .update_component(NOBODY, "a", image, None)
                .await
                .is_err()
        );
        let started = client.start_provider(NOBODY, image, "a", None, Vec::new());
        assert!(started.await.is_err());
        assert!(client.stop_provider(NOBODY, "a").await.is_err());
        assert!(client.stop_host(NOBODY, None).await.is_err());
    };
    timeout(AT_ONCE, asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_would_break_subjects_are_refused() {
    let (lab, host) = Lab::with_host("bad-names").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let image = "file:///a.wasm";
    for id in ["a.b", "a b", "a*", ">", "ä"] {
        let scaled = client.scale_component(&host.id, image, id, 1, None, Vec::new(), false);
        let refused = fails(scaled.await);
        assert!(refused.contains("component_id"), "{refused}");
        let updated = client.update_component(&host.id, id, image, None);
        assert!(fails(updated.await).contains("component_id"));
        let started = client.start_provider(&host.id, image, id, None, Vec::new());
        assert!(fails(started.await).contains("provider_id"));
        assert!(fails(client.stop_provider(&host.id, id).await).contains("provider_id"));
        let link = Link::builder()
            .source_id(id)
            .target("b")
            .name("default")
            .wit_namespace("a")
            .wit_package("b")
            .interfaces(vec!["c".to_owned()]);
        let refused = fails(client.put_link(link.build().unwrap()).await);
        assert!(refused.contains("source_id"), "{refused}");
        assert!(fails(client.delete_link(id, "default", "a", "b").await).contains("source_id"));
    }
    // The client itself takes no empty ones.
    let scaled = client.scale_component(&host.id, " ", "a", 1, None, Vec::new(), false);
    assert!(scaled.await.is_err());
    let named = client.put_config("a.b", std::collections::HashMap::new());
    fails(named.await);
    assert_eq!(client.get_config("a.b").await.unwrap().data(), None);
    assert!(events.so_far(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_answered_all_the_same() {
    let (lab, host) = Lab::with_host("no-requests").await;
    let addressed = |verb: &str| format!("{verb}.{}", host.id);
    let verbs = [
        "component.auction".to_owned(),
        "provider.auction".to_owned(),
        addressed("component.scale"),
        addressed("component.update"),
        addressed("provider.start"),
        addressed("provider.stop"),
        addressed("label.put"),
        addressed("label.del"),
        addressed("host.stop"),
        "link.put".to_owned(),
        "link.del".to_owned(),
        "config.put.a".to_owned(),
        "registry.put".to_owned(),
    ];
    for verb in &verbs {
        for payload in [
            "{",
            "[]",
            "17",
            "\"text\"",
            "{\"component_id\":7,\"host_id\":7}",
        ] {
            let answer = lab.ask(verb, payload).await;
            assert_eq!(answer["success"], false, "{verb} {payload}: {answer}");
            assert!(
                !answer["message"].as_str().unwrap().is_empty(),
                "{verb} {payload}"
            );
            assert!(
                answer.get("response").is_none(),
                "{verb} {payload}: {answer}"
            );
        }
    }
    for verb in [
        addressed("component.paint"),
        addressed("provider.paint"),
        addressed("host.paint"),
        addressed("label.paint"),
        "link.paint".to_owned(),
        "config.paint.a".to_owned(),
        "config.put".to_owned(),
    ] {
        let answer = lab.ask(&verb, "{}").await;
        assert_eq!(answer["success"], false, "{verb}: {answer}");
    }
    // A field that 1.x does not know yet changes nothing.
    let answer = lab.ask("config.put.a", json!({}).to_string()).await;
    assert_eq!(answer["success"], true, "{answer}");
    let label = json!({ "key": "a", "value": "b", "of_the_future": [1] }).to_string();
    let answer = lab.ask(&addressed("label.put"), label).await;
    assert_eq!(answer["success"], true, "{answer}");
}
