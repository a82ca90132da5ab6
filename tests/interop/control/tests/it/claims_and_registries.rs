//! Claims as hosts of 1.x store them, and credentials for registries.

use std::collections::HashMap;

use serde_json::json;
use wasmcloud_control_interface::RegistryCredential;

use crate::lab::{Lab, data, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_told_as_flat_maps() {
    let (lab, _host) = Lab::with_host("claimed").await;
    assert!(data(lab.client.get_claims().await.unwrap()).is_empty());
    let bucket = lab.bucket("LATTICEDATA").await;
    for (key, value) in [
        (
            "CLAIMS_MCART",
            r#"{"call_alias":"","issuer":"ACME","name":"cart","revision":"3","subject":"MCART","tags":["demo","shop"],"version":"1.2.0"}"#,
        ),
        (
            "CLAIMS_VKV",
            r#"{"issuer":"ACME","name":"kv","revision":"4","subject":"VKV","version":"0.1.0","config_schema":"{}"}"#,
        ),
    ] {
        bucket.put(key, value.into()).await.unwrap();
    }
    let told = eventually("two claims", async || {
        let claims = data(lab.client.get_claims().await.unwrap());
        (claims.len() == 2).then_some(claims)
    });
    let mut told = told.await;
    told.sort_by_key(|it| it["sub"].clone());
    let expected = json!([
        {
            "call_alias": "", "iss": "ACME", "issuer": "ACME", "name": "cart", "rev": "3", "revision": "3",
            "sub": "MCART", "subject": "MCART", "tags": "demo,shop", "version": "1.2.0",
        },
        {
            "iss": "ACME", "issuer": "ACME", "name": "kv", "rev": "4", "revision": "4", "sub": "VKV",
            "subject": "VKV", "version": "0.1.0", "config_schema": "{}",
        },
    ]);
    assert_eq!(serde_json::to_value(told).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_taken_and_never_shown() {
    let (lab, host) = Lab::with_host("registered").await;
    let (user, token) = (
        RegistryCredential::from_username_password("bob", "hunter2-of-bob", "oci"),
        RegistryCredential::from_token("hunter2-as-token", "oci"),
    );
    let registries = HashMap::from([
        ("reg.local:5000".to_owned(), user),
        ("other.local".to_owned(), token),
    ]);
    // The client only publishes, and speaks for the hosts.
    let put = lab.client.put_registries(registries.clone()).await.unwrap();
    assert!(put.succeeded());
    let payload = serde_json::to_vec(&registries).unwrap();
    let put = lab.ask("registry.put", payload).await;
    let words = "successfully put registries";
    assert_eq!(put, json!({ "success": true, "message": words }));
    let bad = lab
        .ask("registry.put", r#"{"reg.local":{"password":["hunter2"]}}"#)
        .await;
    assert_eq!(bad["success"], false);
    assert!(!bad.to_string().contains("hunter2"), "{bad}");
    assert!(!host.log().contains("hunter2"), "{}", host.log());
}
