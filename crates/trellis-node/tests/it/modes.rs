//! Every mode, entered and left.

use trellis_control::{
    ComponentSpec, DrainAction, DrainCommand, HostMode, Link, Request, ScaleComponentCommand,
    StopHostCommand, TextMap,
};
use trellis_node::{
    Adopted, ComponentAction, ComponentSettings, Effect, Input, LeaseOutcome, Millis, Outcome,
    SINGLETON_ANNOTATION, StoreChange,
};

use crate::support::{
    Driven, event_names, events, id, incarnation, replies, stored_config, stored_spec,
};

fn scale(id: &str, count: u32) -> Request {
    Request::ComponentScale(ScaleComponentCommand {
        component_ref: "reg.local/cart:1".to_owned(),
        component_id: id.to_owned(),
        count,
        ..ScaleComponentCommand::default()
    })
}

fn singleton(id: &str) -> Request {
    let Request::ComponentScale(mut command) = scale(id, 1) else {
        unreachable!()
    };
    let annotation = (SINGLETON_ANNOTATION.to_owned(), "true".to_owned());
    command.annotations = TextMap::from([annotation]);
    Request::ComponentScale(command)
}

fn drain(action: DrainAction) -> Request {
    Request::Drain(DrainCommand {
        action,
        timeout_ms: None,
    })
}

/// Returns the words with which the host refuses to start something.
fn refusal(driven: &mut Driven) -> String {
    let reply = driven.reply_to(scale("refused", 1));
    assert_eq!(reply["success"], false);
    assert!(
        driven
            .component_work()
            .iter()
            .all(|it| it.id != id("refused"))
    );
    reply["message"].as_str().unwrap().to_owned()
}

fn cart_spec() -> ComponentSpec {
    ComponentSpec {
        url: "reg.local/cart:1".to_owned(),
        links: vec![Link {
            source_id: "cart".to_owned(),
            target: "kv".to_owned(),
            wit_namespace: "wasi".to_owned(),
            wit_package: "keyvalue".to_owned(),
            interfaces: vec!["store".to_owned()],
            ..Link::default()
        }],
    }
}

#[test]
fn a_host_joins_once_it_is_connected_has_read_the_state_and_has_a_lease() {
    let mut driven = Driven::new();
    assert_eq!(driven.machine.mode(), HostMode::Detached);
    assert!(refusal(&mut driven).contains("is detached for 0s, because it has not connected yet"));
    driven.input(Input::Connected);
    assert_eq!(driven.machine.mode(), HostMode::Degraded);
    assert_eq!(
        refusal(&mut driven),
        "host N1 (quiet-lake) of lattice \"shop\" is still reading the lattice state; try again in a \
         moment, or run `trellis doctor` to see what it cannot reach"
    );
    assert!(event_names(&driven.effects).is_empty());
    driven.read_empty();
    assert_eq!(driven.machine.mode_why(), "it has no lease yet");
    // Whoever hears that it is there gives it work at once.
    assert!(event_names(&driven.effects).is_empty());
    driven.renew();
    assert_eq!(driven.machine.mode(), HostMode::Joined);
    let told = event_names(&driven.effects);
    assert_eq!(told, ["host_started", "host_mode_changed"]);
}

#[test]
fn a_host_that_gets_no_lease_says_after_a_while_that_it_is_there_all_the_same() {
    let mut driven = Driven::new();
    driven.input(Input::Connected);
    driven.read_empty();
    driven.pass(4_500, false);
    assert!(event_names(&driven.effects).is_empty());
    driven.pass(3_000, false);
    assert_eq!(driven.machine.mode(), HostMode::Degraded);
    let told = event_names(&driven.effects);
    assert_eq!(told, ["host_started", "host_heartbeat"]);
}

#[test]
fn heartbeats_come_soon_after_the_start_then_on_a_grid_of_the_hosts_own() {
    let mut driven = Driven::joined();
    driven.pass(120_000, true);
    let beats: Vec<_> = event_names(&driven.effects);
    let beats = beats.iter().filter(|it| **it == "host_heartbeat").count();
    assert!((5..=6).contains(&beats), "{beats}");
    // None while nobody can hear it, one soon after.
    let why = "gone".to_owned();
    driven.input(Input::Disconnected { why });
    driven.taken();
    driven.pass(60_000, false);
    assert!(event_names(&driven.effects).is_empty());
    driven.input(Input::Connected);
    driven.pass(2_000, true);
    assert!(event_names(&driven.effects).contains(&"host_heartbeat"));
}

#[test]
fn a_stale_state_degrades_a_host_until_it_is_fresh() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", 1));
    driven.component_runs();
    driven.taken();
    let since = Millis(0);
    driven.input(Input::Specs(StoreChange::Stale { since }));
    assert_eq!(driven.machine.mode(), HostMode::Degraded);
    assert!(refusal(&mut driven).contains("starts and stops nothing; run `trellis doctor`"));
    // It stops nothing, keeps what runs, and still tries to write.
    let reply = driven.reply_to(scale("cart", 0));
    assert_eq!(reply["success"], false);
    assert!(driven.component_work().is_empty());
    let effects = driven.ask(Request::LinkPut(cart_spec().links.remove(0)));
    assert!(matches!(effects[..], [Effect::Store(_)]));
    driven.input(Input::Specs(StoreChange::Fresh));
    assert_eq!(driven.machine.mode(), HostMode::Joined);
}

