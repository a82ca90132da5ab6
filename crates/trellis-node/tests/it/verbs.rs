//! Every request: its reply, its work and its events.

use bytes::Bytes;
use trellis_control::{
    ComponentAuctionRequest, ComponentEventClaims, ComponentSpec, ConfigName, DeleteLink, Event,
    Label, LabelKey, Link, ProviderAuctionRequest, Registries, Request, ScaleComponentCommand,
    StartProviderCommand, StopProviderCommand, TextMap, UpdateComponentCommand,
};
use trellis_core::ChangeId;
use trellis_node::{
    COMPONENTS_MAX, ComponentAction, Effect, Envelope, Input, LABELS_MAX, LinkAnnouncement,
    LinkDeletion, Outcome, PROVIDERS_MAX, ProviderAction, ReplyTo, STORE_TASKS_MAX, Signed,
    StoreChange, StoreFailure, StoreTask,
};

use crate::support::{
    Driven, component_runs, event_names, events, id, replies, stored_config, stored_spec,
};

fn scale_to(id: &str, image: &str, count: u32) -> ScaleComponentCommand {
    ScaleComponentCommand {
        component_ref: image.to_owned(),
        component_id: id.to_owned(),
        count,
        host_id: "somebody else".to_owned(),
        ..ScaleComponentCommand::default()
    }
}

fn scale(id: &str, image: &str, count: u32) -> Request {
    Request::ComponentScale(scale_to(id, image, count))
}

fn update(id: &str, image: &str) -> Request {
    Request::ComponentUpdate(UpdateComponentCommand {
        component_id: id.to_owned(),
        new_component_ref: image.to_owned(),
        ..UpdateComponentCommand::default()
    })
}

fn start_provider(id: &str, image: &str) -> Request {
    Request::ProviderStart(StartProviderCommand {
        provider_id: id.to_owned(),
        provider_ref: image.to_owned(),
        ..StartProviderCommand::default()
    })
}

fn stop_provider(id: &str) -> Request {
    Request::ProviderStop(StopProviderCommand {
        provider_id: id.to_owned(),
        ..StopProviderCommand::default()
    })
}

fn link() -> Link {
    Link {
        source_id: "cart".to_owned(),
        target: "kv".to_owned(),
        wit_namespace: "wasi".to_owned(),
        wit_package: "keyvalue".to_owned(),
        interfaces: vec!["store".to_owned()],
        target_config: vec!["kv-settings".to_owned()],
        ..Link::default()
    }
}

