//! Where instances go: how many on which of the hosts that would take them. Pure.

use std::collections::BTreeMap;

use trellis_control::HostId;

/// A host that would take instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The host.
    pub(crate) host: HostId,
    /// The value of the label that instances are spread over.
    pub(crate) value: String,
}

/// Spreads `instances` over the values of a label as evenly as can be, and within one value over its
/// hosts. Hosts that get none are left out.
pub(crate) fn spread(candidates: &[Candidate], instances: u32) -> Vec<(HostId, u32)> {
    let mut values: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
    for candidate in candidates {
        values
            .entry(&candidate.value)
            .or_default()
            .push(&candidate.host);
    }
    let shares = even(values.len(), instances);
    let mut placed = Vec::new();
    for ((_, mut hosts), share) in values.into_iter().zip(shares) {
        hosts.sort();
        hosts.dedup();
        let counts = even(hosts.len(), share);
        let some = hosts
            .into_iter()
            .cloned()
            .zip(counts)
            .filter(|(_, count)| *count > 0);
        placed.extend(some);
    }
    placed
}

/// Divides `instances` into `parts` that differ by one at most; the first are the larger ones.
pub(crate) fn even(parts: usize, instances: u32) -> Vec<u32> {
    let count = u32::try_from(parts).unwrap_or(u32::MAX);
    if count == 0 {
        return Vec::new();
    }
    let (each, rest) = (instances / count, instances % count);
    (0..count)
        .map(|part| each + u32::from(part < rest))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[(&str, &str)], instances: u32, expected: &[(&str, u32)]) {
        let host = |id: &str| HostId::new(id).expect("a host id");
        let candidates: Vec<Candidate> = hosts
            .iter()
            .map(|(id, value)| Candidate {
                host: host(id),
                value: (*value).to_owned(),
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, count)| (host(id), *count))
            .collect();
        assert_eq!(spread(&candidates, instances), expected);
    }

    #[test]
    fn instances_go_to_as_many_values_as_there_are() {
        let zones = [("a", "1"), ("b", "2"), ("c", "3")];
        check(&zones, 3, &[("a", 1), ("b", 1), ("c", 1)]);
        check(&zones, 2, &[("a", 1), ("b", 1)]);
        check(&zones, 5, &[("a", 2), ("b", 2), ("c", 1)]);
        check(&[], 5, &[]);
    }

    #[test]
    fn a_value_with_more_hosts_gets_no_more_instances() {
        let hosts = [("a", "1"), ("b", "1"), ("c", "2")];
        check(&hosts, 4, &[("a", 1), ("b", 1), ("c", 2)]);
        check(&hosts, 2, &[("a", 1), ("c", 1)]);
    }
}
