//! H2: clients that send a body or read an answer as slowly as they can are put away, and others do not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use serde_json::json;

use super::Pair;
use crate::lab::{Lab, Report, waiting};

/// Clients of each kind.
const CLIENTS: usize = 1_500;

/// What one sends or reads in each step: 200 bytes a second, a fifth of what is asked for.
const STEP_BYTES: usize = 100;

/// How often it does.
const STEP: Duration = Duration::from_millis(500);

/// What such a client keeps of an answer that it does not read. Else the system would read for it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 10;

/// Time between two clients that come, so that all are there before the first is put away, and their coming alone is
/// no flood.
const COMING: Duration = Duration::from_millis(2);

/// A pace is judged every 10 s, and the first time the buffers of the system have still taken bytes; then a client has
/// a second to read the last answer, and a step.
const PUT_AWAY_WITHIN: Duration = Duration::from_millis(2 * 10_000 + 1_000 + 1_000);

/// After this they count as never put away.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection that is as slow as it can be.
struct Slow {
    stream: TcpStream,
    is_reader: bool,
    is_over: bool,
}

impl Slow {
    fn sender(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        let head =
            format!("POST /echo HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1000000\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        Self::of(stream, false)
    }

    fn reader(address: SocketAddr) -> Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket(family, SocketType::STREAM, None).context("no socket")?;
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
        connect(&socket, &address).context("cannot connect")?;
        let mut stream = TcpStream::from(socket);
        let head = format!("GET /big?mib=64 HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        Self::of(stream, true)
    }

    fn of(stream: TcpStream, is_reader: bool) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            is_reader,
            is_over: false,
        })
    }

    /// Moves a few bytes.
    fn step(&mut self) {
        let mut bytes = [b'x'; STEP_BYTES];
        let moved = if self.is_reader {
            self.stream.read(&mut bytes)
        } else {
            self.stream.write(&bytes)
        };
        self.is_over |= match moved {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
    }
}

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    // A component that serves many at once, so that the host has all of them at once.
    let pair = Pair::start(lab, "slow_clients", "misbehaver_p3", json!({}))?;
    let watched = pair.watch(lab)?;
    let resting = pair.descriptors()?;
    let memory = pair.begin_memory()?;
    let begin = Instant::now();
    let mut clients = Vec::new();
    for number in 0..2 * CLIENTS as u32 {
        let due = begin + COMING * number;
        waiting::pause(due.saturating_duration_since(Instant::now()))?;
        clients.push(if number % 2 == 0 {
            Slow::sender(pair.address)?
        } else {
            Slow::reader(pair.address)?
        });
    }
    let opened = begin.elapsed();
    let start = Instant::now();
    let mut held = 0;
    let mut put_away = None;
    while put_away.is_none() && start.elapsed() < PATIENCE {
        for client in clients.iter_mut().filter(|it| !it.is_over) {
            client.step();
        }
        held = held.max(pair.descriptors()?.saturating_sub(resting));
        // A client that reads slowly learns late that it was put away; the host has let go by then.
        put_away = pair.let_go(resting, STEP)?.map(|_| start.elapsed());
    }
    let what = "slow clients that the host had at once";
    let (figure, bar) = (
        format!("{held} of {}", clients.len()),
        format!("{}", clients.len()),
    );
    report.line("H2", what, figure, &bar, held >= clients.len());
    report.remark(
        "H2",
        "time in which they came",
        format!("{:.1} s", opened.as_secs_f64()),
    );
    let what = "until all are put away";
    report.longest("H2", what, &[put_away], PUT_AWAY_WITHIN);
    let growth = pair.memory("VmHWM")?.saturating_sub(memory) >> 20;
    report.remark(
        "H2",
        "memory of the host beyond that before",
        format!("{growth} MiB"),
    );
    let times = watched.tell(report, "H2", begin)?;
    report.slowdown("H2", "the neighbour's p99 meanwhile", times, 2.0);
    Ok(())
}
