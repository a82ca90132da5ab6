//! A gateway in a process with few file descriptors: refuses to panic or spin, and recovers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{everywhere, says, short, start};

/// Tells the test below that it is the server of the other one.
const SERVER_VARIABLE: &str = "TRELLIS_GATEWAY_TEST_SERVER";

/// Not a test of its own: run again by the test below, in a process with 256 descriptors.
#[tokio::test]
async fn server_with_few_descriptors() {
    if std::env::var_os(SERVER_VARIABLE).is_none() {
        return;
    }
    let limits = trellis_gateway::GatewayLimits {
        header_read_timeout: Duration::from_secs(120),
        ..short()
    };
    let gateway = start(limits, everywhere(says("hi"))).await;
    println!("\nlistens {}", gateway.address);
    // Ends when the other test closes our standard input.
    let parent_gone = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = parent_gone.await;
}

struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn_server() -> Server {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""])
        .arg(program)
        .args([
            "--exact",
            "few_descriptors::server_with_few_descriptors",
            "--nocapture",
        ])
        .env(SERVER_VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("listens ").map(str::to_owned));
    let address = address.expect("the server says where it listens");
    // Keep its output from filling the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, address }
}

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// CPU time of a process, in ticks of a hundredth of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .collect::<Vec<_>>();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_the_gateway_waits_quietly_and_recovers() {
    let mut server = spawn_server();
    assert!(get(&server.address).unwrap().ends_with("hi"));
    let crowd: Vec<TcpStream> = (0..400)
        .map(|_| TcpStream::connect(&server.address).unwrap())
        .collect();
    // With every descriptor taken, nobody is served, ...
    assert!(get(&server.address).is_err());
    // ... and the accept loop rests. Two reads that time out are the measured second.
    let (before, begun) = (cpu_ticks(server.child.id()), Instant::now());
    assert!(get(&server.address).is_err());
    assert!(get(&server.address).is_err());
    let share =
        (cpu_ticks(server.child.id()) - before) as f64 / (begun.elapsed().as_secs_f64() * 100.0);
    assert!(
        share <= 0.10,
        "{share} of a processor while nothing can be accepted"
    );
    drop(crowd);
    let freed = Instant::now();
    while !get(&server.address).is_ok_and(|answer| answer.ends_with("hi")) {
        assert!(freed.elapsed() < Duration::from_secs(2), "did not recover");
    }
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "the server died"
    );
}
