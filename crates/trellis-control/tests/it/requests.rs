//! Subject and payload to typed request, and what senders of bad ones are told.

use bytes::Bytes;
use trellis_control::{
    ConfigName, DecodeError, Label, REQUEST_BYTES_MAX, Request, ScaleComponentCommand,
    StopHostCommand,
};

use crate::support::{subjects, text_map};

fn decode(tail: &str, payload: &str) -> Result<Request, DecodeError> {
    let base = if tail.contains('.') && !tail.starts_with("own ") {
        "wasmbus.ctl.v1.shop."
    } else {
        "trellis.v1.shop."
    };
    let subject = format!("{base}{}", tail.trim_start_matches("own "));
    Request::decode(&subjects(), &subject, &Bytes::from(payload.to_owned()))
}

fn refusal(tail: &str, payload: &str) -> String {
    decode(tail, payload).expect_err("a bad request").message()
}

#[test]
fn requests_are_read_by_their_subject() {
    assert_eq!(decode("host.ping", ""), Ok(Request::HostPing));
    assert_eq!(decode("host.get.NCEX", "ignored"), Ok(Request::HostGet));
    assert_eq!(decode("link.get", ""), Ok(Request::LinkGet));
    assert_eq!(decode("own status.NCEX", ""), Ok(Request::Status));
    assert_eq!(
        decode(
            "component.scale.NCEX",
            r#"{"component_id":"cart","component_ref":"r","count":3}"#
        ),
        Ok(Request::ComponentScale(ScaleComponentCommand {
            component_id: "cart".to_owned(),
            component_ref: "r".to_owned(),
            count: 3,
            ..ScaleComponentCommand::default()
        }))
    );
    assert_eq!(
        decode("label.put.NCEX", r#"{"key":"zone","value":""}"#),
        Ok(Request::LabelPut(Label {
            key: "zone".to_owned(),
            value: String::new(),
        }))
    );
}

#[test]
fn config_keeps_its_bytes() {
    let text = "{ \"a\" :\t\"1\" }";
    assert_eq!(
        decode("config.put.kv-settings", text),
        Ok(Request::ConfigPut {
            name: ConfigName::new("kv-settings").unwrap(),
            values: text_map([("a", "1")]),
            bytes: Bytes::from_static(text.as_bytes()),
        })
    );
    assert_eq!(
        refusal("config.put.kv-settings", "{\"a\":\n1}"),
        "failed to deserialize config: line 2 column 1, field `a`: invalid type: integer `1`, expected a string"
    );
}

#[test]
fn a_host_may_be_stopped_without_a_payload() {
    let default = StopHostCommand::default();
    assert_eq!(decode("host.stop.NCEX", ""), Ok(Request::HostStop(default)));
    assert!(decode("host.stop.NCEX", r#"{"host_id":"NCEX","timeout":1}"#).is_ok());
    assert_eq!(
        refusal("host.stop.NCEX", r#"{"host_id":"NOTHER"}"#),
        "stop command is for host \"NOTHER\" but was sent to NCEX"
    );
}

#[test]
fn an_array_is_no_request_even_where_every_field_may_be_left_out() {
    for payload in ["[]", " \n[]", r#"["NCEX"]"#] {
        let words = refusal("host.stop.NCEX", payload);
        assert!(words.ends_with("an object is expected"), "{words}");
    }
    assert!(decode("host.stop.NCEX", " \n{}").is_ok());
}

#[test]
fn ids_that_would_change_a_subject_are_refused() {
    for id in ["", "a.b", "*", ">", "a b", "ä"] {
        let bad = |field: &str| format!(r#"{{"{field}":"{id}","component_ref":"r","count":1}}"#);
        assert!(refusal("component.scale.N", &bad("component_id")).contains("`component_id`"));
        assert!(refusal("component.auction", &bad("component_id")).contains("`component_id`"));
        assert!(refusal("provider.stop.N", &bad("provider_id")).contains("`provider_id`"));
        assert!(refusal("own describe.N", &bad("component_id")).contains("`component_id`"));
        assert!(refusal("own tail.N", &bad("component_id")).contains("`component_id`"));
    }
    assert_eq!(
        refusal(
            "component.scale.N",
            r#"{"component_id":"my.cart","component_ref":"r"}"#
        ),
        "scale command has a bad `component_id`: the component id has only letters, digits, `-` and `_`; '.' is \
         none of them"
    );
}

#[test]
fn a_link_is_checked_at_both_ends() {
    let link = |source: &str, target: &str, name: &str, package: &str| {
        format!(
            r#"{{"source_id":"{source}","target":"{target}","name":"{name}","wit_namespace":"wasi","wit_package":"{package}","interfaces":[]}}"#
        )
    };
    assert!(decode("link.put", &link("a", "b", "default", "kv")).is_ok());
    assert!(refusal("link.put", &link("a.", "b", "default", "kv")).contains("`source_id`"));
    assert!(refusal("link.put", &link("a", "", "default", "kv")).contains("`target`"));
    assert!(refusal("link.put", &link("a", "b", "x y", "kv")).contains("`name`"));
    assert_eq!(
        refusal("link.put", &link("a", "b", "default", " ")),
        "link has an empty `wit_package`"
    );
    assert!(refusal("link.del", &link("a", "*", "default", "kv")).contains("`target`"));
}

#[test]
fn an_image_is_needed_to_start_but_not_to_stop() {
    assert!(decode("component.scale.N", r#"{"component_id":"a"}"#).is_ok());
    assert_eq!(
        refusal("component.scale.N", r#"{"component_id":"a","count":1}"#),
        "scale command has an empty `component_ref`"
    );
    assert!(
        refusal("component.update.N", r#"{"component_id":"a"}"#).contains("`new_component_ref`")
    );
    assert!(refusal("provider.start.N", r#"{"provider_id":"a"}"#).contains("`provider_ref`"));
}

#[test]
fn the_labels_of_the_host_itself_cannot_be_put_but_can_be_deleted() {
    assert_eq!(
        refusal("label.put.N", r#"{"key":"HOSTCORE.os","value":"x"}"#),
        "label \"HOSTCORE.os\" is the host's own and cannot be set"
    );
    assert!(decode("label.del.N", r#"{"key":"hostcore.os"}"#).is_ok());
}

#[test]
fn what_is_no_request_is_told() {
    assert_eq!(
        refusal("host.explode.N", ""),
        "unsupported subject \"wasmbus.ctl.v1.shop.host.explode.N\""
    );
    assert_eq!(
        refusal("component.auction", ""),
        "failed to deserialize component auction: the payload is empty where JSON is expected"
    );
    assert_eq!(
        refusal("link.put", "not json"),
        "failed to deserialize link: line 1 column 2: expected ident"
    );
    let long = "x".repeat(REQUEST_BYTES_MAX + 1);
    assert_eq!(
        refusal("link.put", &long),
        "failed to deserialize link: 1048577 bytes are more than the 1048576 that are read"
    );
    assert!(refusal("link.put", &"[".repeat(100_000)).contains("nested deeper"));
}
