//! A lattice as people use it: several hosts on a real NATS server, or one host alone, commanded from another
//! terminal.

mod calls;
mod commands;
mod faults;
mod metrics;
mod mistakes;

use std::net::SocketAddr;

use serde_json::Value;
use trellis_tests::{Client, Host, Load, Site, wait_until};

fn hosts(site: &Site) -> Vec<Value> {
    site.ask(&["get", "hosts"])["hosts"]
        .as_array()
        .unwrap()
        .clone()
}

fn components(site: &Site) -> Vec<Value> {
    let told = site.ask(&["get", "components"]);
    told["components"].as_array().unwrap().clone()
}

/// The ids of all hosts on which the component `id` takes calls.
fn hosts_of(site: &Site, id: &str) -> Vec<String> {
    let mut hosts: Vec<String> = components(site)
        .iter()
        .filter(|it| it["id"] == id && it["ready"] == true)
        .map(|it| it["host_id"].as_str().unwrap().to_owned())
        .collect();
    hosts.sort();
    hosts
}

/// Tells whether somebody listens and answers as wanted.
fn is_answered(address: SocketAddr, path: &str) -> bool {
    let client = Client::connect(address, "any");
    let answer = client.and_then(|mut client| client.get(path));
    answer.is_ok_and(|it| it.status == 200)
}

/// Where the host told that its metrics are.
fn metrics_of(host: &Host) -> SocketAddr {
    let url = host.report["metrics"].as_str().unwrap();
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/metrics");
    address.unwrap().parse().unwrap()
}

/// Lets the component `web` of the example call `target`, which changes a text to upper case.
fn link_web(site: &Site, target: &str) {
    let link = ["link", "put", "web", target, "trellis-examples", "text"];
    site.ask(&[&link[..], &["--interface", "upper"]].concat());
}

/// Links `web` to `target` and has the first host answer HTTP with it; returns where.
fn serve_web(site: &Site, target: &str) -> SocketAddr {
    link_web(site, target);
    let address = site.serve(0, "web");
    wait_until("the link is bound", || is_answered(address, "/bound"));
    address
}

/// Requests for `path`, so many in a second over so many connections.
fn load(address: SocketAddr, path: &str, rate: u32, connections: u32) -> Load {
    Load {
        address,
        host: "any".to_owned(),
        path: path.to_owned(),
        rate,
        connections,
    }
}
