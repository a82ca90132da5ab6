//! Components: started, scaled, updated and stopped.

use serde_json::json;

use crate::lab::{Lab, data, eventually, fails, image, succeeds, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_started_scaled_and_stopped() {
    let (lab, host) = Lab::with_host("scaled").await;
    let client = &lab.client;
    let mut events = lab.events().await;
    let upper = image("to_upper_upper");
    let annotations = texts(&[("wasmcloud.dev/appspec", "shop")]);
    let scale = async |count, annotations| {
        client
            .scale_component(
                &host.id,
                &upper,
                "upper",
                count,
                annotations,
                Vec::new(),
                false,
            )
            .await
    };

    succeeds(scale(3, Some(annotations.clone())).await, "");
    let told = events.next("component_scaled").await;
    assert_eq!(told["source"], host.id.as_str());
    let mut expected = json!({
        "annotations": annotations,
        "host_id": host.id,
        "image_ref": upper,
        "max_instances": 3,
        "component_id": "upper",
    });
    assert_eq!(told["data"], expected);

    let inventory = lab.inventory(&host).await;
    let [component] = &inventory.components()[..] else {
        panic!("{inventory:?}");
    };
    assert_eq!(component.id(), "upper");
    assert_eq!(component.image_ref(), upper);
    assert_eq!(component.name(), None);
    assert_eq!(component.annotations(), Some(&annotations));
    assert_eq!(component.revision(), 0);
    assert_eq!(component.max_instances(), 3);
    assert_eq!(component.limits(), None);
    // As hosts of 1.x write it, to the byte.
    let written = lab.ask(&format!("host.get.{}", host.id), "").await;
    let component = &written["response"]["components"][0];
    assert!(component["limits"].is_null() && component.get("limits").is_some());
    let spec = eventually("a spec", async || {
        lab.stored("LATTICEDATA", "COMPONENT_upper").await
    });
    assert_eq!(spec.await, format!(r#"{{"url":"{upper}","links":[]}}"#));

    // Asking for what is so already changes nothing, and is told.
    for count in [3, 3, 7] {
        succeeds(scale(count, Some(annotations.clone())).await, "");
        expected["max_instances"] = json!(count);
        assert_eq!(events.next("component_scaled").await["data"], expected);
    }
    let components = lab.inventory(&host).await;
    assert_eq!(components.components()[0].max_instances(), 7);

    succeeds(scale(0, Some(annotations.clone())).await, "");
    expected["max_instances"] = json!(0);
    assert_eq!(events.next("component_scaled").await["data"], expected);
    assert!(lab.inventory(&host).await.components().is_empty());
    // Specs outlive what they are of.
    assert!(lab.stored("LATTICEDATA", "COMPONENT_upper").await.is_some());

    // Stopping what does not run is no mistake.
    succeeds(scale(0, None).await, "");
    let told = events.next("component_scaled").await;
    assert_eq!(told["data"]["max_instances"], 0);
    assert!(events.so_far(&lab).await.is_empty());
}

/// The client of 3.0 cannot send limits; other tools do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_told_in_the_inventory() {
    let (lab, host) = Lab::with_host("limited").await;
    let mut events = lab.events().await;
    let limits = json!({ "max_memory_limit": "33554432", "max_execution_time": "7" });
    let command = json!({
        "component_ref": image("to_upper_upper"), "component_id": "upper", "count": 2, "host_id": host.id,
        "component_limits": limits, "config": [], "allow_update": false,
    });
    let verb = format!("component.scale.{}", host.id);
    let answer = lab.ask(&verb, command.to_string()).await;
    assert_eq!(answer, json!({ "success": true, "message": "" }));
    events.next("component_scaled").await;
    let inventory = lab.inventory(&host).await;
    let told = inventory.components()[0].limits();
    assert_eq!(serde_json::to_value(told).unwrap(), limits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_updated() {
    let (lab, host) = Lab::with_host("updated").await;
    let client = &lab.client;
    let copy = tempfile::TempDir::new().unwrap();
    let newer = copy.path().join("newer.wasm");
    std::fs::copy(crate::trellis::guest("to_upper_upper"), &newer).unwrap();
    let (old, new) = (
        image("to_upper_upper"),
        format!("file://{}", newer.display()),
    );
    lab.start_component(&host, "upper", "to_upper_upper").await;
    let mut events = lab.events().await;

    let answer = client
        .update_component(&host.id, "upper", &old, None)
        .await
        .unwrap();
    assert!(answer.succeeded());
    assert!(
        answer.message().contains("already updated"),
        "{}",
        answer.message()
    );

    let answer = client
        .update_component(&host.id, "upper", &new, None)
        .await
        .unwrap();
    assert!(answer.succeeded());
    for word in ["upper", &old, &new] {
        assert!(answer.message().contains(word), "{}", answer.message());
    }
    let told = events.next("component_scaled").await;
    assert_eq!(told["data"]["image_ref"], new.as_str());
    assert_eq!(told["data"]["max_instances"], 10);
    let inventory = lab.inventory(&host).await;
    assert_eq!(inventory.components()[0].image_ref(), new);
    assert_eq!(inventory.components()[0].max_instances(), 10);
    // The spec keeps the image of the first start.
    let spec = lab.stored("LATTICEDATA", "COMPONENT_upper").await;
    assert_eq!(spec, Some(format!(r#"{{"url":"{old}","links":[]}}"#)));

    let refused = client.update_component(&host.id, "lower", &new, None).await;
    assert_eq!(fails(refused), "component lower not found");
    assert!(events.so_far(&lab).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_with_another_image_updates_only_where_that_is_allowed() {
    let (lab, host) = Lab::with_host("allowed").await;
    let client = &lab.client;
    let copy = tempfile::TempDir::new().unwrap();
    let newer = copy.path().join("newer.wasm");
    std::fs::copy(crate::trellis::guest("to_upper_upper"), &newer).unwrap();
    let (old, new) = (
        image("to_upper_upper"),
        format!("file://{}", newer.display()),
    );
    lab.start_component(&host, "upper", "to_upper_upper").await;
    let mut events = lab.events().await;
    for (allowed, count, expected) in [(false, 4, &old), (true, 5, &new)] {
        let answer = client
            .scale_component(&host.id, &new, "upper", count, None, Vec::new(), allowed)
            .await
            .unwrap();
        assert!(answer.succeeded());
        assert!(answer.message().contains(&old), "{}", answer.message());
        let told = events.next("component_scaled").await;
        assert_eq!(told["data"]["image_ref"], expected.as_str());
        assert_eq!(told["data"]["max_instances"], count);
        let inventory = lab.inventory(&host).await;
        assert_eq!(inventory.components()[0].image_ref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_is_accepted_and_then_told() {
    let (lab, host) = Lab::with_host("failed").await;
    let mut events = lab.events().await;
    let folder = tempfile::TempDir::new().unwrap();
    let text = folder.path().join("text.wasm");
    std::fs::write(&text, "no component").unwrap();
    let text = format!("file://{}", text.display());
    let absent = format!("file://{}/absent.wasm", folder.path().display());
    let upper = image("to_upper_upper");
    for (image, config, words) in [
        (text.as_str(), vec![], "text.wasm"),
        (absent.as_str(), vec![], "absent.wasm"),
        (
            "registry.invalid/shop/cart:1.0.0",
            vec![],
            "registry.invalid",
        ),
        (upper.as_str(), vec!["unset".to_owned()], "unset"),
    ] {
        let annotations = texts(&[("a", "b")]);
        let started = lab
            .client
            .scale_component(&host.id, image, "cart", 2, Some(annotations), config, false)
            .await;
        succeeds(started, "");
        let mut told = events.next("component_scale_failed").await["data"].take();
        let error = told["error"].take();
        let error = error.as_str().unwrap();
        assert!(error.contains(words), "{image}: {error}");
        let expected = json!({
            "annotations": { "a": "b" },
            "component_id": "cart",
            "host_id": host.id,
            "image_ref": image,
            "max_instances": 2,
            "error": null,
        });
        assert_eq!(told, expected);
    }
    assert!(lab.inventory(&host).await.components().is_empty());
    assert!(events.so_far(&lab).await.is_empty());
    // Nothing of it stands in the way of a good one.
    lab.start_component(&host, "cart", "to_upper_upper").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_and_its_http_server_answer() {
    let (lab, host) = Lab::with_host("answers").await;
    lab.start_component(&host, "hello", "http_hello").await;
    let address = lab.serve_http(&host, "hello").await;
    let answer = eventually("an answer", async || crate::http::get(&address, "/").await);
    assert!(answer.await.contains("ello"));
    let inventory = lab.inventory(&host).await;
    assert_eq!(inventory.components()[0].id(), "hello");
    assert_eq!(inventory.providers()[0].id(), "http-of-hello");
    let bids = lab
        .client
        .perform_component_auction("file:///a", "hello", texts(&[]))
        .await;
    assert!(bids.unwrap().is_empty());
    let bids = lab
        .client
        .perform_component_auction("file:///a", "other", texts(&[]))
        .await;
    assert_eq!(data(bids.unwrap().remove(0)).host_id(), host.id);
}
