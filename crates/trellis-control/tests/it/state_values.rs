//! Golden JSON of what the state store holds.

use trellis_control::{Claims, ComponentClaims, ComponentSpec, Link, ProviderClaims};

use crate::support::{check, check_reads, error_of, names, text};

#[test]
fn a_spec_is_the_sample_of_the_reference() {
    let spec = ComponentSpec {
        url: text("reg.local/cart:1.2.0"),
        links: vec![Link {
            source_id: text("shop-cart"),
            target: text("shop-kv"),
            name: text("default"),
            wit_namespace: text("wasi"),
            wit_package: text("keyvalue"),
            interfaces: names(["store"]),
            source_config: Vec::new(),
            target_config: names(["kv-settings"]),
        }],
    };
    check(
        &spec,
        concat!(
            r#"{"url":"reg.local/cart:1.2.0","links":[{"source_id":"shop-cart","target":"shop-kv","#,
            r#""name":"default","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"],"#,
            r#""source_config":[],"target_config":["kv-settings"]}]}"#
        ),
    );
    check_reads(&ComponentSpec::default(), r#"{"url":""}"#);
    assert_eq!(
        error_of::<ComponentSpec>(r#"{"url":"","links":[{"source_id":"a","target":7}]}"#),
        "line 1 column 46, field `links[0].target`: invalid type: integer `7`, expected a string"
    );
}

#[test]
fn claims_have_two_forms() {
    let component = Claims::Component(ComponentClaims {
        call_alias: String::new(),
        issuer: text("ACME"),
        name: text("cart"),
        revision: text("3"),
        subject: text("MCART"),
        tags: names(["demo"]),
        version: text("1.2.0"),
    });
    // The sample of the reference.
    check(
        &component,
        concat!(
            r#"{"call_alias":"","issuer":"ACME","name":"cart","revision":"3","subject":"MCART","#,
            r#""tags":["demo"],"version":"1.2.0"}"#
        ),
    );
    check_reads(
        &component,
        concat!(
            r#"{"call_alias":"","iss":"ACME","name":"cart","rev":"3","sub":"MCART","#,
            r#""tags":"demo","version":"1.2.0"}"#
        ),
    );
    let provider = Claims::Provider(ProviderClaims {
        issuer: text("ACME"),
        name: text("kv"),
        revision: text("1"),
        subject: text("VKV"),
        version: text("1.0.0"),
        config_schema: Some(text("{}")),
    });
    check(
        &provider,
        concat!(
            r#"{"issuer":"ACME","name":"kv","revision":"1","subject":"VKV","version":"1.0.0","#,
            r#""config_schema":"{}"}"#
        ),
    );
    assert_eq!(provider.subject(), "VKV");
}

#[test]
fn tags_are_a_list_or_joined() {
    let tags = |tags: &str| {
        let wire = format!(r#"{{"call_alias":"","issuer":"A","subject":"M","tags":{tags}}}"#);
        match trellis_control::decode::<Claims>(wire.as_bytes(), 1_000) {
            Ok(Claims::Component(it)) => it.tags,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(tags(r#""""#), Vec::<String>::new());
    assert_eq!(tags(r#""a,b""#), names(["a", "b"]));
    assert_eq!(tags(r#"["a,b"]"#), names(["a,b"]));
    assert!(error_of::<Claims>(r#"{"issuer":"A","subject":""}"#).contains("subject"));
}
