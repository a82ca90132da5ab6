//! Finds the process that listens on a port, from what Linux shows under `/proc`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::bind::Holder;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Returns the process that listens where `address` wants to, if it may be seen.
pub(crate) fn find(address: SocketAddr) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes
        .filter_map(|entry| holder_among(&entry.path(), &inodes))
        .next()
}

/// Returns the socket numbers of those that listen on the port of `address`, on its host or on all.
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<String> {
    let lines = table.lines().skip(1);
    let inodes = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
        let (host, port) = local.split_once(':')?;
        let host = parse_host(host)?;
        let collides = u16::from_str_radix(port, 16).ok()? == address.port()
            && (host.is_unspecified()
                || address.ip().is_unspecified()
                || host.to_canonical() == address.ip().to_canonical());
        (state == LISTENING && collides).then(|| inode.to_owned())
    });
    inodes.collect()
}

/// Reads an address as the kernel prints it: 32-bit words in its own byte order.
fn parse_host(text: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        let word = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = words.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Returns the process at `path`, if one of its descriptors is one of the sockets.
fn holder_among(path: &Path, inodes: &[String]) -> Option<Holder> {
    let pid = path.file_name()?.to_str()?.parse().ok()?;
    let descriptors = fs::read_dir(path.join("fd")).ok()?.filter_map(Result::ok);
    let holds = descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| {
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
        });
    if !holds {
        return None;
    }
    let command = fs::read_to_string(path.join("comm")).unwrap_or_default();
    Some(Holder {
        pid,
        command: command.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn only_sockets_that_listen_on_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
             1: 0100007F:1F40 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
             2: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n\
             3: 0200007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1\n\
             4: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1\n\
             5: short\n";
        let address = SocketAddr::from(([127, 0, 0, 1], 8000));
        assert_eq!(listening_inodes(table, address), ["111", "333"]);
    }
}
