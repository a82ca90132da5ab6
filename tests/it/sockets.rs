//! Deny by default: which sockets a host has.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use trellis_tests::{Trellis, get, guest};

/// The state that `/proc/net/tcp` gives a socket that listens.
const LISTENING: &str = "0A";

#[test]
fn a_host_binds_nothing_but_loopback() {
    for arguments in [Vec::new(), vec![guest("http_hello")]] {
        let has_gateway = !arguments.is_empty();
        let host = Trellis::new().args(arguments).up();
        if has_gateway {
            get(host.address(), "/");
        }
        let inodes = socket_inodes(host.id());
        let mut listening = 0;
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            for socket in sockets(host.id(), table) {
                if !inodes.contains(&socket.inode) {
                    continue;
                }
                assert!(
                    is_loopback(&socket.address),
                    "{table} socket at {}",
                    socket.address
                );
                listening += usize::from(socket.state == LISTENING);
            }
        }
        // The lattice of this machine listens too.
        assert_eq!(listening, 1 + usize::from(has_gateway));
    }
}

struct Socket {
    address: String,
    state: String,
    inode: String,
}

fn sockets(process: u32, table: &str) -> Vec<Socket> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| Socket {
        address: row[1].split(':').next().unwrap().to_owned(),
        state: row[3].to_owned(),
        inode: row[9].to_owned(),
    })
    .collect()
}

/// The numbers of the sockets among the open files of `process`.
fn socket_inodes(process: u32) -> HashSet<String> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let sockets = targets.filter_map(|target| {
        let target = target.to_string_lossy().into_owned();
        Some(
            target
                .strip_prefix("socket:[")?
                .trim_end_matches(']')
                .to_owned(),
        )
    });
    sockets.collect()
}

/// Reads an address as the kernel writes it: words of four bytes in the order of the machine.
fn is_loopback(hex: &str) -> bool {
    let words =
        (0..hex.len() / 8).map(|at| u32::from_str_radix(&hex[at * 8..at * 8 + 8], 16).unwrap());
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv4Addr::from(bytes).is_loopback(),
        Err(_) => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).unwrap());
            address.to_canonical().is_loopback()
        }
    }
}
