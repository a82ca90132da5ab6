//! Config entries.

use std::collections::HashMap;

use serde_json::json;

use crate::lab::{Lab, data, succeeds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_is_put_read_and_deleted() {
    let (lab, _host) = Lab::with_host("configured").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let entry = |value: &str| HashMap::from([("url".to_owned(), value.to_owned())]);

    let put = client.put_config("kv", entry("redis://kv:6379")).await;
    succeeds(put, "successfully put config");
    let told = events.next("config_set").await;
    assert_eq!(told["data"], json!({ "config_name": "kv" }));
    let read = client.get_config("kv").await.unwrap();
    assert_eq!(data(read), entry("redis://kv:6379"));
    let stored = lab.stored("CONFIGDATA", "kv").await;
    assert_eq!(stored.as_deref(), Some(r#"{"url":"redis://kv:6379"}"#));

    // The whole entry is replaced.
    succeeds(
        client.put_config("kv", HashMap::new()).await,
        "successfully put config",
    );
    assert_eq!(data(client.get_config("kv").await.unwrap()), HashMap::new());
    events.next("config_set").await;

    let deleted = client.delete_config("kv").await;
    succeeds(deleted, "successfully deleted config");
    let told = events.next("config_deleted").await;
    assert_eq!(told["data"], json!({ "config_name": "kv" }));
    assert_eq!(lab.stored("CONFIGDATA", "kv").await, None);
    let absent = client.get_config("kv").await.unwrap();
    assert!(absent.succeeded());
    assert_eq!(
        (absent.message(), absent.data()),
        ("Configuration not found", None)
    );
    let again = client.delete_config("kv").await;
    succeeds(again, "successfully deleted config");
    events.next("config_deleted").await;
    assert!(events.so_far(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_is_stored_as_it_came() {
    let (lab, _host) = Lab::with_host("verbatim").await;
    let text = " {\"b\": \"1\",\n \"a\":\"\\u00fc\"} ";
    let put = lab.ask("config.put.spaced", text).await;
    let words = "successfully put config";
    assert_eq!(put, json!({ "success": true, "message": words }));
    assert_eq!(
        lab.stored("CONFIGDATA", "spaced").await.as_deref(),
        Some(text)
    );
    let read = data(lab.client.get_config("spaced").await.unwrap());
    assert_eq!((&*read["a"], &*read["b"]), ("ü", "1"));
    let refused = lab.ask("config.put.number", r#"{"port": 80}"#).await;
    assert_eq!(refused["success"], false);
    assert_eq!(lab.stored("CONFIGDATA", "number").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_to_a_secret_is_config_too() {
    let (lab, _host) = Lab::with_host("secretive").await;
    let pairs = [
        ("name", "kv"),
        ("backend", "nats-kv"),
        ("key", "pw"),
        ("policy", "{}"),
    ];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let reference = HashMap::from(pairs);
    let put = lab.client.put_config("SECRET_kv", reference.clone()).await;
    succeeds(put, "successfully put config");
    let read = lab.client.get_config("SECRET_kv").await.unwrap();
    assert_eq!(data(read), reference);
    assert!(lab.stored("CONFIGDATA", "SECRET_kv").await.is_some());
}
