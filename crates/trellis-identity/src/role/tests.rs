//! Tests of roles: what each can do for its work, and what it must never be able to do.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::subject;

fn shop() -> LatticeName {
    LatticeName::new("shop").unwrap()
}

fn link_key() -> PublicKey {
    PublicKey::parse("XAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7QO7").unwrap()
}

fn cart() -> Role {
    Role::Provider {
        id: ComponentId::new("shop-kv").unwrap(),
        link_key: Some(link_key()),
    }
}

fn all() -> [Role; 5] {
    [
        Role::Host,
        Role::Operator,
        Role::Viewer,
        Role::Dashboard,
        cart(),
    ]
}

/// Asserts which of `subjects` may be published to.
fn publishes(role: &Role, allowed: bool, subjects: &[&str]) {
    let permissions = permissions(role, &shop());
    for subject in subjects {
        assert_eq!(
            permissions.allows_publish(subject),
            allowed,
            "{role} publishes {subject}"
        );
    }
}

/// Asserts which of `patterns` may be subscribed to.
fn subscribes(role: &Role, allowed: bool, patterns: &[&str]) {
    let permissions = permissions(role, &shop());
    for pattern in patterns {
        assert_eq!(
            permissions.allows_subscribe(pattern, None),
            allowed,
            "{role} subscribes {pattern}"
        );
    }
}

#[test]
fn nobody_leaves_the_lattice_or_rules_the_server() {
    for role in all() {
        publishes(
            &role,
            false,
            &[
                "$SYS.REQ.SERVER.PING",
                "$JS.API.STREAM.NAMES",
                "$JS.API.STREAM.LIST",
                "$JS.API.STREAM.DELETE.KV_LATTICEDATA_shop",
                "$JS.API.STREAM.RESTORE.KV_LATTICEDATA_shop",
                "$JS.API.STREAM.PURGE.KV_LATTICEDATA_shop",
                "$JS.API.STREAM.INFO.KV_LATTICEDATA_other",
                "$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_other.x",
                "$KV.LATTICEDATA_other.COMPONENT_x",
                "$JS.API.SERVER.REMOVE",
                "wasmbus.ctl.v1.other.host.ping",
                "wasmbus.evt.other.host_started",
                "wasmbus.rpc.other.shop-kv.health",
                "other.shop-kv.wrpc.0.0.1.get",
                "trellis.v1.other.status.N",
                "wadm.api.other.model.list",
            ],
        );
        subscribes(
            &role,
            false,
            &[
                ">",
                "*",
                "*.>",
                "$SYS.>",
                "$JS.>",
                "$KV.>",
                "wasmbus.>",
                "trellis.>",
                "trellis.v1.>",
                "wasmbus.ctl.v1.other.>",
                "wasmbus.evt.*.host_started",
                "other.>",
                "other.*.wrpc.>",
                "_INBOX_TRELLIS.>",
                "_INBOX_TRELLIS.*.x.>",
            ],
        );
    }
}

#[test]
fn inboxes_of_a_role_are_closed_to_the_others() {
    for asker in all() {
        let inbox = format!("{}.r4nd0m", asker.inbox_prefix());
        for role in all() {
            let permissions = permissions(&role, &shop());
            let own = role == asker;
            assert_eq!(
                permissions.allows_subscribe(&format!("{inbox}.>"), None),
                own,
                "{role} reads {inbox}"
            );
            assert_eq!(
                permissions.allows_subscribe(&inbox, None),
                own,
                "{role} reads {inbox}"
            );
        }
        assert!(
            permissions(&Role::Host, &shop()).allows_publish(&inbox),
            "hosts answer {asker}"
        );
    }
}

#[test]
fn two_providers_do_not_read_each_other() {
    let other = Role::Provider {
        id: ComponentId::new("shop-bus").unwrap(),
        link_key: None,
    };
    let inbox = format!("{}.x", other.inbox_prefix());
    subscribes(
        &cart(),
        false,
        &[
            &inbox,
            "shop.shop-bus.wrpc.>",
            "shop.*.wrpc.>",
            "shop.>",
            "wasmbus.rpc.shop.>",
            "wasmbus.rpc.shop.*.linkdefs.put",
            "wasmbus.rpc.shop.shop-bus.health",
        ],
    );
}

