//! Hosts, their inventories and their labels.

use serde_json::json;
use tokio::time::timeout;
use wasmcloud_control_interface::HostInventory;

use crate::lab::{Lab, PATIENCE, data, fails, succeeds, texts};
use crate::trellis::Host;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_found_and_tells_what_it_is() {
    let lab = Lab::open("found").await;
    assert!(lab.client.get_hosts().await.unwrap().is_empty());
    let mut events = lab.events().await;
    let host = Host::start(&lab.nats.url, lab.lattice, &["zone=eu-1"]).await;
    assert!(host.id.starts_with('N') && host.id.len() == 56);

    let started = events.next("host_started").await;
    assert_eq!(started["source"], host.id.as_str());
    let mut hosts = lab.client.get_hosts().await.unwrap();
    assert_eq!(hosts.len(), 1);
    let found = data(hosts.remove(0));
    assert_eq!(found.id(), host.id);
    assert_eq!(found.lattice(), "found");
    assert_eq!(found.rpc_host(), Some(lab.nats.url.as_str()));
    assert_eq!(found.ctl_host(), Some(lab.nats.url.as_str()));
    assert_eq!(found.js_domain(), None);
    assert!(found.version().is_some_and(|it| it.split('.').count() == 3));
    assert!(found.uptime_human().is_some_and(|it| it.ends_with('s')));
    assert!(found.uptime_seconds() < PATIENCE.as_secs());
    let labels = found.labels();
    assert_eq!(labels["zone"], "eu-1");
    for own in ["hostcore.arch", "hostcore.os", "hostcore.osfamily"] {
        assert!(labels.contains_key(own), "{labels:?}");
    }
    let expected = json!({
        "friendly_name": found.friendly_name(),
        "labels": labels,
        "uptime_seconds": 0,
        "version": found.version(),
    });
    assert_eq!(started["data"], expected);

    let inventory = lab.inventory(&host).await;
    assert_eq!(inventory.host_id(), host.id);
    assert_eq!(inventory.friendly_name(), found.friendly_name());
    assert_eq!(Some(inventory.version()), found.version());
    assert_eq!(inventory.labels(), labels);
    assert!(inventory.components().is_empty() && inventory.providers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_is_the_whole_inventory() {
    let (lab, host) = Lab::with_host("beats").await;
    let mut events = lab.events().await;
    lab.start_component(&host, "upper", "to_upper_upper").await;
    let heartbeat = events.next("host_heartbeat").await;
    assert_eq!(heartbeat["source"], host.id.as_str());
    let told: HostInventory = serde_json::from_value(heartbeat["data"].clone()).unwrap();
    assert_eq!(told.host_id(), host.id);
    let asked = lab.inventory(&host).await;
    assert_eq!(told.labels(), asked.labels());
    assert_eq!(told.friendly_name(), asked.friendly_name());
    // The first comes within two seconds of the start, be the component there yet or not.
    assert!(told.components().len() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_put_and_deleted() {
    let (lab, host) = Lab::with_host("labels").await;
    let client = &lab.client;
    let mut events = lab.events().await;

    let put = client.put_label(&host.id, "zone", "eu-1").await;
    succeeds(put, "successfully put label");
    let told = events.next("labels_changed").await;
    assert_eq!(told["data"]["host_id"], host.id.as_str());
    assert_eq!(told["data"]["labels"]["zone"], "eu-1");
    assert!(told["data"]["labels"]["hostcore.os"].is_string());
    let put = client.put_label(&host.id, "zone", "eu-2").await;
    succeeds(put, "successfully put label");
    assert_eq!(lab.inventory(&host).await.labels()["zone"], "eu-2");
    assert_eq!(
        events.next("labels_changed").await["data"]["labels"]["zone"],
        "eu-2"
    );

    let deleted = client.delete_label(&host.id, "zone").await;
    succeeds(deleted, "successfully deleted label");
    let told = events.next("labels_changed").await;
    assert_eq!(told["data"]["labels"].get("zone"), None);
    assert!(!lab.inventory(&host).await.labels().contains_key("zone"));

    let absent = client.delete_label(&host.id, "zone").await;
    succeeds(absent, "successfully deleted label (no such label)");
    for reserved in ["hostcore.os", "HOSTCORE.anything"] {
        let refused = fails(client.put_label(&host.id, reserved, "plan9").await);
        assert!(refused.contains(reserved), "{refused}");
    }
    assert!(events.so_far(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stops_when_it_is_told() {
    let lab = Lab::open("stops").await;
    let mut host = lab.host(&["zone=eu-1"]).await;
    lab.start_component(&host, "upper", "to_upper_upper").await;
    let mut events = lab.events().await;
    let stopped = lab.client.stop_host(&host.id, Some(5_000)).await;
    succeeds(stopped, "successfully handled stop host");
    let told = events.next("host_stopped").await;
    assert_eq!(told["source"], host.id.as_str());
    let labels = told["data"]["labels"].as_object().unwrap();
    assert_eq!(labels["zone"], "eu-1");
    assert_eq!(told["data"].as_object().unwrap().len(), 1);
    assert_eq!(host.wait().await, Some(0));
    assert!(lab.client.get_hosts().await.unwrap().is_empty());
    let gone = timeout(PATIENCE, lab.client.get_host_inventory(&host.id)).await;
    assert!(gone.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_stops_on_an_empty_request_too() {
    let (lab, mut host) = Lab::with_host("empty-stop").await;
    let other = json!({ "host_id": "NOTHER" }).to_string();
    let refused = lab.ask(&format!("host.stop.{}", host.id), other).await;
    assert_eq!(refused["success"], false, "{refused}");
    let stopped = lab.ask(&format!("host.stop.{}", host.id), "").await;
    let words = "successfully handled stop host";
    assert_eq!(stopped, json!({ "success": true, "message": words }));
    assert_eq!(host.wait().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_given_at_the_start_are_those_of_an_auction() {
    let lab = Lab::open("chosen").await;
    let host = lab.host(&["zone=eu-1", "disk=ssd"]).await;
    let wanted = texts(&[("zone", "eu-1"), ("disk", "ssd")]);
    let image = "file:///web.wasm";
    let bids = lab
        .client
        .perform_component_auction(image, "web", wanted.clone())
        .await;
    let bid = data(bids.unwrap().remove(0));
    assert_eq!(bid.host_id(), host.id);
    assert_eq!(bid.constraints(), &wanted);
}
