//! What an operator says of the gateway, by flag, environment and context, is what clients meet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use trellis_tests::{Busy, Trellis, guest};

/// Far below the 30 s that a host waits unless told otherwise.
const SOON: Duration = Duration::from_secs(10);

/// Sends one request of these header lines and this body, and returns the whole answer.
fn ask(address: SocketAddr, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[test]
fn flag_environment_and_context_are_what_clients_meet() {
    let trellis = Trellis::new().env("TRELLIS_HTTP_HEADER_MAX", "2KiB");
    let put = ["context", "put", "shop", "--http-trust", "127.0.0.0/8"];
    let settings = trellis.home().join("settings");
    let settings = settings.to_str().unwrap();
    let kept = Trellis::new()
        .env("TRELLIS_CONFIG", settings)
        .args(put)
        .run();
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    let host = trellis
        .env("TRELLIS_CONFIG", settings)
        .arg(guest("misbehaver"))
        .args(["--http-body-max", "1KiB", "--context", "shop"])
        .up();
    let address = host.address();
    assert_eq!(
        status(&ask(address, "/echo", "", &"b".repeat(1_024))),
        "200"
    );
    assert_eq!(
        status(&ask(address, "/echo", "", &"b".repeat(1_025))),
        "413"
    );
    let header = |bytes| format!("x-fat: {}\r\n", "f".repeat(bytes));
    assert_eq!(status(&ask(address, "/", &header(1_500), "")), "200");
    assert_eq!(status(&ask(address, "/", &header(2_500), "")), "431");
    let counted = |headers: &str| {
        let answer = ask(address, "/echo", headers, "").to_ascii_lowercase();
        let (_, count) = answer.split_once("x-header-count: ").unwrap();
        count.lines().next().unwrap().parse::<u32>().unwrap()
    };
    let forwarded = "x-forwarded-for: 10.1.2.3\r\n";
    assert_eq!(counted(forwarded), counted("") + 1);
}

#[test]
fn forwarding_headers_of_a_stranger_are_taken_off() {
    let host = Trellis::new().arg(guest("misbehaver")).up();
    let counted = |headers: &str| {
        let answer = ask(host.address(), "/echo", headers, "").to_ascii_lowercase();
        answer.split_once("x-header-count: ").unwrap().1[..2].to_owned()
    };
    assert_eq!(counted("x-forwarded-for: 10.1.2.3\r\n"), counted(""));
}

#[test]
fn a_drain_ends_when_its_time_is_over() {
    let mut busy = Busy::start(Trellis::new().args(["--drain-timeout", "200ms"]));
    let told = Instant::now();
    busy.host.signal(Signal::TERM);
    assert_eq!(busy.host.wait(), Some(0));
    assert!(told.elapsed() < SOON, "ended after {:?}", told.elapsed());
    assert!(busy.answer.join().unwrap().is_err());
    let said = busy.host.log().whole();
    assert!(said.contains("1 request was cut off"), "{said}");
}

#[test]
fn a_setting_that_cannot_be_is_a_usage_error() {
    let ended = Trellis::new()
        .env("TRELLIS_HTTP_BODY_MAX", "10")
        .args(["up"])
        .run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let expected = "http-body-max: \"10\" is no size; write `512B`, `64KiB`, `10MiB` or `1GiB` \
                    (environment TRELLIS_HTTP_BODY_MAX)";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}