#[test]
fn a_host_does_its_work() {
    publishes(
        &Role::Host,
        true,
        &[
            "wasmbus.evt.shop.host_started",
            "wasmbus.rpc.shop.shop-kv.linkdefs.put",
            "wasmbus.rpc.shop.shop-kv.default.shutdown",
            "shop.shop-kv.wrpc.0.0.1.wrpc:keyvalue/store@0.2.0-draft.get",
            "_INBOX.abc.def.results",
            "_INBOX_TRELLIS.viewer.abc.def",
            "$KV.LATTICEDATA_shop.COMPONENT_shop-cart",
            "$KV.CONFIGDATA_shop.SECRET_x",
            "$JS.API.STREAM.INFO.KV_LATTICEDATA_shop",
            "$JS.API.STREAM.CREATE.KV_CONFIGDATA_shop",
            "$JS.API.STREAM.MSG.GET.KV_CONFIGDATA_shop",
            "$JS.API.DIRECT.GET.KV_CONFIGDATA_shop.$KV.CONFIGDATA_shop.x",
            "$JS.API.CONSUMER.CREATE.KV_LATTICEDATA_shop.abc.$KV.LATTICEDATA_shop.>",
            "$JS.API.CONSUMER.DELETE.KV_LATTICEDATA_shop.abc",
            "$JS.API.INFO",
            "$KV.TRELLISLEASES_shop.NHOST",
            "$JS.API.STREAM.INFO.KV_TRELLISLEASES_shop",
            "$JS.API.STREAM.CREATE.KV_TRELLISLEASES_shop",
            "$JS.API.STREAM.MSG.GET.KV_TRELLISLEASES_shop",
            "wasmbus.cfg.shop.req",
            "wasmcloud.secrets.v1alpha1.nats-kv.get",
            "trellis.v1.shop.logs.N.cart",
        ],
    );
    subscribes(
        &Role::Host,
        true,
        &[
            "wasmbus.ctl.v1.shop.>",
            "wasmbus.ctl.v1.shop.component.*.NHOST",
            "wasmbus.ctl.v1.shop.link.*",
            "wasmbus.evt.shop.>",
            "shop.shop-kv.wrpc.0.0.1.wrpc:keyvalue/store@0.2.0-draft.get",
            "_INBOX.abc.>",
            "trellis.v1.shop.drain.NHOST",
        ],
    );
    let permissions = permissions(&Role::Host, &shop());
    let group = Some("wasmbus.ctl.v1.shop.link");
    assert!(permissions.allows_subscribe("wasmbus.ctl.v1.shop.link.*", group));
    publishes(
        &Role::Host,
        false,
        &[
            "wasmbus.ctl.v1.shop.host.stop.NHOST",
            "wadm.api.shop.model.put",
        ],
    );
}

#[test]
fn an_operator_changes_things_through_hosts_only() {
    publishes(
        &Role::Operator,
        true,
        &[
            "wasmbus.ctl.v1.shop.component.scale.NHOST",
            "wasmbus.ctl.v1.shop.link.put",
            "wasmbus.ctl.v1.shop.host.stop.NHOST",
            "wadm.api.shop.model.deploy.app",
            "trellis.v1.shop.drain.NHOST",
            "shop.shop-cart.wrpc.0.0.1.acme:cart/orders@1.4.0.add",
            "_INBOX_TRELLIS.host.abc.params",
        ],
    );
    subscribes(
        &Role::Operator,
        true,
        &[
            "wasmbus.evt.shop.>",
            "_INBOX.abc.>",
            "trellis.v1.shop.logs.>",
        ],
    );
    publishes(
        &Role::Operator,
        false,
        &[
            "$KV.LATTICEDATA_shop.COMPONENT_x",
            "wasmbus.evt.shop.host_started",
            "wasmbus.rpc.shop.shop-kv.linkdefs.put",
            "$JS.API.STREAM.INFO.KV_LATTICEDATA_shop",
        ],
    );
    subscribes(
        &Role::Operator,
        false,
        &[
            "wasmbus.ctl.v1.shop.>",
            "shop.>",
            "shop.*.wrpc.>",
            "wasmbus.rpc.shop.>",
        ],
    );
}

#[test]
fn a_viewer_and_a_dashboard_look_and_change_nothing() {
    for role in [Role::Viewer, Role::Dashboard] {
        publishes(
            &role,
            true,
            &[
                "wasmbus.ctl.v1.shop.host.ping",
                "wasmbus.ctl.v1.shop.host.get.NHOST",
                "wasmbus.ctl.v1.shop.link.get",
                "wasmbus.ctl.v1.shop.claims.get",
                "wasmbus.ctl.v1.shop.config.get.kv",
                "wadm.api.shop.model.list",
                "wadm.api.shop.model.status.app",
                "trellis.v1.shop.status.NHOST",
                "trellis.v1.shop.doctor.NHOST",
                "trellis.v1.shop.describe.NHOST",
                "trellis.v1.shop.tail.NHOST",
            ],
        );
        subscribes(
            &role,
            true,
            &[
                "wasmbus.evt.shop.*",
                "wasmbus.evt.shop.host_stopped",
                "trellis.v1.shop.evt.host_mode_changed",
                "trellis.v1.shop.logs.NHOST.cart",
                "trellis.v1.shop.evt.host_mode_changed",
            ],
        );
        publishes(
            &role,
            false,
            &[
                "wasmbus.ctl.v1.shop.host.stop.NHOST",
                "wasmbus.ctl.v1.shop.label.put.NHOST",
                "wasmbus.ctl.v1.shop.component.scale.NHOST",
                "wasmbus.ctl.v1.shop.component.update.NHOST",
                "wasmbus.ctl.v1.shop.component.auction",
                "wasmbus.ctl.v1.shop.provider.start.NHOST",
                "wasmbus.ctl.v1.shop.provider.stop.NHOST",
                "wasmbus.ctl.v1.shop.link.put",
                "wasmbus.ctl.v1.shop.link.del",
                "wasmbus.ctl.v1.shop.config.put.kv",
                "wasmbus.ctl.v1.shop.config.del.kv",
                "wasmbus.ctl.v1.shop.registry.put",
                "wadm.api.shop.model.put",
                "wadm.api.shop.model.deploy.app",
                "wadm.api.shop.model.undeploy.app",
                "wadm.api.shop.model.del.app",
                "trellis.v1.shop.drain.NHOST",
                "trellis.v1.shop.logs.NHOST.cart",
                "trellis.v1.shop.call.NHOST",
                "shop.shop-cart.wrpc.0.0.1.acme:cart/orders@1.4.0.add",
                "wasmbus.evt.shop.host_started",
                "wasmbus.rpc.shop.shop-kv.linkdefs.put",
                "$KV.CONFIGDATA_shop.kv",
                "_INBOX.abc",
            ],
        );
        subscribes(
            &role,
            false,
            &[
                "_INBOX.>",
                "_INBOX.abc.>",
                "shop.>",
                "wasmbus.rpc.shop.>",
                "trellis.v1.shop.>",
                "$KV.CONFIGDATA_shop.>",
            ],
        );
    }
}