/// The instances and images of the `component_scaled` events, and the reasons of the failures.
fn scaled(effects: &[Effect]) -> Vec<String> {
    let told = events(effects).into_iter().filter_map(|it| match it {
        Event::ComponentScaled(it) => {
            assert_eq!(it.host_id, "N1");
            Some(format!("{} x{}", it.image_ref, it.max_instances))
        }
        Event::ComponentScaleFailed(it) => {
            assert_eq!(it.host_id, "N1");
            Some(format!(
                "{} x{}: {}",
                it.image_ref, it.max_instances, it.error
            ))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn replies_have_the_form_of_1_x() {
    let mut driven = Driven::joined();
    driven.now = 3_723_000;
    driven.ask(Request::HostPing);
    driven.renew();
    driven.ask(scale("cart", "reg.local/cart:1", 8));
    driven.component_runs();
    driven.ask(start_provider("http", "wasmcloud+builtin://http-server"));
    driven.provider_runs();
    let text = |effects: Vec<Effect>| match effects.into_iter().find_map(|it| match it {
        Effect::Reply { payload, .. } => Some(payload),
        _ => None,
    }) {
        Some(payload) => String::from_utf8(payload.to_vec()).unwrap(),
        None => "silence".to_owned(),
    };
    assert_eq!(
        text(driven.ask(Request::HostPing)),
        r#"{"success":true,"message":"","response":{"ctl_host":"nats://127.0.0.1:4222","friendly_name":"quiet-lake","id":"N1","labels":{"zone":"a"},"lattice":"shop","uptime_human":"1h 2m 3s","uptime_seconds":3723,"version":"0.1.0"}}"#
    );
    assert_eq!(
        text(driven.ask(Request::HostGet)),
        r#"{"success":true,"message":"","response":{"components":[{"id":"cart","image_ref":"reg.local/cart:1","annotations":{},"revision":0,"max_instances":8,"limits":null}],"providers":[{"id":"http","image_ref":"http-server","revision":0,"annotations":{}}],"host_id":"N1","friendly_name":"quiet-lake","labels":{"zone":"a"},"version":"0.1.0","uptime_human":"1h 2m 3s","uptime_seconds":3723}}"#
    );
    let auction = |id: &str, zone: &str| {
        Request::ComponentAuction(ComponentAuctionRequest {
            component_ref: "reg.local/cart:1".to_owned(),
            component_id: id.to_owned(),
            constraints: TextMap::from([("zone".to_owned(), zone.to_owned())]),
        })
    };
    assert_eq!(
        text(driven.ask(auction("new", "a"))),
        r#"{"success":true,"message":"","response":{"component_ref":"reg.local/cart:1","component_id":"new","host_id":"N1","constraints":{"zone":"a"}}}"#
    );
    assert_eq!(text(driven.ask(auction("new", "b"))), "silence");
    assert_eq!(text(driven.ask(auction("cart", "a"))), "silence");
    let auction = |id: &str, image: &str| {
        Request::ProviderAuction(ProviderAuctionRequest {
            provider_ref: image.to_owned(),
            provider_id: id.to_owned(),
            constraints: TextMap::new(),
        })
    };
    assert_eq!(
        text(driven.ask(auction("kv", "reg.local/kv:1"))),
        r#"{"success":true,"message":"","response":{"host_id":"N1","provider_ref":"reg.local/kv:1","provider_id":"kv","constraints":{}}}"#
    );
    assert_eq!(
        text(driven.ask(auction("http", "reg.local/kv:1"))),
        "silence"
    );
    for image in ["wasmcloud+builtin://messaging-nats", "foreign/kafka:1"] {
        assert_eq!(text(driven.ask(auction("m", image))), "silence", "{image}");
    }
    let foreign = Request::ComponentAuction(ComponentAuctionRequest {
        component_ref: "foreign/cart:1".to_owned(),
        component_id: "foreign".to_owned(),
        constraints: TextMap::new(),
    });
    assert_eq!(text(driven.ask(foreign)), "silence");
    assert_eq!(
        text(driven.ask(Request::LinkGet)),
        r#"{"success":true,"message":"","response":[]}"#
    );
    assert_eq!(
        text(driven.ask(Request::ClaimsGet)),
        r#"{"success":true,"message":"","response":[]}"#
    );
}

#[test]
fn a_component_is_started_changed_and_stopped() {
    let mut driven = Driven::joined();
    assert_eq!(driven.reply_to(scale("cart", "a:1", 2))["message"], "");
    assert!(scaled(&driven.effects).is_empty(), "not before it runs");
    assert!(driven.machine.inventory().components.is_empty());
    let made_spec = matches!(&driven.store_work()[0].task, StoreTask::EnsureSpec { id, url } if id.as_str() == "cart" && url == "a:1");
    assert!(made_spec);
    driven.component_runs();
    assert_eq!(scaled(&driven.taken()), ["a:1 x2"]);
    // The same again needs no work.
    driven.ask(scale("cart", "a:1", 2));
    assert!(driven.component_work().is_empty());
    assert_eq!(scaled(&driven.taken()), ["a:1 x2"]);
    driven.ask(scale("cart", "a:1", 3));
    assert!(matches!(
        driven.component_work()[0].action,
        ComponentAction::Update(_)
    ));
    driven.component_runs();
    // To stop needs no image.
    driven.ask(scale("cart", "", 0));
    let serial = driven.component_work().last().unwrap().serial;
    driven.finish(Outcome::ComponentStopped { serial });
    assert_eq!(scaled(&driven.taken()), ["a:1 x3", "a:1 x0"]);
    assert!(driven.machine.inventory().components.is_empty());
}

#[test]
fn what_a_host_does_not_know_is_stopped_too() {
    let mut driven = Driven::joined();
    // The shell may be about to run it again, as it did when the lattice was last reached.
    assert_eq!(driven.reply_to(scale("cart", "a:1", 0))["success"], true);
    let work = driven.component_work()[0].clone();
    assert_eq!(
        (work.id.as_str(), work.action),
        ("cart", ComponentAction::Stop)
    );
    assert!(
        scaled(&driven.effects).is_empty(),
        "not before it has stopped"
    );
    driven.finish(Outcome::ComponentStopped {
        serial: work.serial,
    });
    assert_eq!(scaled(&driven.taken()), ["a:1 x0"]);
    let wall = "2026-01-05T10:11:12Z".parse().unwrap();
    let status = driven.machine.status(trellis_node::Millis(0), wall);
    assert!(status.components.is_empty(), "nothing is left of it");
}

#[test]
fn another_image_is_taken_only_where_that_is_allowed() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", "a:1", 1));
    driven.component_runs();
    let reply = driven.reply_to(scale("cart", "a:2", 2));
    assert_eq!(reply["success"], true);
    assert_eq!(
        reply["message"],
        "component cart is scaled and keeps a:1: to change it to a:2, update it, or scale it with \
         `allow_update`"
    );
    driven.component_runs();
    assert_eq!(driven.machine.inventory().components[0].image_ref, "a:1");
    let mut command = scale_to("cart", "a:2", 4);
    command.allow_update = true;
    let reply = driven.reply_to(Request::ComponentScale(command));
    assert_eq!(
        reply["message"],
        "component cart is scaled and updating from a:1 to a:2"
    );
    driven.component_runs();
    assert_eq!(driven.machine.inventory().components[0].image_ref, "a:2");
    assert_eq!(scaled(&driven.taken()), ["a:1 x1", "a:1 x2", "a:2 x4"]);
}

#[test]
fn an_update_changes_only_the_image_and_is_undone_when_it_fails() {
    let mut driven = Driven::joined();
    assert_eq!(
        driven.reply_to(update("cart", "a:2"))["message"],
        "component cart not found"
    );
    driven.ask(scale("cart", "a:1", 2));
    driven.component_runs();
    let already = driven.reply_to(update("cart", "a:1"));
    assert_eq!(already["message"], "component cart already updated to a:1");
    let reply = driven.reply_to(update("cart", "a:2"));
    assert_eq!(reply["message"], "component cart updating from a:1 to a:2");
    let serial = driven.component_work().last().unwrap().serial;
    let why = "no such image".to_owned();
    driven.finish(Outcome::ComponentFailed { serial, why });
    assert_eq!(scaled(&driven.taken()), ["a:1 x2", "a:2 x2: no such image"]);
    assert_eq!(driven.machine.inventory().components[0].image_ref, "a:1");
    let now = trellis_node::Millis(0);
    let status = driven
        .machine
        .status(now, "2026-01-05T10:11:12Z".parse().unwrap());
    assert!(status.components[0].ready);
    let why = status.components[0].why.as_deref();
    assert_eq!(why, Some("a:2 could not be started: no such image"));
    driven.ask(update("cart", "a:3"));
    driven.component_runs();
    assert_eq!(scaled(&driven.taken()), ["a:3 x2"]);
}

#[test]
fn commands_that_wait_are_one_and_each_gets_its_event() {
    let mut driven = Driven::joined();
    for count in [1, 2, 3, 4] {
        assert_eq!(
            driven.reply_to(scale("cart", "a:1", count))["success"],
            true
        );
    }
    assert_eq!(driven.component_work().len(), 1);
    driven.component_runs();
    assert_eq!(
        driven.component_work().len(),
        2,
        "only the last is carried out"
    );
    driven.component_runs();
    assert_eq!(
        scaled(&driven.taken()),
        ["a:1 x1", "a:1 x4", "a:1 x4", "a:1 x4"]
    );
}

#[test]
fn a_stop_ends_a_start_and_its_late_outcome_counts_for_nothing() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", "a:1", 1));
    let start = driven.component_work()[0].serial;
    driven.ask(scale("cart", "a:1", 0));
    let stop = driven.component_work()[1].serial;
    driven.finish(component_runs(start));
    assert!(driven.machine.inventory().components.is_empty());
    driven.finish(Outcome::ComponentStopped { serial: stop });
    assert_eq!(scaled(&driven.taken()), ["a:1 x0", "a:1 x0"]);
}

#[test]
fn a_failed_start_is_in_the_status_not_in_the_inventory() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", "a:1", 1));
    let serial = driven.component_work()[0].serial;
    let why = "cannot fetch a:1: no such image".to_owned();
    driven.finish(Outcome::ComponentFailed { serial, why });
    assert_eq!(
        scaled(&driven.taken()),
        ["a:1 x1: cannot fetch a:1: no such image"]
    );
    assert!(driven.machine.inventory().components.is_empty());
    let wall = "2026-01-05T10:11:12Z".parse().unwrap();
    let status = driven.machine.status(trellis_node::Millis(0), wall);
    assert!(!status.components[0].ready);
    // A corrected command takes its place.
    driven.ask(scale("cart", "a:2", 1));
    driven.component_runs();
    assert_eq!(scaled(&driven.taken()), ["a:2 x1"]);
}

#[test]
fn claims_are_in_inventory_and_events_and_are_stored() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", "a:1", 1));
    let serial = driven.component_work()[0].serial;
    let claims = ComponentEventClaims {
        name: Some("cart".to_owned()),
        issuer: Some("ACME".to_owned()),
        ..ComponentEventClaims::default()
    };
    driven.taken();
    driven.finish(Outcome::ComponentRuns {
        serial,
        digest: "sha256:00".to_owned(),
        signed: Some(Box::new(Signed {
            public_key: "MCART".to_owned(),
            revision: 3,
            claims,
        })),
    });
    let stores = |it: &StoreTask| matches!(it, StoreTask::PutClaims(it) if it.subject() == "MCART");
    assert!(driven.store_work().iter().any(|it| stores(&it.task)));
    let inventory = driven.machine.inventory();
    assert_eq!(inventory.components[0].name.as_deref(), Some("cart"));
    assert_eq!(inventory.components[0].revision, 3);
}

