//! The signals that end a host: under load no request is lost, at rest it ends at once, and a second signal does not
//! wait (K11 for one host).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use trellis_tests::{Busy, Client, Host, Load, Trellis, guest, wait_until};

/// The bar for a host at rest, and the time that a debug build on a busy machine may need on top.
const IDLE_EXIT_MAX: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(500);

/// What a host says when the first signal has reached it.
const STOPPING: &str = "once more to stop at once";

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
        running.wait_for_each(5);
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

/// A component without imports and exports, whose code takes long to compile: functions of many operations.
fn large_component() -> Vec<u8> {
    const FUNCTIONS: usize = 600;
    /// `local.get 0; i32.const 7; i32.add; local.get 0; i32.mul; local.set 0`
    const STEP: [u8; 10] = [0x20, 0, 0x41, 7, 0x6a, 0x20, 0, 0x6c, 0x21, 0];
    let mut body = vec![0];
    body.extend(STEP.repeat(3_000));
    body.extend([0x20, 0, 0x0b]);
    let function = [length(body.len()), body].concat();
    let count = length(FUNCTIONS);
    let types = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let functions = section(3, &[count.clone(), vec![0; FUNCTIONS]].concat());
    let code = section(10, &[count, function.repeat(FUNCTIONS)].concat());
    let module = [b"\0asm\x01\0\0\0".to_vec(), types, functions, code].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], length(content.len()), content.to_vec()].concat()
}

/// An unsigned number in the variable-length form of WebAssembly.
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number % 0x80) as u8 | 0x80);
        number /= 0x80;
    }
    bytes.push(number as u8);
    bytes
}

#[test]
fn a_host_that_compiles_ends_when_told() {
    let trellis = Trellis::new();
    let file = trellis.home().join("large.wasm");
    std::fs::write(&file, large_component()).unwrap();
    let cache = trellis.home().join("cache");
    let trellis = trellis.cache(&cache).arg(file);
    for signal in [Signal::TERM, Signal::INT] {
        let mut host = trellis.begin();
        host.log().wait_for("compiling").unwrap();
        let told = Instant::now();
        host.signal(signal);
        assert_eq!(host.wait(), Some(0), "{signal:?}");
        let took = told.elapsed();
        assert!(
            took <= IDLE_EXIT_MAX + SLACK,
            "{signal:?}: ended after {took:?}"
        );
        assert!(
            !host.log().whole().contains("compiled"),
            "it was done before"
        );
    }
}

#[test]
fn a_request_in_flight_is_answered_before_the_host_ends() {
    let mut busy = Busy::start(Trellis::new());
    busy.host.signal(Signal::TERM);
    let address = busy.host.address();
    wait_until("it takes no more connections", || {
        TcpStream::connect(address).is_err()
    });
    let told = Instant::now();
    busy.let_go("at last");
    let answer = busy.answer.join().unwrap().unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.is_last()),
        (200, "at last", true)
    );
    assert_eq!(busy.host.wait(), Some(0));
    let took = told.elapsed();
    assert!(took <= IDLE_EXIT_MAX + SLACK, "ended after {took:?}");
}

#[test]
fn a_second_signal_ends_a_busy_host_at_once() {
    for signal in [Signal::TERM, Signal::INT].repeat(2) {
        let mut busy = Busy::start(Trellis::new());
        busy.host.signal(signal);
        busy.host.log().wait_for(STOPPING).unwrap();
        assert!(busy.host.is_running());
        let told = Instant::now();
        busy.host.signal(signal);
        assert_eq!(busy.host.wait(), Some(130), "{signal:?}");
        assert!(told.elapsed() <= SLACK, "ended after {:?}", told.elapsed());
        assert!(busy.answer.join().unwrap().is_err());
    }
}
