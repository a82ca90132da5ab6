//! The signals that end a host: under load no request is lost, at rest it ends at once, and a second signal does not
//! wait (K11 for one host).

use std::time::{Duration, Instant};

use rustix::process::Signal;
use trellis_tests::{Client, Host, Load, Trellis, guest};

/// The bar for a host at rest, and the time that a debug build on a busy machine may need on top.
const IDLE_EXIT_MAX: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(500);

/// How often each signal is tried.
const ROUNDS: usize = 4;

fn hello() -> Host {
    Trellis::new().arg(guest("http_hello")).up()
}

#[test]
fn no_request_is_lost_when_a_host_under_load_is_told_to_stop() {
    for signal in [Signal::TERM, Signal::INT].repeat(ROUNDS) {
        let mut host = hello();
        let load = Load {
            address: host.address(),
            host: "localhost".to_owned(),
            path: "/".to_owned(),
            rate: 200,
            connections: 8,
        };
        let running = load.start();
        std::thread::sleep(Duration::from_millis(400));
        let told = Instant::now();
        host.signal(signal);
        let report = running.join();
        assert_eq!(host.wait(), Some(0), "{signal:?}");
        let took = told.elapsed();
        report.assert_all_ok(40);
        assert!(
            took <= IDLE_EXIT_MAX + SLACK,
            "{signal:?}: ended after {took:?}"
        );
        assert_eq!(
            report.answers.iter().filter(|it| it.0.is_last()).count(),
            8,
            "{report}"
        );
    }
}

#[test]
fn a_host_at_rest_ends_within_a_second() {
    for signal in [Signal::TERM, Signal::INT].repeat(ROUNDS) {
        let mut host = hello();
        let mut at_rest = Client::connect(host.address(), "localhost").unwrap();
        at_rest.get("/").unwrap();
        let told = Instant::now();
        host.signal(signal);
        assert_eq!(host.wait(), Some(0), "{signal:?}");
        let took = told.elapsed();
        assert!(
            took <= IDLE_EXIT_MAX + SLACK,
            "{signal:?}: ended after {took:?}"
        );
        assert!(host.log().whole().contains("stopped"));
    }
}

#[test]
fn a_host_without_applications_ends_when_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut host = Trellis::new().up();
        host.signal(signal);
        assert_eq!(host.wait(), Some(0));
    }
}

#[test]
fn a_request_in_flight_is_answered_before_the_host_ends() {
    let mut host = Trellis::new().arg(guest("misbehaver")).up();
    let mut client = Client::connect(host.address(), "localhost").unwrap();
    client.get("/").unwrap();
    let slow = std::thread::spawn(move || client.get("/sleep?ms=1500"));
    // Nothing outside tells when a request has begun; the time that the host then takes shows that it had.
    std::thread::sleep(Duration::from_millis(300));
    let told = Instant::now();
    host.signal(Signal::TERM);
    let answer = slow.join().unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.is_last()),
        (200, "slept\n", true)
    );
    assert_eq!(host.wait(), Some(0));
    let took = told.elapsed();
    assert!(
        took >= Duration::from_millis(1_000),
        "it was not in flight: {took:?}"
    );
    assert!(
        took <= Duration::from_millis(1_500) + IDLE_EXIT_MAX + SLACK,
        "ended after {took:?}"
    );
}

#[test]
fn a_second_signal_ends_a_busy_host_at_once() {
    for signal in [Signal::TERM, Signal::INT].repeat(2) {
        let mut host = Trellis::new().arg(guest("misbehaver")).up();
        let mut client = Client::connect(host.address(), "localhost").unwrap();
        client.get("/").unwrap();
        let cut_off = std::thread::spawn(move || client.get("/sleep?ms=20000"));
        std::thread::sleep(Duration::from_millis(200));
        host.signal(signal);
        host.log().wait_for("once more to stop at once").unwrap();
        assert!(host.is_running());
        let told = Instant::now();
        host.signal(signal);
        assert_eq!(host.wait(), Some(130), "{signal:?}");
        assert!(told.elapsed() <= SLACK, "ended after {:?}", told.elapsed());
        assert!(cut_off.join().unwrap().is_err());
    }
}