#[test]
fn a_provider_is_started_once_and_the_reply_to_a_stop_comes_when_it_has_stopped() {
    let mut driven = Driven::joined();
    let not_running = "provider with that ID is not running";
    assert_eq!(driven.reply_to(stop_provider("kv"))["message"], not_running);
    let reply = driven.reply_to(start_provider("kv", "oci://reg.local/kv:1"));
    assert_eq!(reply["message"], "successfully started provider");
    let already = "provider with that ID is already running";
    assert_eq!(
        driven.reply_to(start_provider("kv", "x"))["message"],
        already
    );
    driven.provider_runs();
    assert_eq!(driven.reply_to(start_provider("kv", "x"))["success"], false);
    assert_eq!(
        driven.machine.inventory().providers[0].image_ref.as_deref(),
        Some("reg.local/kv:1")
    );
    driven.taken();
    assert!(replies(&driven.ask(stop_provider("kv"))).is_empty());
    assert!(replies(&driven.ask(stop_provider("kv"))).is_empty());
    let serial = driven.provider_work()[0].serial;
    driven.finish(Outcome::ProviderStopped { serial });
    let told = driven.taken();
    assert_eq!(event_names(&told), ["provider_stopped"]);
    let words: Vec<_> = replies(&told);
    assert_eq!(words.len(), 2);
    assert_eq!(words[0]["message"], "successfully stopped provider");
    assert!(driven.machine.inventory().providers.is_empty());
}

