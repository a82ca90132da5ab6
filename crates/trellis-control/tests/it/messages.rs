//! Golden JSON of every message that 1.x knows.

use trellis_control::{
    Claims, ComponentAuctionAck, ComponentAuctionRequest, ComponentClaims, ComponentDescription,
    CtlResponse, DeleteLink, Host, HostInventory, Label, LabelKey, Link, ProviderAuctionAck,
    ProviderAuctionRequest, ProviderClaims, ProviderDescription, Registries, RegistryCredential,
    ScaleComponentCommand, StartProviderCommand, StopHostCommand, StopProviderCommand, TextMap,
    UpdateComponentCommand, claims_map,
};

use crate::support::{check, check_reads, check_writes_and_reads, error_of, names, text, text_map};

#[test]
fn the_envelope_leaves_out_what_it_does_not_have() {
    check(
        &CtlResponse::data(text_map([("id", "NABC")])),
        r#"{"success":true,"message":"","response":{"id":"NABC"}}"#,
    );
    check(
        &CtlResponse::<TextMap>::failure("provider with that ID is not running"),
        r#"{"success":false,"message":"provider with that ID is not running"}"#,
    );
    check(
        &CtlResponse::done("successfully set link"),
        r#"{"success":true,"message":"successfully set link"}"#,
    );
    let bare = CtlResponse::<TextMap>::failure("");
    check_reads(&bare, r#"{"success":false,"response":null}"#);
    assert_eq!(
        error_of::<CtlResponse<TextMap>>(r#"{"message":""}"#),
        "line 1 column 14: missing field `success`"
    );
}

#[test]
fn a_host_leaves_out_what_it_does_not_know() {
    let host = Host {
        rpc_host: Some(text("nats://127.0.0.1:4222")),
        ctl_host: Some(text("nats://127.0.0.1:4222")),
        friendly_name: text("quiet-lake-1234"),
        id: text("NCEX"),
        js_domain: Some(text("leaf")),
        labels: text_map([("hostcore.os", "linux")]),
        lattice: text("default"),
        uptime_human: Some(text("1h 2m 3s")),
        uptime_seconds: 3_723,
        version: Some(text("1.9.2")),
    };
    check(
        &host,
        concat!(
            r#"{"rpc_host":"nats://127.0.0.1:4222","ctl_host":"nats://127.0.0.1:4222","#,
            r#""friendly_name":"quiet-lake-1234","id":"NCEX","js_domain":"leaf","#,
            r#""labels":{"hostcore.os":"linux"},"lattice":"default","uptime_human":"1h 2m 3s","#,
            r#""uptime_seconds":3723,"version":"1.9.2"}"#
        ),
    );
    check(
        &Host::default(),
        r#"{"friendly_name":"","id":"","labels":{},"lattice":"","uptime_seconds":0}"#,
    );
    check_reads(&Host::default(), r#"{"labels":null,"version":null}"#);
}

/// The sample of the reference.
const INVENTORY: &str = concat!(
    r#"{"success":true,"message":"","response":{"components":[{"id":"shop-cart","image_ref":"reg.local/cart:1.2.0","#,
    r#""annotations":{},"revision":0,"max_instances":8,"limits":null}],"providers":[{"id":"shop-http","#,
    r#""image_ref":"reg.local/http:0.28.0","name":"http","revision":0,"annotations":{"team":"web"}}],"#,
    r#""host_id":"NCEX","friendly_name":"quiet-lake-1234","labels":{"hostcore.arch":"x86_64","#,
    r#""hostcore.os":"linux","hostcore.osfamily":"unix"},"version":"1.9.2","uptime_human":"1h 2m 3s","#,
    r#""uptime_seconds":3723}}"#
);

#[test]
fn an_inventory_is_the_sample_of_the_reference() {
    let inventory = HostInventory {
        components: vec![ComponentDescription {
            id: text("shop-cart"),
            image_ref: text("reg.local/cart:1.2.0"),
            max_instances: 8,
            ..ComponentDescription::default()
        }],
        providers: vec![ProviderDescription {
            id: text("shop-http"),
            image_ref: Some(text("reg.local/http:0.28.0")),
            name: Some(text("http")),
            annotations: text_map([("team", "web")]),
            ..ProviderDescription::default()
        }],
        host_id: text("NCEX"),
        friendly_name: text("quiet-lake-1234"),
        labels: text_map([
            ("hostcore.arch", "x86_64"),
            ("hostcore.os", "linux"),
            ("hostcore.osfamily", "unix"),
        ]),
        version: text("1.9.2"),
        uptime_human: text("1h 2m 3s"),
        uptime_seconds: 3_723,
    };
    check(&CtlResponse::data(inventory), INVENTORY);
}

#[test]
fn an_inventory_of_an_old_host_is_read() {
    let inventory = HostInventory {
        components: vec![ComponentDescription {
            id: text("cart"),
            name: Some(text("Cart")),
            limits: Some(text_map([("max_memory_limit", "1024")])),
            ..ComponentDescription::default()
        }],
        ..HostInventory::default()
    };
    check_reads(
        &inventory,
        r#"{"actors":[{"id":"cart","name":"Cart","annotations":null,"limits":{"max_memory_limit":"1024"}}],"providers":[]}"#,
    );
    check_reads(&HostInventory::default(), r#"{"components":null}"#);
}

#[test]
fn auctions_always_have_constraints() {
    check(
        &ComponentAuctionRequest {
            component_ref: text("reg.local/cart:1.2.0"),
            component_id: text("shop-cart"),
            constraints: TextMap::new(),
        },
        r#"{"component_ref":"reg.local/cart:1.2.0","component_id":"shop-cart","constraints":{}}"#,
    );
    check(
        &ComponentAuctionAck {
            component_ref: text("reg.local/cart:1.2.0"),
            component_id: text("shop-cart"),
            host_id: text("NCEX"),
            constraints: text_map([("zone", "a")]),
        },
        concat!(
            r#"{"component_ref":"reg.local/cart:1.2.0","component_id":"shop-cart","host_id":"NCEX","#,
            r#""constraints":{"zone":"a"}}"#
        ),
    );
    check(
        &ProviderAuctionRequest {
            provider_ref: text("reg.local/kv:1"),
            provider_id: text("shop-kv"),
            constraints: text_map([("zone", "a")]),
        },
        r#"{"provider_ref":"reg.local/kv:1","provider_id":"shop-kv","constraints":{"zone":"a"}}"#,
    );
    check(
        &ProviderAuctionAck {
            host_id: text("NCEX"),
            provider_ref: text("reg.local/kv:1"),
            provider_id: text("shop-kv"),
            constraints: TextMap::new(),
        },
        r#"{"host_id":"NCEX","provider_ref":"reg.local/kv:1","provider_id":"shop-kv","constraints":{}}"#,
    );
    check_reads(&ComponentAuctionAck::default(), r#"{"constraints":null}"#);
    check_reads(&ProviderAuctionAck::default(), "{}");
}

#[test]
fn a_scale_command_calls_its_instances_count() {
    let full = ScaleComponentCommand {
        component_ref: text("reg.local/cart:1.2.0"),
        component_id: text("shop-cart"),
        annotations: text_map([("team", "web")]),
        count: 8,
        component_limits: Some(text_map([("max_memory_limit", "1048576")])),
        host_id: text("NCEX"),
        config: names(["settings", "SECRET_key"]),
        allow_update: true,
    };
    check(
        &full,
        concat!(
            r#"{"component_ref":"reg.local/cart:1.2.0","component_id":"shop-cart","#,
            r#""annotations":{"team":"web"},"count":8,"component_limits":{"max_memory_limit":"1048576"},"#,
            r#""host_id":"NCEX","config":["settings","SECRET_key"],"allow_update":true}"#
        ),
    );
    let least = ScaleComponentCommand {
        component_id: text("shop-cart"),
        ..ScaleComponentCommand::default()
    };
    check(
        &least,
        r#"{"component_ref":"","component_id":"shop-cart","count":0,"host_id":"","config":[],"allow_update":false}"#,
    );
    check_reads(&least, r#"{"component_id":"shop-cart"}"#);
    check_reads(
        &least,
        r#"{"component_id":"shop-cart","annotations":null,"component_limits":null,"config":null}"#,
    );
    assert_eq!(
        error_of::<ScaleComponentCommand>("{\n \"component_id\": \"a\",\n \"count\": -1}"),
        "line 3 column 12, field `count`: invalid value: integer `-1`, expected u32"
    );
    assert_eq!(
        error_of::<ScaleComponentCommand>(r#"{"count":1}"#),
        "line 1 column 11: missing field `component_id`"
    );
}

#[test]
fn an_update_command_has_defaults_for_everything() {
    check(
        &UpdateComponentCommand {
            component_id: text("shop-cart"),
            annotations: TextMap::new(),
            host_id: text("NCEX"),
            new_component_ref: text("reg.local/cart:1.3.0"),
        },
        r#"{"component_id":"shop-cart","host_id":"NCEX","new_component_ref":"reg.local/cart:1.3.0"}"#,
    );
    check_reads(&UpdateComponentCommand::default(), "{}");
}

#[test]
fn provider_commands() {
    check(
        &StartProviderCommand {
            provider_id: text("shop-kv"),
            provider_ref: text("reg.local/kv:1"),
            host_id: text("NCEX"),
            config: names(["settings"]),
            annotations: text_map([("team", "web")]),
        },
        concat!(
            r#"{"provider_id":"shop-kv","provider_ref":"reg.local/kv:1","host_id":"NCEX","#,
            r#""config":["settings"],"annotations":{"team":"web"}}"#
        ),
    );
    let least = StartProviderCommand {
        provider_id: text("shop-kv"),
        ..StartProviderCommand::default()
    };
    check_reads(&least, r#"{"provider_id":"shop-kv","config":null}"#);
    assert_eq!(
        error_of::<StartProviderCommand>("{}"),
        "line 1 column 2: missing field `provider_id`"
    );
    let stop = StopProviderCommand {
        host_id: text("NCEX"),
        provider_id: text("shop-kv"),
    };
    check(&stop, r#"{"host_id":"NCEX","provider_id":"shop-kv"}"#);
    check_reads(&stop, r#"{"host_id":"NCEX","provider_ref":"shop-kv"}"#);
}

#[test]
fn a_stop_command_counts_milliseconds() {
    check(
        &StopHostCommand {
            host_id: text("NCEX"),
            timeout: Some(1_500),
        },
        r#"{"host_id":"NCEX","timeout":1500}"#,
    );
    check(&StopHostCommand::default(), r#"{"host_id":""}"#);
    check_reads(&StopHostCommand::default(), r#"{"timeout":null}"#);
}

#[test]
fn labels() {
    check(
        &Label {
            key: text("zone"),
            value: text("a"),
        },
        r#"{"key":"zone","value":"a"}"#,
    );
    check(&LabelKey { key: text("zone") }, r#"{"key":"zone"}"#);
    assert_eq!(
        error_of::<Label>(r#"{"key":"zone"}"#),
        "line 1 column 14: missing field `value`"
    );
}

#[test]
fn a_link_is_the_sample_of_the_reference() {
    let link = Link {
        source_id: text("shop-cart"),
        target: text("shop-kv"),
        name: text("default"),
        wit_namespace: text("wasi"),
        wit_package: text("keyvalue"),
        interfaces: names(["store", "atomics"]),
        source_config: Vec::new(),
        target_config: names(["kv-settings", "SECRET_kv-password"]),
    };
    check(
        &link,
        concat!(
            r#"{"source_id":"shop-cart","target":"shop-kv","name":"default","wit_namespace":"wasi","#,
            r#""wit_package":"keyvalue","interfaces":["store","atomics"],"source_config":[],"#,
            r#""target_config":["kv-settings","SECRET_kv-password"]}"#
        ),
    );
    let least = Link {
        source_config: Vec::new(),
        target_config: Vec::new(),
        ..link
    };
    check_reads(
        &least,
        concat!(
            r#"{"source_id":"shop-cart","target":"shop-kv","wit_namespace":"wasi","#,
            r#""wit_package":"keyvalue","interfaces":["store","atomics"],"source_config":null}"#
        ),
    );
    assert_eq!(
        error_of::<Link>(
            r#"{"source_id":"a","target":"b","wit_namespace":"wasi","wit_package":"kv"}"#
        ),
        "line 1 column 72: missing field `interfaces`"
    );
}

#[test]
fn a_link_deletion_names_a_target_only_when_asked_to() {
    let deletion = DeleteLink {
        source_id: text("shop-cart"),
        name: text("default"),
        wit_namespace: text("wasi"),
        wit_package: text("keyvalue"),
        target: None,
    };
    let wire = r#"{"source_id":"shop-cart","name":"default","wit_namespace":"wasi","wit_package":"keyvalue"}"#;
    check(&deletion, wire);
    check_reads(&deletion, &wire.replace(r#""name":"default","#, ""));
    let target = Some(text("shop-kv"));
    let ours = wire.replace('}', r#","target":"shop-kv"}"#);
    check(&DeleteLink { target, ..deletion }, &ours);
}

#[test]
fn registries_say_their_type_in_camel_case() {
    let registries = Registries::from([(
        text("reg.local:5000"),
        RegistryCredential {
            password: Some(text("pw")),
            token: None,
            username: Some(text("bob")),
            registry_type: text("oci"),
        },
    )]);
    check_writes_and_reads(
        &registries,
        r#"{"reg.local:5000":{"password":"pw","username":"bob","registryType":"oci"}}"#,
    );
}

#[test]
fn a_registry_is_oci_unless_it_says_otherwise() {
    let registries: Registries =
        trellis_control::decode(br#"{"r":{"token":"t","password":null}}"#, 1_000).unwrap();
    assert_eq!(registries["r"].registry_type, "oci");
    assert_eq!(registries["r"].token.as_deref(), Some("t"));
}

#[test]
fn claims_have_their_legacy_keys() {
    let component = Claims::Component(ComponentClaims {
        issuer: text("ACME"),
        name: text("cart"),
        revision: text("3"),
        subject: text("MCART"),
        tags: names(["demo", "x"]),
        version: text("1.2.0"),
        ..ComponentClaims::default()
    });
    check_writes_and_reads(
        &claims_map(&component),
        concat!(
            r#"{"call_alias":"","iss":"ACME","issuer":"ACME","name":"cart","rev":"3","revision":"3","#,
            r#""sub":"MCART","subject":"MCART","tags":"demo,x","version":"1.2.0"}"#
        ),
    );
    let provider = Claims::Provider(ProviderClaims {
        issuer: text("ACME"),
        subject: text("VKV"),
        ..ProviderClaims::default()
    });
    check_writes_and_reads(
        &claims_map(&provider),
        concat!(
            r#"{"config_schema":"","iss":"ACME","issuer":"ACME","name":"","rev":"","revision":"","#,
            r#""sub":"VKV","subject":"VKV","version":""}"#
        ),
    );
}
