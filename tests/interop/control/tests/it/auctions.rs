//! Several hosts in one lattice: who bids, and who takes a request that any may take.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use serde_json::json;
use wasmcloud_control_interface::Link;

use crate::lab::{Lab, data, eventually, image, succeeds, texts};
use crate::trellis::Host;

async fn three_hosts(lab: &Lab) -> [Host; 3] {
    [
        lab.host(&["zone=a", "disk=ssd"]).await,
        lab.host(&["zone=b", "disk=ssd"]).await,
        lab.host(&["zone=c"]).await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_bid_by_their_labels_and_by_what_they_run() {
    let lab = Lab::open("auctions").await;
    let hosts = three_hosts(&lab).await;
    let id = |at: usize| hosts[at].id.clone();
    let client = &lab.client;
    let found = client.get_hosts().await.unwrap();
    let found: BTreeSet<_> = found
        .into_iter()
        .map(|it| data(it).id().to_owned())
        .collect();
    assert_eq!(found, BTreeSet::from([id(0), id(1), id(2)]));

    let upper = image("to_upper_upper");
    let bids = async |constraints: &[(&str, &str)]| -> BTreeSet<String> {
        let bids = client
            .perform_component_auction(&upper, "upper", texts(constraints))
            .await;
        let bids = bids.unwrap().into_iter().map(|bid| {
            let bid = data(bid);
            assert_eq!(bid.component_ref(), upper);
            assert_eq!(bid.constraints(), &texts(constraints));
            assert_eq!(serde_json::to_value(&bid).unwrap()["component_id"], "upper");
            bid.host_id().to_owned()
        });
        bids.collect()
    };
    // Each waits for all of its time, so they do it together.
    let (all, of_disk, of_both, of_other, of_none) = tokio::join!(
        bids(&[]),
        bids(&[("disk", "ssd")]),
        bids(&[("disk", "ssd"), ("zone", "b")]),
        bids(&[("zone", "d")]),
        bids(&[("colour", "")]),
    );
    assert_eq!(all, BTreeSet::from([id(0), id(1), id(2)]));
    assert_eq!(of_disk, BTreeSet::from([id(0), id(1)]));
    assert_eq!(of_both, BTreeSet::from([id(1)]));
    assert!(of_other.is_empty() && of_none.is_empty());

    // Who runs it already is silent, and so is who no longer has the label.
    lab.start_component(&hosts[1], "upper", "to_upper_upper")
        .await;
    assert_eq!(bids(&[]).await, BTreeSet::from([id(0), id(2)]));
    client.delete_label(&hosts[0].id, "disk").await.unwrap();
    assert!(bids(&[("disk", "ssd")]).await.is_empty());

    let http = "wasmcloud+builtin://http-server";
    let start = client
        .start_provider(&hosts[2].id, http, "http", None, Vec::new())
        .await;
    succeeds(start, "successfully started provider");
    let bids = client
        .perform_provider_auction(http, "http", texts(&[]))
        .await
        .unwrap();
    let bids: BTreeSet<_> = bids
        .into_iter()
        .map(|it| data(it).host_id().to_owned())
        .collect();
    assert_eq!(bids, BTreeSet::from([id(0), id(1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_any_host_may_take_is_taken_once() {
    let lab = Lab::open("shared").await;
    let _hosts = three_hosts(&lab).await;
    let client = &lab.client;
    let mut events = lab.events().await;

    // Many at once on one spec: none is lost.
    let puts = (0..24).map(|number| async move {
        let link = Link::builder()
            .source_id("cart")
            .target("kv")
            .name(&format!("link-{number}"))
            .wit_namespace("wasi")
            .wit_package("keyvalue")
            .interfaces(vec!["store".to_owned()]);
        succeeds(
            client.put_link(link.build().unwrap()).await,
            "successfully set link",
        );
        let entry = HashMap::from([("number".to_owned(), number.to_string())]);
        let put = client.put_config(&format!("entry-{number}"), entry).await;
        succeeds(put, "successfully put config");
    });
    join_all(puts).await;
    let mut takers = BTreeSet::new();
    let mut told = BTreeSet::new();
    for _ in 0..24 {
        let event = events.next("linkdef_set").await;
        let name = event["data"]["name"].as_str().unwrap().to_owned();
        assert!(told.insert(name.clone()), "{name} was told twice");
        takers.insert(event["source"].as_str().unwrap().to_owned());
    }
    assert!(takers.len() > 1, "one host took all");
    let spec = lab.stored("LATTICEDATA", "COMPONENT_cart").await.unwrap();
    let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["url"], json!(""));
    assert_eq!(spec["links"].as_array().unwrap().len(), 24);

    // Every host comes to know all of it.
    for _ in 0..12 {
        eventually("all links everywhere", async || {
            (lab.links().await.len() == 24).then_some(())
        })
        .await;
    }
    for number in 0..24 {
        let read = client.get_config(&format!("entry-{number}")).await.unwrap();
        assert_eq!(data(read)["number"], number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lattices_on_one_server_do_not_meet() {
    let lab = Lab::open("one").await;
    let _host = lab.host(&[]).await;
    let _other = Host::start(&lab.nats.url, "two", &[]).await;
    assert_eq!(lab.client.get_hosts().await.unwrap().len(), 1);
}
