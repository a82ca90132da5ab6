//! The rules of links: what may stand beside what, and where a call goes.

use std::collections::BTreeMap;

use super::ComponentSpec;
use crate::messages::{DeleteLink, Link};

/// Where the imports of a component lead: link name, then `namespace:package/interface`, then target.
pub type ImportTable = BTreeMap<String, BTreeMap<String, String>>;

/// A link that cannot be set, because another of its name leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_id} already has a link {name:?} for {package} with {} to {target}; delete that one, or \
     give the new one another name",
    interfaces.join(", ")
)]
pub struct LinkConflict {
    /// The source of both links.
    pub source_id: String,
    /// The name of both links.
    pub name: String,
    /// `namespace:package` of both links.
    pub package: String,
    /// The interfaces that both have.
    pub interfaces: Vec<String>,
    /// The target of the link that exists.
    pub target: String,
}

/// Returns `spec` with `link`, which replaces the link of the same source, target, package and name.
///
/// Links of one source, package and name may lead to different targets only for different
/// interfaces. A link to itself, and one to a target that does not exist yet, is taken. What is
/// there already is returned as it is: compare, and write only what differs.
///
/// # Errors
/// When another link of that name leads an interface of `link` elsewhere.
pub fn put_link(spec: &ComponentSpec, link: Link) -> Result<ComponentSpec, LinkConflict> {
    for other in spec.links.iter().filter(|it| same_name(it, &link)) {
        let shared: Vec<String> = shared_interfaces(other, &link).collect();
        if other.target != link.target && !shared.is_empty() {
            return Err(LinkConflict {
                source_id: link.source_id,
                name: link.name,
                package: format!("{}:{}", link.wit_namespace, link.wit_package),
                interfaces: shared,
                target: other.target.clone(),
            });
        }
    }
    let mut spec = spec.clone();
    let same = |it: &&mut Link| same_name(it, &link) && it.target == link.target;
    match spec.links.iter_mut().find(same) {
        Some(existing) => *existing = link,
        None => spec.links.push(link),
    }
    Ok(spec)
}

/// Returns `spec` without the link that `deletion` names, and that link. The first that fits goes;
/// the order of the others stays.
pub fn delete_link(spec: &ComponentSpec, deletion: &DeleteLink) -> (ComponentSpec, Option<Link>) {
    let named = |it: &Link| {
        it.source_id == deletion.source_id
            && it.name == deletion.name
            && it.wit_namespace == deletion.wit_namespace
            && it.wit_package == deletion.wit_package
            && deletion.target.as_ref().is_none_or(|to| *to == it.target)
    };
    let mut spec = spec.clone();
    let removed = spec.links.iter().position(named);
    let removed = removed.map(|index| spec.links.remove(index));
    (spec, removed)
}

/// Returns where the imports of the source of `links` lead. Of two links that give one interface
/// under one name, the later wins.
pub fn import_table(links: &[Link]) -> ImportTable {
    let mut table = ImportTable::new();
    for link in links {
        let by_interface = table.entry(link.name.clone()).or_default();
        for interface in &link.interfaces {
            by_interface.insert(
                format!("{}:{}/{interface}", link.wit_namespace, link.wit_package),
                link.target.clone(),
            );
        }
    }
    table
}

fn same_name(a: &Link, b: &Link) -> bool {
    a.source_id == b.source_id
        && a.name == b.name
        && a.wit_namespace == b.wit_namespace
        && a.wit_package == b.wit_package
}

fn shared_interfaces<'a>(a: &'a Link, b: &'a Link) -> impl Iterator<Item = String> + 'a {
    a.interfaces
        .iter()
        .filter(|it| b.interfaces.contains(it))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, interfaces: &[&str], target: &str) -> Link {
        Link {
            source_id: "cart".to_owned(),
            target: target.to_owned(),
            name: name.to_owned(),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            interfaces: interfaces.iter().map(|it| (*it).to_owned()).collect(),
            ..Link::default()
        }
    }

    fn spec(links: &[Link]) -> ComponentSpec {
        let put = |spec, link: &Link| put_link(&spec, link.clone()).expect("no conflict");
        links.iter().fold(ComponentSpec::default(), put)
    }

    fn deletion(name: &str, target: Option<&str>) -> DeleteLink {
        DeleteLink {
            source_id: "cart".to_owned(),
            name: name.to_owned(),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            target: target.map(str::to_owned),
        }
    }

    #[test]
    fn one_interface_under_one_name_leads_to_one_target() {
        let before = spec(&[link("default", &["store", "atomics"], "kv")]);
        let conflict =
            put_link(&before, link("default", &["store"], "other")).expect_err("a conflict");
        assert_eq!(
            conflict.to_string(),
            "cart already has a link \"default\" for wasi:keyvalue with store to kv; delete that one, or \
             give the new one another name"
        );
        let beside = put_link(&before, link("second", &["store"], "other"));
        assert_eq!(beside.map(|it| it.links.len()), Ok(2));
    }

    #[test]
    fn other_interfaces_of_the_same_name_may_lead_elsewhere() {
        let both = spec(&[
            link("default", &["store"], "kv"),
            link("default", &["batch"], "other"),
        ]);
        assert_eq!(both.links.len(), 2);
        // But neither may grow over the other.
        assert!(put_link(&both, link("default", &["batch", "store"], "kv")).is_err());
    }

    #[test]
    fn a_link_to_the_same_target_is_replaced_not_merged() {
        let mut new = link("default", &["batch"], "kv");
        new.target_config = vec!["settings".to_owned()];
        let before = spec(&[
            link("default", &["store"], "kv"),
            link("x", &["store"], "other"),
        ]);
        let after = put_link(&before, new.clone()).expect("no conflict");
        assert_eq!(after.links, [new.clone(), before.links[1].clone()]);
        assert_eq!(put_link(&after, new), Ok(after), "again changes nothing");
    }

    #[test]
    fn a_deletion_takes_the_first_or_the_named_target() {
        let both = spec(&[
            link("default", &["store"], "kv"),
            link("default", &["batch"], "other"),
        ]);
        let (left, removed) = delete_link(&both, &deletion("default", None));
        assert_eq!(removed.as_ref(), Some(&both.links[0]));
        assert_eq!(left.links, both.links[1..]);
        let (left, removed) = delete_link(&both, &deletion("default", Some("other")));
        assert_eq!(removed.as_ref(), Some(&both.links[1]));
        assert_eq!(left.links, both.links[..1]);
        assert_eq!(
            delete_link(&both, &deletion("none", None)),
            (both.clone(), None)
        );
    }

    #[test]
    fn imports_lead_by_link_name_and_interface() {
        let links = [
            link("default", &["store", "batch"], "kv"),
            link("second", &["store"], "other"),
            link("default", &["batch"], "late"),
        ];
        let table = import_table(&links);
        let target = |name: &str, interface: &str| table[name][interface].as_str();
        assert_eq!(target("default", "wasi:keyvalue/store"), "kv");
        assert_eq!(target("default", "wasi:keyvalue/batch"), "late");
        assert_eq!(target("second", "wasi:keyvalue/store"), "other");
        assert_eq!(table["second"].len(), 1);
    }
}