#[test]
fn a_provider_that_exits_is_out_of_the_inventory_until_it_is_back() {
    let mut driven = Driven::joined();
    driven.ask(start_provider("kv", "reg.local/kv:1"));
    let serial = driven.provider_runs();
    driven.taken();
    let exit = |restart_in_ms| Outcome::ProviderExited {
        serial,
        reason: "exit status 1".to_owned(),
        restart_in_ms,
    };
    driven.finish(exit(Some(500)));
    assert!(driven.machine.inventory().providers.is_empty());
    assert_eq!(driven.reply_to(start_provider("kv", "x"))["success"], false);
    driven.finish(Outcome::ProviderRuns {
        serial,
        signed: None,
    });
    assert_eq!(driven.machine.inventory().providers.len(), 1);
    driven.finish(exit(None));
    assert_eq!(
        event_names(&driven.taken()),
        ["provider_exited", "provider_started", "provider_exited"]
    );
    let wall = "2026-01-05T10:11:12Z".parse().unwrap();
    let status = driven.machine.status(trellis_node::Millis(0), wall);
    assert_eq!(status.providers[0].restarts, 1);
    assert_eq!(
        status.providers[0].why.as_deref(),
        Some("it exited: exit status 1")
    );
    assert_eq!(driven.reply_to(start_provider("kv", "x"))["success"], true);
}

