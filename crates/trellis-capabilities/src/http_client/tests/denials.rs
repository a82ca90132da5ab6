//! Everything that must not get through, counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, Request, Uri};
use trellis_core::ErrorClass;

use super::server::Server;
use super::{Script, client, config, empty, get};
use crate::http_client::{ClientError, Denial, HttpClient, Timeouts};

/// What the client under test may reach, apart from the server on loopback, which it may not.
const ALLOW: &str = "api.example.com, *.example.org:8443, https://secure.example.net, \
                     10.1.0.0/16:5432, http://192.168.7.7:9000, [fd00::/8]:443, 169.254.0.0/16";

/// Ways to this machine, to inner networks, to the credentials of clouds, and past single entries.
/// `PORT` is that of a server which counts what reaches it.
const DENIED: &[&str] = &[
    // Loopback, spelled every way.
    "http://127.0.0.1:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://sub.localhost:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.255.255.254:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7F.0.0.1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://017700000001:PORT/",
    "http://127.0.0.01:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://①②⑦.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    // The credentials of clouds: the network 169.254.0.0/16 is listed, but no such address is.
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://metadata.google.internal/",
    "http://100.100.100.200/",
    "http://[fe80::1]/",
    // User information and other tricks with the authority of a listed name.
    "http://api.example.com@127.0.0.1:PORT/",
    "http://api.example.com:80@127.0.0.1:PORT/",
    "http://user:password@api.example.com/",
    "http://127.0.0.1:PORT#@api.example.com/",
    "http://127.0.0.1:PORT?@api.example.com/",
    "http://127.0.0.1:PORT\\@api.example.com/",
    "http://api.example.com\\@127.0.0.1:PORT/",
    "http://api.example.com%00.evil.test/",
    "http://api.example.com%2eevil.test/",
    "http:///127.0.0.1:PORT/",
    // Names that look like listed ones.
    "http://example.com/",
    "http://evil-api.example.com/",
    "http://api.example.com.evil.test/",
    "http://xapi.example.com/",
    "http://api-example.com/",
    "https://example.org:8443/",
    "https://evilexample.org:8443/",
    "https://-.example.org:8443/",
    "https://.example.org:8443/",
    "https://a..example.org:8443/",
    "https://*.example.org:8443/",
    // Listed names and addresses with another scheme or port.
    "http://api.example.com:8080/",
    "https://api.example.com:80/",
    "http://api.example.com:443/",
    "https://a.example.org/",
    "http://secure.example.net/",
    "http://secure.example.net:443/",
    "https://192.168.7.7:9000/",
    "http://192.168.7.7/",
    "http://192.168.7.8:9000/",
    "http://10.1.0.1:5433/",
    "http://10.2.0.1:5432/",
    "http://[::ffff:10.2.0.1]:5432/",
    "https://[fe00::1]/",
    // Ports and schemes that are none.
    "http://api.example.com:0/",
    "http://api.example.com:65616/",
    "http://api.example.com:+80/",
    "http://api.example.com:8e1/",
    "ftp://api.example.com/",
    "file:///etc/passwd",
    "ws://api.example.com/",
    "//api.example.com/",
    "/relative",
    "*",
    "",
];

#[tokio::test]
async fn nothing_gets_past_the_list() {
    let server = Server::start().await;
    // Should a name get past the list, it would be resolved to the server.
    let resolver = Script::new(&[&["127.0.0.1"]]);
    let mut config = config(ALLOW);
    config.resolver = resolver.clone();
    let client = HttpClient::new(config);
    let mut denied = 0;
    for case in DENIED {
        let text = case.replace("PORT", &server.port().to_string());
        // What cannot even be written as a URI never leaves the guest's side.
        let Ok(uri) = text.parse::<Uri>() else {
            denied += 1;
            continue;
        };
        let request = Request::get(uri).body(empty()).unwrap();
        match client.send(request, Timeouts::default()).await {
            Err(error) => assert_eq!(error.class(), ErrorClass::Denied, "{text}: {error}"),
            Ok(_) => panic!("{text} got through"),
        }
        denied += 1;
    }
    assert_eq!(denied, DENIED.len());
    assert!(denied >= 60);
    assert_eq!(
        resolver.asked.load(Ordering::Relaxed),
        0,
        "a denied name was resolved"
    );
    assert_eq!((server.accepted(), server.requests()), (0, 0));
}

