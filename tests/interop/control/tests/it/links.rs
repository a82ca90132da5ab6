//! Links, and what stands of them in the state of the lattice.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use wasmcloud_control_interface::{Link, LinkBuilder};

use crate::lab::{Lab, PATIENCE, fails, succeeds};

fn link(target: &str, interfaces: &[&str]) -> LinkBuilder {
    Link::builder()
        .source_id("cart")
        .target(target)
        .name("default")
        .wit_namespace("wasi")
        .wit_package("keyvalue")
        .interfaces(interfaces.iter().map(|it| (*it).to_owned()).collect())
}

async fn spec(lab: &Lab) -> Option<String> {
    lab.stored("LATTICEDATA", "COMPONENT_cart").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_put_replaced_and_deleted() {
    let (lab, _host) = Lab::with_host("linked").await;
    let client = &lab.client;
    let config = HashMap::from([("bucket".to_owned(), "carts".to_owned())]);
    client.put_config("kv", config).await.unwrap();
    let mut events = lab.events().await;
    let first = link("kv", &["store"])
        .target_config(vec!["kv".to_owned()])
        .build()
        .unwrap();

    assert!(lab.links().await.is_empty());
    succeeds(
        client.put_link(first.clone()).await,
        "successfully set link",
    );
    let expected = json!({
        "source_id": "cart", "target": "kv", "name": "default", "wit_namespace": "wasi",
        "wit_package": "keyvalue", "interfaces": ["store"], "source_config": [], "target_config": ["kv"],
    });
    assert_eq!(events.next("linkdef_set").await["data"], expected);
    assert_eq!(lab.links().await, std::slice::from_ref(&first));
    let golden = concat!(
        r#"{"url":"","links":[{"source_id":"cart","target":"kv","name":"default","wit_namespace":"wasi","#,
        r#""wit_package":"keyvalue","interfaces":["store"],"source_config":[],"target_config":["kv"]}]}"#,
    );
    assert_eq!(spec(&lab).await.as_deref(), Some(golden));

    // Once more changes nothing; other interfaces replace those that were.
    succeeds(
        client.put_link(first.clone()).await,
        "successfully set link",
    );
    events.next("linkdef_set").await;
    assert_eq!(spec(&lab).await.as_deref(), Some(golden));
    let wider = link("kv", &["store", "atomics"]).build().unwrap();
    succeeds(
        client.put_link(wider.clone()).await,
        "successfully set link",
    );
    events.next("linkdef_set").await;
    assert_eq!(lab.links().await, std::slice::from_ref(&wider));

    let deleted = client.delete_link("cart", "default", "wasi", "keyvalue");
    succeeds(deleted.await, "successfully deleted link");
    let mut told = json!({
        "source_id": "cart", "target": "kv", "name": "default", "wit_namespace": "wasi",
        "wit_package": "keyvalue", "interfaces": ["store", "atomics"],
    });
    assert_eq!(events.next("linkdef_deleted").await["data"], told);
    assert!(lab.links().await.is_empty());
    assert_eq!(
        spec(&lab).await.as_deref(),
        Some(r#"{"url":"","links":[]}"#)
    );

    // What is not there is deleted with success, and told without what only a link has.
    let again = client.delete_link("cart", "default", "wasi", "keyvalue");
    succeeds(again.await, "successfully deleted link");
    let told = told.as_object_mut().unwrap();
    told.retain(|field, _| field != "target" && field != "interfaces");
    let event = events.next("linkdef_deleted").await;
    assert_eq!(event["data"].as_object().unwrap(), &*told);
    let unknown = client.delete_link("nobody", "default", "wasi", "keyvalue");
    succeeds(
        unknown.await,
        "successfully deleted link (spec doesn't exist)",
    );
    assert!(events.so_far(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_leads_an_interface_to_one_target() {
    let (lab, _host) = Lab::with_host("conflicts").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let put = async |link: LinkBuilder| client.put_link(link.build().unwrap()).await;
    succeeds(put(link("kv", &["store"])).await, "successfully set link");
    events.next("linkdef_set").await;

    let refused = fails(put(link("other", &["atomics", "store"])).await);
    for word in ["cart", "kv", "store"] {
        assert!(refused.contains(word), "{refused}");
    }
    let told = events.next("linkdef_set_failed").await;
    assert_eq!(told["data"]["target"], "other");
    assert_eq!(told["data"]["interfaces"], json!(["atomics", "store"]));
    assert_eq!(told["data"]["error"], refused.as_str());

    // Other interfaces, another name, or the source itself.
    for good in [
        link("other", &["atomics"]),
        link("other", &["store"]).name("backup"),
        link("cart", &["batch"]),
    ] {
        succeeds(put(good).await, "successfully set link");
    }
    assert_eq!(lab.links().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_needs_its_config() {
    let (lab, _host) = Lab::with_host("unconfigured").await;
    let mut events = lab.events().await;
    let link = link("kv", &["store"])
        .source_config(vec!["first".to_owned()])
        .target_config(vec!["second".to_owned(), "SECRET_third".to_owned()])
        .build()
        .unwrap();
    let refused = fails(lab.client.put_link(link).await);
    let told = events.next("linkdef_set_failed").await;
    for name in ["first", "second", "SECRET_third"] {
        assert!(refused.contains(name), "{refused}");
        assert!(told["data"]["error"].as_str().unwrap().contains(name));
    }
    assert_eq!(spec(&lab).await, None);
    assert!(lab.links().await.is_empty());
}

/// Providers on hosts of 1.x learn of links by messages of the host that takes the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_are_told_as_hosts_of_1_x_do() {
    let (lab, _host) = Lab::with_host("told").await;
    let client = &lab.client;
    let config = HashMap::from([("bucket".to_owned(), "carts".to_owned())]);
    for name in ["kv", "SECRET_kv"] {
        client.put_config(name, config.clone()).await.unwrap();
    }
    let all = "wasmbus.rpc.told.*.linkdefs.*";
    let mut messages = lab.connection.subscribe(all).await.unwrap();
    lab.connection.flush().await.unwrap();
    let mut next = async || -> (String, Value) {
        let message = timeout(PATIENCE, messages.next()).await.unwrap().unwrap();
        let payload = serde_json::from_slice(&message.payload).unwrap();
        (message.subject.to_string(), payload)
    };
    let named = |name: &str| link("kv", &["store"]).target_config(vec![name.to_owned()]);
    let with_secret = named("SECRET_kv").name("secret").build().unwrap();
    succeeds(client.put_link(with_secret).await, "successfully set link");
    let put = named("kv").build().unwrap();
    succeeds(client.put_link(put).await, "successfully set link");
    let mut expected = json!({
        "source_id": "cart", "target": "kv", "name": "default", "wit_namespace": "wasi",
        "wit_package": "keyvalue", "interfaces": ["store"], "source_config": {},
        "target_config": { "bucket": "carts" }, "source_secrets": null, "target_secrets": null,
    });
    // Nothing came of the link with a secret.
    for end in ["cart", "kv"] {
        let subject = format!("wasmbus.rpc.told.{end}.linkdefs.put");
        assert_eq!(next().await, (subject, expected.clone()));
    }
    let deleted = client.delete_link("cart", "default", "wasi", "keyvalue");
    succeeds(deleted.await, "successfully deleted link");
    expected["target_config"] = json!({});
    for end in ["cart", "kv"] {
        let subject = format!("wasmbus.rpc.told.{end}.linkdefs.del");
        assert_eq!(next().await, (subject, expected.clone()));
    }
}
