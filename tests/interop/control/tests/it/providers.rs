//! Providers that a host contains.

use std::collections::HashMap;

use serde_json::json;

use crate::lab::{Lab, eventually, fails, succeeds, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_started_and_stopped() {
    let (lab, host) = Lab::with_host("provided").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let image = "wasmcloud+builtin://http-server";
    let annotations = texts(&[("wasmcloud.dev/appspec", "shop")]);
    let config = HashMap::from([("path".to_owned(), "/".to_owned())]);
    client.put_config("http", config).await.unwrap();
    let start = async || {
        let config = vec!["http".to_owned()];
        client
            .start_provider(&host.id, image, "http", Some(annotations.clone()), config)
            .await
    };

    succeeds(start().await, "successfully started provider");
    let told = events.next("provider_started").await;
    assert_eq!(told["source"], host.id.as_str());
    // The image as it was asked for: by it a tool that waits knows its provider.
    let expected = json!({
        "host_id": host.id,
        "image_ref": image,
        "provider_id": "http",
        "annotations": annotations,
    });
    assert_eq!(told["data"], expected);

    let inventory = lab.inventory(&host).await;
    let [provider] = &inventory.providers()[..] else {
        panic!("{inventory:?}");
    };
    assert_eq!(provider.id(), "http");
    // Without its scheme, as hosts of 1.x tell it.
    assert_eq!(provider.image_ref(), Some("http-server"));
    assert_eq!(provider.name(), None);
    assert_eq!(provider.revision(), 0);
    assert_eq!(provider.annotations(), Some(&annotations));
    let spec = eventually("a spec", async || {
        lab.stored("LATTICEDATA", "COMPONENT_http").await
    });
    assert_eq!(spec.await, format!(r#"{{"url":"{image}","links":[]}}"#));

    assert_eq!(
        fails(start().await),
        "provider with that ID is already running"
    );
    let bids = client
        .perform_provider_auction(image, "http", texts(&[]))
        .await;
    assert!(bids.unwrap().is_empty());

    let stopped = client.stop_provider(&host.id, "http").await;
    succeeds(stopped, "successfully stopped provider");
    let told = events.next("provider_stopped").await;
    let expected = json!({
        "host_id": host.id,
        "provider_id": "http",
        "annotations": annotations,
        "reason": "stop",
        "instance_id": "http",
        "public_key": "http",
        "link_name": "default",
    });
    assert_eq!(told["data"], expected);
    assert!(lab.inventory(&host).await.providers().is_empty());
    let again = client.stop_provider(&host.id, "http").await;
    assert_eq!(fails(again), "provider with that ID is not running");
    assert!(events.so_far(&lab).await.is_empty());

    // As older tools spell it.
    succeeds(start().await, "successfully started provider");
    let command = json!({ "host_id": host.id, "provider_ref": "http" }).to_string();
    let stopped = lab
        .ask(&format!("provider.stop.{}", host.id), command)
        .await;
    let words = "successfully stopped provider";
    assert_eq!(stopped, json!({ "success": true, "message": words }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_an_official_provider_is_the_one_that_the_host_contains() {
    let (lab, host) = Lab::with_host("official").await;
    let mut events = lab.events().await;
    let image = "ghcr.io/wasmcloud/http-server:0.28.0";
    let bids = lab
        .client
        .perform_provider_auction(image, "http", texts(&[]))
        .await
        .unwrap();
    assert_eq!(bids.len(), 1);
    let bid = bids[0].data().unwrap();
    assert_eq!(bid.host_id(), host.id);
    let bid = serde_json::to_value(bid).unwrap();
    assert_eq!(
        (&bid["provider_ref"], &bid["provider_id"]),
        (&json!(image), &json!("http"))
    );
    let started = lab
        .client
        .start_provider(&host.id, image, "http", None, Vec::new())
        .await;
    succeeds(started, "successfully started provider");
    let told = events.next("provider_started").await;
    assert_eq!(told["data"]["image_ref"], image);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_host_can_run_is_told() {
    let (lab, host) = Lab::with_host("unprovided").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let image = "registry.invalid/shop/kv:1.0.0";
    let started = client
        .start_provider(&host.id, image, "kv", None, Vec::new())
        .await;
    succeeds(started, "successfully started provider");
    let mut told = events.next("provider_start_failed").await["data"].take();
    let error = told["error"].take();
    assert!(error.as_str().unwrap().contains(image), "{error}");
    let expected = json!({
        "provider_ref": image,
        "provider_id": "kv",
        "host_id": host.id,
        "error": null,
        "link_name": "default",
    });
    assert_eq!(told, expected);
    assert!(lab.inventory(&host).await.providers().is_empty());

    let absent = "wasmcloud+builtin://teleport";
    let bids = client
        .perform_provider_auction(absent, "kv", texts(&[]))
        .await;
    assert!(bids.unwrap().is_empty());
    let refused = client
        .start_provider(&host.id, absent, "kv", None, Vec::new())
        .await;
    assert!(fails(refused).contains("teleport"));
    assert!(events.so_far(&lab).await.is_empty());
}