#[test]
fn the_health_of_a_provider_is_told_as_it_changes() {
    let mut driven = Driven::joined();
    driven.ask(start_provider("kv", "reg.local/kv:1"));
    let serial = driven.provider_runs();
    driven.taken();
    for healthy in [true, true, false, true] {
        driven.finish(Outcome::ProviderChecked { serial, healthy });
    }
    assert_eq!(
        event_names(&driven.taken()),
        [
            "health_check_passed",
            "health_check_status",
            "health_check_failed",
            "health_check_passed"
        ]
    );
}

#[test]
fn an_id_is_a_component_or_a_provider_and_a_built_in_must_be_there() {
    let mut driven = Driven::joined();
    driven.ask(start_provider("kv", "reg.local/kv:1"));
    let reply = driven.reply_to(scale("kv", "a:1", 1));
    assert_eq!(
        reply["message"],
        "kv is a provider on this host; choose another id"
    );
    let reply = driven.reply_to(start_provider("m", "wasmcloud+builtin://messaging-nats"));
    assert_eq!(
        reply["message"],
        "this host has no built-in provider `messaging-nats`"
    );
}

#[test]
fn a_link_is_acknowledged_when_it_is_durable_and_binds_what_runs() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", "a:1", 1));
    driven.component_runs();
    driven.taken();
    assert!(replies(&driven.ask(Request::LinkPut(link()))).is_empty());
    let work = driven.store_work()[0].clone();
    let task = StoreTask::PutLink {
        link: link(),
        unseen_config: vec!["kv-settings".to_owned()],
    };
    assert_eq!(work.task, task);
    driven.taken();
    let spec = ComponentSpec {
        url: "a:1".to_owned(),
        links: vec![link()],
    };
    let written = Some(stored_spec("cart", &spec, 7));
    let serial = work.serial;
    driven.finish(Outcome::LinkStored { serial, written });
    let told = driven.taken();
    assert!(matches!(&told[0], Effect::Rewire { ids } if *ids == [id("cart")]));
    assert!(matches!(
        &told[1],
        Effect::AnnounceLink(LinkAnnouncement::Put(_))
    ));
    assert_eq!(event_names(&told), ["linkdef_set"]);
    assert_eq!(replies(&told)[0]["message"], "successfully set link");
    let links = driven.reply_to(Request::LinkGet);
    assert_eq!(links["response"][0]["target"], "kv");
    // The watch tells the same: nothing is new.
    driven.taken();
    let put = StoreChange::Put(stored_spec("cart", &spec, 7));
    driven.input(Input::Specs(put));
    assert!(driven.taken().is_empty());
}

#[test]
fn a_link_that_is_not_stored_says_why() {
    let mut driven = Driven::joined();
    driven.ask(Request::LinkPut(link()));
    let serial = driven.store_work()[0].serial;
    let names = vec!["kv-settings".to_owned()];
    let failure = StoreFailure::MissingConfig { names };
    driven.finish(Outcome::StoreFailed { serial, failure });
    assert_eq!(event_names(&driven.effects), ["linkdef_set_failed"]);
    assert_eq!(
        replies(&driven.effects)[0]["message"],
        "Failed to validate configuration and secrets. no config or secret is named kv-settings"
    );
}

#[test]
fn a_link_is_deleted_with_the_words_of_1_x() {
    for (deletion, message, told) in [
        (
            LinkDeletion::Removed(link()),
            "successfully deleted link",
            1,
        ),
        (LinkDeletion::NoSuchLink, "successfully deleted link", 1),
        (
            LinkDeletion::NoSpec,
            "successfully deleted link (spec doesn't exist)",
            0,
        ),
    ] {
        let mut driven = Driven::joined();
        driven.ask(Request::LinkDelete(DeleteLink {
            source_id: "cart".to_owned(),
            name: "default".to_owned(),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            target: None,
        }));
        let serial = driven.store_work()[0].serial;
        driven.finish(Outcome::LinkDeleted {
            serial,
            deletion,
            written: None,
        });
        let effects = driven.taken();
        assert_eq!(event_names(&effects).len(), told);
        assert_eq!(replies(&effects)[0]["message"], message);
    }
}

