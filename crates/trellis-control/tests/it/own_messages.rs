//! Golden JSON of the messages that only we have.

use trellis_control::{
    Answer, CallCommand, CallResult, ComponentExports, ComponentStatus, DescribeCommand,
    DoctorCheck, DoctorOutcome, DoctorReport, DrainAction, DrainCommand, DrainState, ErrorCode,
    ExportedFunction, ExportedInterface, HostMode, HostStatus, LinkStatus, LinkTier, LogLevel,
    LogLine, LogTail, ProviderStatus, TailCommand, TextMap,
};

use crate::support::{check, check_reads, error_of, names, text, text_map};

#[test]
fn an_answer_is_data_or_a_code_with_words() {
    check_answer(
        &Answer::Ok(CallResult {
            result: Some(text("some(3)")),
            duration_us: 12,
        }),
        r#"{"ok":{"result":"some(3)","duration_us":12}}"#,
    );
    check_answer(
        &Answer::failure(ErrorCode::NotFound, "no component `x` runs here"),
        r#"{"error":{"code":"not_found","message":"no component `x` runs here"}}"#,
    );
    // A code of a later version is still a failure.
    check_reads(
        &Answer::<CallResult>::failure(ErrorCode::Internal, "?"),
        r#"{"error":{"code":"of_a_later_version","message":"?"}}"#,
    );
}

fn check_answer(answer: &Answer<CallResult>, wire: &str) {
    crate::support::check_writes_and_reads(answer, wire);
}

#[test]
fn a_status_tells_mode_and_tiers() {
    let status = HostStatus {
        host_id: text("NCEX"),
        friendly_name: text("quiet-lake-1234"),
        version: text("0.1.0"),
        labels: text_map([("zone", "a")]),
        mode: HostMode::StoreRewound,
        since: "2026-01-05T10:11:12Z".parse().unwrap(),
        why: text("the bucket was recreated"),
        uptime_seconds: 3,
        components: vec![ComponentStatus {
            id: text("shop-cart"),
            image_ref: text("reg.local/cart:1.2.0"),
            digest: text("sha256:00"),
            max_instances: 8,
            ready: false,
            why: Some(text("it compiles")),
            annotations: TextMap::new(),
        }],
        providers: vec![ProviderStatus {
            id: text("shop-kv"),
            image_ref: text("keyvalue-redb"),
            ready: true,
            why: None,
            restarts: 2,
            annotations: TextMap::new(),
        }],
        links: vec![LinkStatus {
            source_id: text("shop-cart"),
            target: text("shop-kv"),
            name: text("default"),
            interface: text("wasi:keyvalue/store"),
            tier: LinkTier::BuiltIn,
            why: text("the target is built in"),
        }],
    };
    check(
        &status,
        concat!(
            r#"{"host_id":"NCEX","friendly_name":"quiet-lake-1234","version":"0.1.0","labels":{"zone":"a"},"#,
            r#""mode":"store_rewound","since":"2026-01-05T10:11:12Z","why":"the bucket was recreated","#,
            r#""uptime_seconds":3,"components":[{"id":"shop-cart","image_ref":"reg.local/cart:1.2.0","#,
            r#""digest":"sha256:00","max_instances":8,"ready":false,"why":"it compiles","annotations":{}}],"#,
            r#""providers":[{"id":"shop-kv","image_ref":"keyvalue-redb","ready":true,"restarts":2,"#,
            r#""annotations":{}}],"links":[{"source_id":"shop-cart","target":"shop-kv","name":"default","#,
            r#""interface":"wasi:keyvalue/store","tier":"built_in","why":"the target is built in"}]}"#
        ),
    );
}

#[test]
fn the_word_of_a_mode_is_what_travels() {
    for mode in HostMode::ALL {
        check(&mode, &format!("\"{mode}\""));
    }
}

#[test]
fn drain_and_doctor() {
    check(
        &DrainCommand {
            action: DrainAction::Drain,
            timeout_ms: Some(30_000),
        },
        r#"{"action":"drain","timeout_ms":30000}"#,
    );
    check(
        &DrainCommand {
            action: DrainAction::Resume,
            timeout_ms: None,
        },
        r#"{"action":"resume"}"#,
    );
    check(
        &DrainState {
            mode: HostMode::Draining,
            calls_in_flight: 4,
        },
        r#"{"mode":"draining","calls_in_flight":4}"#,
    );
    check(
        &DoctorReport {
            host_id: text("NCEX"),
            checks: vec![DoctorCheck {
                name: text("clock"),
                outcome: DoctorOutcome::Warning,
                message: text("2 s behind the server"),
                remedy: Some(text("run an NTP client")),
            }],
        },
        concat!(
            r#"{"host_id":"NCEX","checks":[{"name":"clock","outcome":"warning","#,
            r#""message":"2 s behind the server","remedy":"run an NTP client"}]}"#
        ),
    );
}

#[test]
fn log_lines() {
    let line = LogLine {
        time: "2026-01-05T10:11:12.5Z".parse().unwrap(),
        host_id: text("NCEX"),
        component_id: Some(text("shop-cart")),
        level: LogLevel::Warn,
        sequence: 7,
        message: text("hello"),
    };
    let wire = concat!(
        r#"{"time":"2026-01-05T10:11:12.5Z","host_id":"NCEX","component_id":"shop-cart","level":"warn","#,
        r#""sequence":7,"message":"hello"}"#
    );
    check(&line, wire);
    check(
        &LogTail { lines: vec![line] },
        &format!(r#"{{"lines":[{wire}]}}"#),
    );
    check(
        &TailCommand {
            component_id: Some(text("shop-cart")),
            lines: 50,
            follow_ms: 30_000,
        },
        r#"{"component_id":"shop-cart","lines":50,"follow_ms":30000}"#,
    );
    check_reads(&TailCommand::default(), "{}");
    assert_eq!(
        error_of::<LogLine>(&wire.replace("2026-01-05T10:11:12.5Z", "yesterday")),
        "line 1 column 19, field `time`: invalid value: string \"yesterday\", expected a time such as \
         `2026-01-05T10:11:12Z`"
    );
}

#[test]
fn calls() {
    check(
        &CallCommand {
            component_id: text("shop-cart"),
            interface: Some(text("acme:cart/orders@1.4.0")),
            function: text("total"),
            arguments: names(["\"a\"", "3"]),
            deadline_ms: Some(1_000),
        },
        concat!(
            r#"{"component_id":"shop-cart","interface":"acme:cart/orders@1.4.0","function":"total","#,
            r#""arguments":["\"a\"","3"],"deadline_ms":1000}"#
        ),
    );
    check(
        &DescribeCommand {
            component_id: text("shop-cart"),
        },
        r#"{"component_id":"shop-cart"}"#,
    );
    check(
        &ComponentExports {
            component_id: text("shop-cart"),
            interfaces: vec![ExportedInterface {
                name: None,
                functions: vec![ExportedFunction {
                    name: text("run"),
                    signature: text("func()"),
                }],
            }],
        },
        concat!(
            r#"{"component_id":"shop-cart","interfaces":[{"functions":[{"name":"run","#,
            r#""signature":"func()"}]}]}"#
        ),
    );
}