#[tokio::test]
async fn a_denial_says_what_to_add() {
    let client = client("");
    let error = get(&client, "https://api.example.com/v1")
        .await
        .err()
        .unwrap();
    let ClientError::Denied(denial) = error else {
        panic!("{error}")
    };
    assert_eq!(
        denial.to_string(),
        "no entry of the link's allow-list grants https://api.example.com:443"
    );
    assert_eq!(
        denial.hint(),
        "add it to the `allow` of the link's target config: `https://api.example.com:443`"
    );
}

#[tokio::test]
async fn tunnels_are_refused() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let mut request = Request::get(server.uri("/")).body(empty()).unwrap();
    *request.method_mut() = Method::CONNECT;
    let error = client
        .send(request, Timeouts::default())
        .await
        .err()
        .unwrap();
    assert_eq!(error.wasi_name(), "HTTP-request-method-invalid");
    assert_eq!(server.accepted(), 0);
}

/// Sends one request to `name.test`, which `resolver` resolves, and returns why it was denied.
async fn try_name(server: &Server, allow: &str, resolver: &Arc<Script>) -> Result<(), Denial> {
    let allow = allow.replace("PORT", &server.port().to_string());
    let mut config = config(&allow);
    config.resolver = resolver.clone();
    let uri = format!("http://name.test:{}/", server.port());
    match get(&HttpClient::new(config), &uri).await {
        Ok(_) => Ok(()),
        Err(ClientError::Denied(denial)) => Err(denial),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_granted_name_does_not_lead_inside() {
    let server = Server::start().await;
    let inner = [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "64:ff9b::7f00:1",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
    ];
    for address in inner {
        for allow in [
            "name.test:PORT",
            "*:*",
            "*.test:PORT",
            "10.9.0.0/16:*, name.test:*",
        ] {
            let denial = try_name(&server, allow, &Script::new(&[&[address]]))
                .await
                .unwrap_err();
            assert!(
                matches!(denial, Denial::Address { .. }),
                "{address}: {denial}"
            );
        }
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn private_names_and_listed_addresses_do() {
    let server = Server::start().await;
    let here = &["127.0.0.1"];
    for allow in [
        "private+name.test:PORT",
        "private+*.test:*",
        "name.test:PORT, 127.0.0.1:PORT",
    ] {
        assert_eq!(
            try_name(&server, allow, &Script::new(&[here])).await,
            Ok(()),
            "{allow}"
        );
    }
    // An address alone does not grant the names that resolve to it, nor does another port of it.
    for allow in ["127.0.0.1:PORT", "name.test:PORT, 127.0.0.1:1"] {
        assert!(
            try_name(&server, allow, &Script::new(&[here]))
                .await
                .is_err(),
            "{allow}"
        );
    }
    // Restricted addresses need more than `private+`.
    let clouds = Script::new(&[&["169.254.169.254"]]);
    let denial = try_name(&server, "private+name.test:PORT", &clouds)
        .await
        .unwrap_err();
    assert_eq!(
        denial.hint(),
        "if this is meant, add the address itself to `allow`: `169.254.169.254`"
    );
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn forbidden_addresses_among_granted_ones_are_left_out() {
    let server = Server::start().await;
    let resolver = Script::new(&[&["169.254.169.254", "10.0.0.1", "127.0.0.1"]]);
    let allow = "name.test:PORT, 127.0.0.1:PORT";
    assert_eq!(try_name(&server, allow, &resolver).await, Ok(()));
    assert_eq!(server.accepted(), 1);
}

// Only there is all of 127.0.0.0/8 this machine without further ado.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_changes_after_the_check_changes_nothing() {
    let granted = Server::start().await;
    let port = granted.port();
    let forbidden = Server::start_at(&format!("127.0.0.2:{port}"), None).await;
    let resolver = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let mut config = config(&format!("rebind.test:{port}, 127.0.0.1:{port}"));
    config.resolver = resolver.clone();
    let client = HttpClient::new(config);

    // Resolved once; what was checked is what is connected to.
    let uri = format!("http://rebind.test:{port}/close");
    assert_eq!(super::read(&client, &uri).await.unwrap(), "bye");
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 1);
    // The next connection is checked again.
    let error = get(&client, &uri).await.err().unwrap();
    assert_eq!(error.wasi_name(), "destination-IP-prohibited");
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 2);
    assert_eq!((granted.requests(), forbidden.accepted()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_handed_to_the_guest() {
    let server = Server::start().await;
    let client = client(&server.address.to_string());
    let response = get(&client, &server.uri("/redirect")).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/elsewhere");
    assert_eq!(server.requests(), 1);
}