#[test]
fn a_late_copy_of_a_change_is_answered_and_told_to_nobody() {
    let mut driven = Driven::joined();
    let name = ConfigName::new("settings").unwrap();
    let link = link();
    let deletion = DeleteLink {
        source_id: link.source_id.clone(),
        name: link.name.clone(),
        wit_namespace: link.wit_namespace.clone(),
        wit_package: link.wit_package.clone(),
        target: None,
    };
    let put_config = Request::ConfigPut {
        name: name.clone(),
        values: TextMap::new(),
        bytes: Bytes::from_static(b"{}"),
    };
    for (request, said) in [
        (Request::LinkPut(link), "successfully set link"),
        (Request::LinkDelete(deletion), "successfully deleted link"),
        (put_config, "successfully put config"),
        (Request::ConfigDelete(name), "successfully deleted config"),
    ] {
        driven.taken();
        let change = Some(ChangeId::new("one").unwrap());
        driven.input(Input::Request {
            request,
            change: change.clone(),
            reply: Some(ReplyTo("inbox".to_owned())),
        });
        let work = driven.store_work()[0];
        assert_eq!(work.change, change);
        let serial = work.serial;
        driven.taken();
        driven.finish(Outcome::MadeBefore { serial });
        let effects = driven.taken();
        assert_eq!(effects.len(), 1, "{effects:?}");
        assert_eq!(replies(&effects)[0]["message"], said);
    }
}

