//! A lattice that hosts of 1.x wrote, taken over by ours.

use std::collections::HashMap;

use async_nats::jetstream::{self, kv};
use serde_json::{Value, json};
use wasmcloud_control_interface::Link;

use crate::http;
use crate::lab::{Lab, data, eventually, image, succeeds};
use crate::nats_server::NatsServer;
use crate::trellis::Host;

/// Makes both buckets as 1.x does, and writes `pairs` into them.
async fn seed(lab: &Lab, pairs: &[(&str, &str, String)]) {
    let jetstream = jetstream::new(lab.connection.clone());
    for kind in ["LATTICEDATA", "CONFIGDATA"] {
        let config = kv::Config {
            bucket: format!("{kind}_{}", lab.lattice),
            ..kv::Config::default()
        };
        let bucket = jetstream.create_key_value(config).await.unwrap();
        for (_, key, value) in pairs.iter().filter(|it| it.0 == kind) {
            bucket.put(*key, value.clone().into()).await.unwrap();
        }
    }
}

fn link(
    source: &str,
    target: &str,
    package: (&str, &str),
    interface: &str,
    config: &[&str],
) -> Value {
    json!({
        "source_id": source, "target": target, "name": "default", "wit_namespace": package.0,
        "wit_package": package.1, "interfaces": [interface], "source_config": config, "target_config": [],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_config_and_claims_of_1_x_are_those_of_ours() {
    let lab = Lab::open("inherited").await;
    let cart = concat!(
        r#"{"url":"reg.local/cart:1.2.0","links":[{"source_id":"shop-cart","target":"shop-kv","name":"default","#,
        r#""wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"],"source_config":[],"#,
        r#""target_config":["kv-settings"]}]}"#,
    );
    // Of the time before names and configs of links; and what only old hosts wrote.
    let older = concat!(
        r#"{"url":"","links":[{"source_id":"shop-web","target":"shop-cart","wit_namespace":"shop","#,
        r#""wit_package":"cart","interfaces":["items","totals"]}]}"#,
    );
    let claims = concat!(
        r#"{"call_alias":"","issuer":"ACME","name":"cart","revision":"3","subject":"MCART","#,
        r#""tags":["demo"],"version":"1.2.0"}"#,
    );
    seed(
        &lab,
        &[
            ("LATTICEDATA", "COMPONENT_shop-cart", cart.to_owned()),
            ("LATTICEDATA", "COMPONENT_shop-web", older.to_owned()),
            (
                "LATTICEDATA",
                "COMPONENT_shop-kv",
                r#"{"url":"reg.local/kv:1"}"#.to_owned(),
            ),
            ("LATTICEDATA", "CLAIMS_MCART", claims.to_owned()),
            ("LATTICEDATA", "LINKDEF_old", "{}".to_owned()),
            ("LATTICEDATA", "REFMAP_old", "reg.local/cart".to_owned()),
            (
                "CONFIGDATA",
                "kv-settings",
                r#"{"bucket":"carts"}"#.to_owned(),
            ),
            (
                "CONFIGDATA",
                "SECRET_kv",
                r#"{"backend":"vault","key":"kv"}"#.to_owned(),
            ),
        ],
    )
    .await;
    let _host = lab.host(&[]).await;

    let mut links = lab.links().await;
    links.sort_by(|a, b| a.source_id().cmp(b.source_id()));
    let stored: Value = serde_json::from_str(cart).unwrap();
    let stored: Link = serde_json::from_value(stored["links"][0].clone()).unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(links[0], stored);
    assert_eq!(
        (links[1].name(), links[1].interfaces().len()),
        ("default", 2)
    );
    let config = lab.client.get_config("kv-settings").await.unwrap();
    assert_eq!(data(config)["bucket"], "carts");
    let claims = data(lab.client.get_claims().await.unwrap());
    assert_eq!((claims.len(), &*claims[0]["rev"]), (1, "3"));

    let shown = lab.trellis(&["get", "links"]).await;
    let shown = shown["links"].as_array().unwrap();
    let pairs: Vec<_> = shown
        .iter()
        .map(|it| (&it["source_id"], &it["target"]))
        .collect();
    let (cart, kv, web) = (json!("shop-cart"), json!("shop-kv"), json!("shop-web"));
    assert_eq!(pairs, [(&cart, &kv), (&web, &cart)]);
    // References to secrets are not among what a person sees as config.
    let shown = lab.trellis(&["get", "config"]).await;
    assert_eq!(shown["names"], json!(["kv-settings"]));
    let shown = lab
        .trellis(&["config", "get", "kv-settings"])
        .await
        .to_string();
    assert!(shown.contains("carts"), "{shown}");

    // A change to a spec of 1.x keeps what 1.x put there.
    let more = link(
        "shop-cart",
        "shop-bus",
        ("wasmcloud", "messaging"),
        "consumer",
        &[],
    );
    let more: Link = serde_json::from_value(more).unwrap();
    succeeds(lab.client.put_link(more).await, "successfully set link");
    let spec = lab
        .stored("LATTICEDATA", "COMPONENT_shop-cart")
        .await
        .unwrap();
    let spec: Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["url"], "reg.local/cart:1.2.0");
    assert_eq!(spec["links"].as_array().unwrap().len(), 2);
}

/// Web and upper case are linked by what 1.x stored, and linked anew by what a host of 1.x writes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_follows_the_state_that_1_x_writes() {
    let lab = Lab::open("followed").await;
    let text = ("trellis-examples", "text");
    let spec = |links: &[Value]| json!({ "url": "reg.local/web:1", "links": links }).to_string();
    let to_upper = spec(&[link("web", "upper", text, "upper", &[])]);
    seed(&lab, &[("LATTICEDATA", "COMPONENT_web", to_upper.clone())]).await;
    let host = lab.host(&[]).await;
    lab.start_component(&host, "upper", "to_upper_upper").await;
    lab.start_component(&host, "web", "to_upper_http").await;
    let address = lab.serve_http(&host, "web").await;
    let asked = async || http::get(&address, "/loud").await;
    let works = async || eventually("an answer", async || asked().await).await;
    assert!(works().await.contains("LOUD"));

    let bucket = lab.bucket("LATTICEDATA").await;
    let nowhere = spec(&[]);
    bucket.put("COMPONENT_web", nowhere.into()).await.unwrap();
    eventually("a failure", async || asked().await.is_none().then_some(())).await;
    assert!(lab.links().await.iter().all(|it| it.source_id() != "web"));
    bucket.put("COMPONENT_web", to_upper.into()).await.unwrap();
    assert!(works().await.contains("LOUD"));
    // The start did not overwrite the url that 1.x wrote.
    let stored = lab.stored("LATTICEDATA", "COMPONENT_web").await.unwrap();
    assert!(stored.contains("reg.local/web:1"), "{stored}");
    assert_eq!(
        lab.inventory(&host).await.components()[0].image_ref(),
        image("to_upper_upper")
    );
}

/// Otherwise a host of 1.x that starts at the same time could not open what ours made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_made_as_1_x_makes_them() {
    let (lab, _host) = Lab::with_host("made").await;
    let jetstream = jetstream::new(lab.connection.clone());
    for kind in ["LATTICEDATA", "CONFIGDATA"] {
        let bucket = format!("{kind}_made");
        let mut stream = jetstream.get_stream(format!("KV_{bucket}")).await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        assert_eq!(config.subjects, [format!("$KV.{bucket}.>")]);
        assert_eq!(
            (config.max_messages_per_subject, config.num_replicas),
            (1, 1)
        );
        assert_eq!((config.max_bytes, config.max_age.as_secs()), (-1, 0));
        assert!(config.allow_direct && config.allow_rollup && config.deny_delete);
        let config = kv::Config {
            bucket,
            ..kv::Config::default()
        };
        jetstream.create_key_value(config).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_may_be_in_a_domain() {
    let lab = Lab::on(NatsServer::in_domain("edge"), "leaf").await;
    let mut events = lab.events().await;
    let options = ["--js-domain", "edge"];
    let host = Host::with_options(&lab.nats.url, lab.lattice, &options).await;
    events.next("host_started").await;
    let found = data(lab.client.get_hosts().await.unwrap().remove(0));
    assert_eq!((found.id(), found.js_domain()), (&*host.id, Some("edge")));
    let entry = HashMap::from([("a".to_owned(), "b".to_owned())]);
    let put = lab.client.put_config("entry", entry).await;
    succeeds(put, "successfully put config");
    let jetstream = jetstream::with_domain(lab.connection.clone(), "edge");
    let bucket = jetstream.get_key_value("CONFIGDATA_leaf").await.unwrap();
    let stored = bucket.get("entry").await.unwrap();
    assert_eq!(stored.as_deref(), Some(&br#"{"a":"b"}"#[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_version_can_read_harms_nothing() {
    let lab = Lab::open("spoiled").await;
    let good = json!({ "url": "", "links": [link("a", "b", ("c", "d"), "e", &[])] }).to_string();
    seed(
        &lab,
        &[
            ("LATTICEDATA", "COMPONENT_bad", "{".to_owned()),
            ("LATTICEDATA", "COMPONENT_empty", String::new()),
            ("LATTICEDATA", "CLAIMS_bad", "[]".to_owned()),
            (
                "LATTICEDATA",
                "CLAIMS_other",
                r#"{"issuer":"A","subject":"ME"}"#.to_owned(),
            ),
            ("LATTICEDATA", "nothing", "1".to_owned()),
            ("LATTICEDATA", "COMPONENT_a", good),
            ("CONFIGDATA", "bad", r#"{"port":80}"#.to_owned()),
            ("CONFIGDATA", "good", r#"{"port":"80"}"#.to_owned()),
        ],
    )
    .await;
    let _host = lab.host(&[]).await;
    assert_eq!(lab.links().await.len(), 1);
    assert_eq!(
        data(lab.client.get_config("good").await.unwrap())["port"],
        "80"
    );
    let bad = lab.client.get_config("bad").await.unwrap();
    assert!(
        !bad.succeeded() && bad.message().contains("bad"),
        "{}",
        bad.message()
    );
}
