//! A provider process on the published SDK, in a lattice of ours.

use std::collections::HashMap;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use wasmcloud_control_interface::Link;

use crate::http;
use crate::lab::{Lab, PATIENCE, eventually, succeeds};
use crate::trellis::Host;

/// The provider, started as a host of 1.x starts one. Killed when dropped.
struct Provider {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start(lab: &Lab, host: &Host, id: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_upper_provider"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Without keys, as before 1.1: it hears of links under its id.
        let data = json!({
            "host_id": host.id, "lattice_rpc_prefix": lab.lattice, "link_name": "default",
            "lattice_rpc_url": lab.nats.url, "provider_key": id, "env_values": {},
            "instance_id": "7d0f5d0e-0000-4000-8000-000000000001", "link_definitions": [],
            "cluster_issuers": [], "config": {}, "secrets": {}, "structured_logging": false,
            "log_level": "info", "otel_config": {
                "enable_observability": false, "protocol": "Http", "additional_ca_paths": [], "trace_level": "info",
            },
        });
        let line = format!("{}\r\n", BASE64.encode(data.to_string()));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(line.as_bytes()).await.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut provider = Self { child, lines };
        provider.says("ready").await;
        provider
    }

    /// Waits for a line.
    async fn says(&mut self, expected: &str) {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.expect("it takes too long").unwrap();
            if line.expect("it ended") == expected {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_ours_calls_a_provider_of_theirs() {
    let (lab, host) = Lab::with_host("external").await;
    let client = &lab.client;
    let mut provider = Provider::start(&lab, &host, "upper").await;
    lab.start_component(&host, "web", "to_upper_http").await;
    let address = lab.serve_http(&host, "web").await;

    // The link reaches both: our component by the state, their provider by a message, with values for names.
    let config = HashMap::from([("prefix".to_owned(), "SDK".to_owned())]);
    client.put_config("upper-settings", config).await.unwrap();
    let link = Link::builder()
        .source_id("web")
        .target("upper")
        .name("default")
        .wit_namespace("trellis-examples")
        .wit_package("text")
        .interfaces(vec!["upper".to_owned()])
        .target_config(vec!["upper-settings".to_owned()]);
    succeeds(
        client.put_link(link.build().unwrap()).await,
        "successfully set link",
    );
    provider.says("linked web").await;
    let answer = eventually("an answer", async || http::get(&address, "/loud").await).await;
    assert!(answer.contains("SDK default LOUD"), "{answer}");
    for number in 0..200 {
        let answer = http::get(&address, &format!("/call-{number}"))
            .await
            .unwrap();
        assert!(
            answer.contains(&format!("SDK default CALL-{number}")),
            "{answer}"
        );
    }

    let health = lab
        .connection
        .request("wasmbus.rpc.external.upper.health", "".into());
    let health = timeout(PATIENCE, health).await.unwrap().unwrap();
    let health: serde_json::Value = serde_json::from_slice(&health.payload).unwrap();
    assert_eq!(health["healthy"], true);

    let deleted = client.delete_link("web", "default", "trellis-examples", "text");
    succeeds(deleted.await, "successfully deleted link");
    provider.says("unlinked web").await;
    eventually("a failure", async || {
        http::get(&address, "/loud").await.is_none().then_some(())
    })
    .await;

    let command = json!({ "host_id": host.id }).to_string();
    let shutdown = "wasmbus.rpc.external.upper.default.shutdown";
    let answer = lab.connection.request(shutdown, command.into());
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.payload, "shutting down");
    assert!(
        timeout(PATIENCE, provider.child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_of_theirs_calls_a_component_of_ours() {
    let (lab, host) = Lab::with_host("called").await;
    let client = &lab.client;
    let mut provider = Provider::start(&lab, &host, "caller").await;
    lab.start_component(&host, "upper", "to_upper_upper").await;
    for name in ["first", "second"] {
        let config = HashMap::from([("text".to_owned(), format!("the {name} call"))]);
        client.put_config(name, config).await.unwrap();
        let link = Link::builder()
            .source_id("caller")
            .target("upper")
            .name(name)
            .wit_namespace("trellis-examples")
            .wit_package("text")
            .interfaces(vec!["upper".to_owned()])
            .source_config(vec![name.to_owned()]);
        succeeds(
            client.put_link(link.build().unwrap()).await,
            "successfully set link",
        );
        let answer = format!("answered THE {} CALL", name.to_uppercase());
        provider.says(&answer).await;
    }
}