#[test]
fn config_is_put_read_and_deleted() {
    let mut driven = Driven::joined();
    let mut command = scale_to("cart", "a:1", 1);
    command.config = vec!["settings".to_owned()];
    driven.ask(Request::ComponentScale(command));
    driven.component_runs();
    driven.taken();
    let name = ConfigName::new("settings").unwrap();
    let put = Request::ConfigPut {
        name: name.clone(),
        values: TextMap::new(),
        bytes: Bytes::from_static(br#"{ "a":"1" }"#),
    };
    driven.ask(put);
    let serial = driven.store_work()[0].serial;
    driven.taken();
    let written = stored_config("settings", r#"{ "a":"1" }"#, 4);
    driven.finish(Outcome::ConfigStored { serial, written });
    let told = driven.taken();
    assert!(matches!(&told[0], Effect::Rewire { ids } if *ids == [id("cart")]));
    assert_eq!(event_names(&told), ["config_set"]);
    assert_eq!(replies(&told)[0]["message"], "successfully put config");
    for (value, reply) in [
        (
            Some(r#"{"a":"1"}"#),
            r#"{"message":"","response":{"a":"1"},"success":true}"#,
        ),
        (
            None,
            r#"{"message":"Configuration not found","success":true}"#,
        ),
    ] {
        driven.ask(Request::ConfigGet(name.clone()));
        let serial = driven.store_work()[0].serial;
        let value = value.map(|it| Bytes::from_static(it.as_bytes()));
        driven.finish(Outcome::ConfigRead { serial, value });
        assert_eq!(replies(&driven.taken())[0].to_string(), reply);
    }
    driven.ask(Request::ConfigDelete(name));
    let serial = driven.store_work()[0].serial;
    let revision = Some(5);
    driven.finish(Outcome::ConfigDeleted { serial, revision });
    let told = driven.taken();
    assert_eq!(event_names(&told), ["config_deleted"]);
    assert_eq!(replies(&told)[0]["message"], "successfully deleted config");
    let names = ["settings".to_owned()];
    assert!(driven.machine.config(&names).is_err());
    assert!(driven.machine.config_of_running(&names).is_empty());
}

#[test]
fn bad_values_in_the_store_keep_the_value_before_and_are_noted() {
    let mut driven = Driven::joined();
    let put =
        |json: &str, revision| Input::Configs(StoreChange::Put(stored_config("a", json, revision)));
    driven.input(put(r#"{"k":"v"}"#, 1));
    driven.input(put("[", 2));
    assert!(
        driven
            .effects
            .iter()
            .any(|it| matches!(it, Effect::Note(_)))
    );
    assert_eq!(driven.machine.config(&["a".to_owned()]).unwrap()["k"], "v");
    driven.input(put(r#"{"k":"w"}"#, 3));
    assert_eq!(driven.machine.config(&["a".to_owned()]).unwrap()["k"], "w");
}

#[test]
fn labels_are_put_and_deleted_and_bounded() {
    let mut driven = Driven::joined();
    let put = |key: &str| {
        Request::LabelPut(Label {
            key: key.to_owned(),
            value: "b".to_owned(),
        })
    };
    assert_eq!(
        driven.reply_to(put("zone"))["message"],
        "successfully put label"
    );
    assert_eq!(event_names(&driven.taken()), ["labels_changed"]);
    let delete = |key: &str| {
        Request::LabelDelete(LabelKey {
            key: key.to_owned(),
        })
    };
    assert_eq!(
        driven.reply_to(delete("zone"))["message"],
        "successfully deleted label"
    );
    driven.taken();
    let absent = driven.reply_to(delete("zone"));
    assert_eq!(
        absent["message"],
        "successfully deleted label (no such label)"
    );
    assert!(event_names(&driven.taken()).is_empty());
    for number in 0..LABELS_MAX {
        assert_eq!(driven.reply_to(put(&number.to_string()))["success"], true);
    }
    assert_eq!(driven.reply_to(put("more"))["success"], false);
    assert_eq!(
        driven.reply_to(put(&"long".repeat(1_000)))["success"],
        false
    );
}

#[test]
fn registries_go_to_the_shell_and_bad_requests_are_answered_in_their_envelope() {
    let mut driven = Driven::joined();
    let reply = driven.reply_to(Request::RegistryPut(Registries::new()));
    assert_eq!(reply["message"], "successfully put registries");
    for (envelope, has) in [(Envelope::OneX, "message"), (Envelope::Ours, "error")] {
        driven.taken();
        driven.input(Input::BadRequest {
            error: trellis_control::DecodeError::EmptyField {
                request: "link",
                field: "wit_namespace",
            },
            envelope,
            reply: Some(trellis_node::ReplyTo("inbox".to_owned())),
        });
        assert!(replies(&driven.effects)[0].get(has).is_some());
    }
}

#[test]
fn every_table_is_full_at_its_bound() {
    let mut driven = Driven::joined();
    for number in 0..COMPONENTS_MAX {
        let adopted = trellis_node::Adopted::Component {
            settings: trellis_node::ComponentSettings::default(),
            digest: String::new(),
            signed: None,
        };
        let id = id(&format!("c{number}"));
        let now = trellis_node::Millis(0);
        driven
            .machine
            .adopt(now, id, adopted, &mut driven.effects)
            .unwrap();
    }
    let reply = driven.reply_to(scale("one-more", "a:1", 1));
    assert_eq!(
        reply["message"],
        "this host already has 4000 components, the most it takes; start one-more on another host"
    );
    for number in 0..PROVIDERS_MAX {
        driven.ask(start_provider(&format!("p{number}"), "reg.local/kv:1"));
    }
    assert_eq!(
        driven.reply_to(start_provider("one-more", "x"))["success"],
        false
    );
    // A failure makes room.
    let serial = driven.provider_work()[0].serial;
    assert!(matches!(
        driven.provider_work()[0].action,
        ProviderAction::Start(_)
    ));
    let why = "no".to_owned();
    driven.finish(Outcome::ProviderFailed { serial, why });
    assert_eq!(
        driven.reply_to(start_provider("one-more", "x"))["success"],
        true
    );
    driven.taken();
    for _ in 0..STORE_TASKS_MAX {
        assert!(replies(&driven.ask(Request::LinkPut(link()))).is_empty());
    }
    assert_eq!(driven.reply_to(Request::LinkPut(link()))["success"], false);
    let mut command = scale_to("c1", "a:1", 1);
    command.config = vec!["x".repeat(20_000)];
    assert_eq!(
        driven.reply_to(Request::ComponentScale(command))["success"],
        false
    );
}