#[test]
fn a_detached_host_changes_nothing_and_converges_when_it_is_back() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", 1));
    driven.component_runs();
    driven.ask(scale("cart", 2));
    driven.ask(scale("cart", 0));
    driven.taken();
    let why = "the server does not answer".to_owned();
    driven.input(Input::Disconnected { why });
    assert_eq!(driven.machine.mode(), HostMode::Detached);
    driven.pass(3_500, false);
    assert!(driven.component_work().is_empty(), "{:?}", driven.effects);
    assert!(driven.machine.runs(&id("cart")));
    driven.input(Input::Connected);
    assert_eq!(
        driven.machine.mode(),
        HostMode::Joined,
        "the lease still holds"
    );
    driven.input(Input::Specs(StoreChange::Put(stored_spec(
        "cart",
        &cart_spec(),
        5,
    ))));
    assert_eq!(driven.machine.links_of(&id("kv")).inbound.len(), 1);
    let told = events(&driven.effects).len();
    assert!(told > 0, "{:?}", driven.effects);
}

#[test]
fn while_the_store_is_rewound_links_stay_until_an_operator_takes_it_as_it_is() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", 1));
    driven.component_runs();
    driven.input(Input::Specs(StoreChange::Put(stored_spec(
        "cart",
        &cart_spec(),
        5,
    ))));
    driven.taken();
    let why = "it was deleted and made again".to_owned();
    driven.input(Input::Specs(StoreChange::Rewound { why }));
    assert_eq!(driven.machine.mode(), HostMode::StoreRewound);
    assert!(
        refusal(&mut driven).contains("then restore the lattice state, or take it as it is now")
    );
    // As long as there is nothing to read, there is nothing to accept.
    let reply = driven.reply_to(drain(DrainAction::Resume));
    assert_eq!(reply["error"]["code"], "unavailable");
    driven.input(Input::Specs(StoreChange::Reset {
        entries: Vec::new(),
        incarnation: incarnation("second", 0),
    }));
    assert_eq!(driven.machine.links_of(&id("cart")).outbound.len(), 1);
    assert!(driven.component_work().is_empty());
    let links = driven.reply_to(Request::LinkGet);
    assert_eq!(links["response"][0]["target"], "kv");
    let effects = driven.ask(drain(DrainAction::Resume));
    assert!(matches!(effects.last(), Some(Effect::Delegate { .. })));
    let rewired = |it: &Effect| matches!(it, Effect::Rewire { ids } if *ids == [id("cart")]);
    assert!(effects.iter().any(rewired), "{effects:?}");
    assert_eq!(driven.machine.mode(), HostMode::Joined);
    assert!(driven.machine.links_of(&id("cart")).outbound.is_empty());
}