#[test]
fn a_provider_serves_and_calls_and_drives_nothing() {
    publishes(
        &cart(),
        true,
        &[
            "shop.shop-cart.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle",
            "_INBOX.abc.def",
            "_INBOX_TRELLIS.host.abc",
        ],
    );
    let sealed = format!("wasmbus.rpc.shop.{}.linkdefs.put", link_key());
    subscribes(
        &cart(),
        true,
        &[
            "shop.shop-kv.wrpc.0.0.1.wrpc:keyvalue/store@0.2.0-draft.get",
            "wasmbus.rpc.shop.shop-kv.linkdefs.put",
            "wasmbus.rpc.shop.shop-kv.linkdefs.del",
            "wasmbus.rpc.shop.shop-kv.health",
            "wasmbus.rpc.shop.shop-kv.default.shutdown",
            "wasmbus.rpc.shop.shop-kv.config.update",
            "_INBOX.abc.>",
            &sealed,
        ],
    );
    publishes(
        &cart(),
        false,
        &[
            "wasmbus.ctl.v1.shop.host.ping",
            "wasmbus.ctl.v1.shop.host.stop.NHOST",
            "wasmbus.ctl.v1.shop.link.put",
            "wasmbus.evt.shop.provider_started",
            "wasmbus.rpc.shop.shop-bus.linkdefs.put",
            "wasmbus.rpc.shop.shop-bus.default.shutdown",
            "trellis.v1.shop.drain.NHOST",
            "wadm.api.shop.model.put",
            "$KV.LATTICEDATA_shop.COMPONENT_x",
            "$JS.API.INFO",
            "wasmcloud.secrets.v1alpha1.nats-kv.get",
            "wasmbus.cfg.shop.req",
        ],
    );
    subscribes(
        &cart(),
        false,
        &[
            "wasmbus.ctl.>",
            "wasmbus.ctl.v1.shop.>",
            "wasmbus.evt.shop.>",
            "trellis.v1.shop.logs.>",
        ],
    );
}

proptest! {
    /// A lattice may be called `wasmbus`, and a provider `ctl` or `v1`: even then nothing that a
    /// provider may publish reaches the control interface or a command of ours.
    #[test]
    fn no_name_opens_the_control_interface(
        lattice in "[A-Za-z0-9_-]{1,12}|wasmbus|trellis|wadm|_INBOX|_INBOX_TRELLIS",
        id in "[A-Za-z0-9_-]{1,12}|ctl|v1|rpc|api",
    ) {
        let lattice = LatticeName::new(lattice).unwrap();
        let role = Role::Provider { id: ComponentId::new(id).unwrap(), link_key: None };
        let allowed = permissions(&role, &lattice);
        for pattern in &allowed.publish.allow {
            prop_assert!(subject::is_valid_pattern(pattern), "{pattern}");
            let evt = format!("wasmbus.evt.{lattice}.>");
            let drain = format!("trellis.v1.{lattice}.drain.>");
            let model = format!("wadm.api.{lattice}.model.>");
            for closed in [&*evt, &*drain, &*model, "wasmbus.ctl.v1.>", "$JS.>", "$KV.>", "$SYS.>"] {
                prop_assert!(!subject::overlaps(pattern, closed), "{pattern} reaches {closed}");
            }
        }
        for pattern in &allowed.subscribe.allow {
            // A nats-server would let a subscription with `>` through there.
            prop_assert!(!pattern.ends_with('*'), "{pattern}");
            prop_assert!(subject::is_valid_pattern(pattern), "{pattern}");
        }
    }
}