#[test]
fn a_rewound_store_that_is_a_later_state_again_needs_no_operator() {
    let mut driven = Driven::joined();
    let put = StoreChange::Put(stored_config("a", r#"{"k":"v"}"#, 3));
    driven.input(Input::Configs(put));
    let why = "it does not exist any more".to_owned();
    driven.input(Input::Configs(StoreChange::Rewound { why }));
    let reset = |revision| StoreChange::Reset {
        entries: vec![stored_config("a", r#"{"k":"w"}"#, revision)],
        incarnation: incarnation("first", revision),
    };
    driven.input(Input::Configs(reset(2)));
    assert_eq!(driven.machine.mode(), HostMode::StoreRewound);
    let names = ["a".to_owned()];
    assert_eq!(driven.machine.config(&names).unwrap()["k"], "v");
    driven.input(Input::Configs(reset(4)));
    assert_eq!(driven.machine.mode(), HostMode::Joined);
    assert_eq!(driven.machine.config(&names).unwrap()["k"], "w");
}

#[test]
fn singletons_stop_three_seconds_after_the_last_renewal_and_start_under_the_next_lease() {
    let mut driven = Driven::joined();
    driven.ask(scale("many", 1));
    driven.component_runs();
    driven.ask(singleton("one"));
    driven.component_runs();
    let annotation = (SINGLETON_ANNOTATION.to_owned(), "true".to_owned());
    let settings = ComponentSettings {
        image: "local".to_owned(),
        instances_max: 1,
        annotations: TextMap::from([annotation]),
        ..ComponentSettings::default()
    };
    let adopted = Adopted::Component {
        settings,
        digest: String::new(),
        signed: None,
    };
    driven
        .machine
        .adopt(Millis(0), id("two"), adopted, &mut driven.effects)
        .unwrap();
    let why = "gone".to_owned();
    driven.input(Input::Disconnected { why });
    driven.taken();
    driven.pass(2_900, false);
    assert!(driven.component_work().is_empty());
    driven.now = 3_000;
    driven.input(Input::Tick);
    let stopped: Vec<_> = driven.component_work().into_iter().cloned().collect();
    assert!(stopped.iter().all(|it| it.action == ComponentAction::Stop));
    assert_eq!(
        stopped.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    for work in stopped {
        let serial = work.serial;
        driven.finish(Outcome::ComponentStopped { serial });
    }
    assert_eq!(driven.machine.inventory().components.len(), 1);
    driven.pass(2_000, false);
    driven.taken();
    driven.input(Input::Connected);
    assert_eq!(driven.machine.mode(), HostMode::Fenced);
    assert!(refusal(&mut driven).contains("because it could not renew its lease for 4 s"));
    assert!(driven.component_work().is_empty());
    driven.renew();
    assert_eq!(driven.machine.mode(), HostMode::Joined);
    assert_eq!(driven.component_work().len(), 2, "{:?}", driven.effects);
}

#[test]
fn a_renewal_that_a_busy_host_looks_at_late_was_in_time() {
    let mut driven = Driven::joined();
    driven.now = 2_000;
    driven.input(Input::Tick);
    let asked = Millis(2_000);
    // The answer came long ago; the host had no time to look at anything until the old lease was over.
    driven.now = 4_200;
    driven.input(Input::Lease(LeaseOutcome::Renewed { asked }));
    assert_eq!(driven.machine.mode(), HostMode::Joined);
    driven.now = 6_000;
    driven.input(Input::Lease(LeaseOutcome::Renewed { asked }));
    assert_eq!(
        driven.machine.mode(),
        HostMode::Fenced,
        "it counts from when it was asked for"
    );
}

#[test]
fn a_lease_that_another_took_fences_at_once() {
    let mut driven = Driven::joined();
    let (asked, why) = (Millis(0), "another host holds it".to_owned());
    driven.input(Input::Lease(LeaseOutcome::Lost { asked, why }));
    assert_eq!(driven.machine.mode(), HostMode::Fenced);
    assert_eq!(driven.machine.mode_why(), "another host holds it");
    driven.pass(1_000, true);
    assert_eq!(driven.machine.mode(), HostMode::Joined);
}

#[test]
fn a_drained_host_may_stop_but_not_start_until_it_is_resumed() {
    let mut driven = Driven::joined();
    driven.ask(scale("cart", 1));
    driven.component_runs();
    driven.taken();
    let effects = driven.ask(drain(DrainAction::Drain));
    assert!(matches!(effects.last(), Some(Effect::Delegate { .. })));
    assert_eq!(event_names(&effects), ["host_mode_changed"]);
    assert_eq!(driven.machine.mode(), HostMode::Draining);
    assert!(refusal(&mut driven).contains("use another host (`trellis get hosts`)"));
    assert_eq!(driven.reply_to(scale("cart", 0))["success"], true);
    assert_eq!(driven.component_work().len(), 1);
    driven.ask(drain(DrainAction::Resume));
    assert_eq!(driven.machine.mode(), HostMode::Joined);
}

#[test]
fn a_host_that_is_told_to_stop_drains_shuts_down_and_says_so_last() {
    let mut driven = Driven::joined();
    let timeout = Some(1_500);
    let effects = driven.ask(Request::HostStop(StopHostCommand {
        timeout,
        ..StopHostCommand::default()
    }));
    assert_eq!(
        replies(&effects)[0].to_string(),
        r#"{"message":"successfully handled stop host","success":true}"#
    );
    let shuts = |it: &Effect| matches!(it, Effect::Shutdown { timeout: Some(it) } if it.as_millis() == 1_500);
    assert!(effects.iter().any(shuts), "{effects:?}");
    assert_eq!(driven.machine.mode(), HostMode::Draining);
    let again = driven.ask(Request::HostStop(StopHostCommand::default()));
    assert_eq!(again.len(), 1, "only the reply: {again:?}");
    let resumed = driven.reply_to(drain(DrainAction::Resume));
    assert_eq!(resumed["error"]["code"], "unavailable");
    driven.taken();
    driven.input(Input::Stopped);
    assert_eq!(event_names(&driven.effects), ["host_stopped"]);
    driven.taken();
    driven.pass(60_000, false);
    assert!(driven.effects.is_empty());
}

#[test]
fn what_was_known_before_a_restart_is_used_until_the_state_is_read() {
    let mut driven = Driven::new();
    driven.input(Input::Specs(StoreChange::Recalled {
        entries: vec![stored_spec("cart", &cart_spec(), 5)],
        incarnation: incarnation("first", 5),
    }));
    assert_eq!(driven.machine.links_of(&id("cart")).outbound.len(), 1);
    assert_eq!(driven.machine.mode(), HostMode::Detached);
    driven.input(Input::Connected);
    driven.read_empty();
    assert!(driven.machine.links_of(&id("cart")).outbound.is_empty());
}
