//! The adapters against the WIT texts in `wit/` and against guests that call them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use trellis_capabilities::config::Config;
use trellis_capabilities::keyvalue::{
    Bucket, BucketName, KeyValue, KeyValueBackend, KeyValueLink, MemoryBackend,
};
use trellis_capabilities::logging::Logging;
use trellis_core::{ComponentId, Limits, LinkName};
use trellis_engine::{
    Capability, Compiled, ComponentSpec, DeployError, Engine, EngineConfig, Generation, Import,
};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";
const CONFIG: &str = "wasi:config/store@0.2.0-rc.1";
const CONFIG_DRAFT: &str = "wasi:config/runtime@0.2.0-draft";
const LOGGING: &str = "wasi:logging/logging@0.1.0-draft";

/// Makes a component of a world that imports `imports`, around `module` or around a dummy.
fn component(imports: &[&str], module: Option<&str>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    for folder in [
        "wasi-keyvalue",
        "wasi-config",
        "wasi-config-draft",
        "wasi-logging",
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        resolve.push_dir(root.join(folder)).unwrap();
    }
    // What guests of wasmCloud 1.x import: the same interface without a version.
    let unversioned = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/wasi-logging/logging.wit"),
    )
    .unwrap();
    let unversioned = format!("package wasi:logging;\n{unversioned}");
    resolve.push_str("logging.wit", &unversioned).unwrap();
    let imports: String = imports
        .iter()
        .map(|import| format!("import {import};"))
        .collect();
    let world = format!("package test:guest; world guest {{ {imports} }}");
    let package = resolve.push_str("guest.wit", &world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = match module {
        Some(text) => wat::parse_str(text).unwrap(),
        None => dummy_module(&resolve, world, ManglingAndAbi::Standard32),
    };
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

async fn compile(engine: &Engine, bytes: Vec<u8>, number: u8) -> Compiled {
    engine.compile(bytes.into(), [number; 32]).await.unwrap()
}

async fn deploy(
    component: Vec<u8>,
    imports: Vec<(&str, Arc<dyn Capability>)>,
) -> Result<Arc<Generation>, DeployError> {
    let engine = Engine::new(EngineConfig::default()).unwrap();
    let compiled = compile(&engine, component, 0).await;
    let imports = imports
        .into_iter()
        .map(|(name, capability)| Import {
            name: name.to_owned(),
            capability,
        })
        .collect();
    let spec = ComponentSpec {
        id: ComponentId::new("guest").unwrap(),
        limits: Limits::default(),
        reuse: None,
        environment: Vec::new(),
        outgoing: None,
        imports,
        explain_unsatisfied: |_, unsatisfied| format!("{} is not linked", unsatisfied.import),
    };
    engine.deploy(compiled, spec).await
}

fn target() -> ComponentId {
    ComponentId::new("kv").unwrap()
}

fn keyvalue(backend: &Arc<MemoryBackend>, bucket: Option<&str>) -> Arc<dyn Capability> {
    let link = KeyValueLink {
        target: target(),
        name: LinkName::new("cache").unwrap(),
        bucket: bucket.map(str::to_owned),
    };
    Arc::new(KeyValue::new(Arc::clone(backend) as Arc<dyn KeyValueBackend>, link).unwrap())
}

fn bucket(backend: &Arc<MemoryBackend>, name: &str) -> Arc<dyn Bucket> {
    backend
        .bucket(&BucketName::new(&target(), name).unwrap())
        .unwrap()
}

fn config(pairs: &[(&str, &str)]) -> Arc<dyn Capability> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Arc::new(Config::new(pairs.collect::<BTreeMap<_, _>>()))
}

#[tokio::test]
async fn every_interface_has_the_types_of_its_wit() {
    let backend = Arc::new(MemoryBackend::new(1 << 20));
    let all: Vec<(&str, Arc<dyn Capability>)> = vec![
        (STORE, keyvalue(&backend, None)),
        (ATOMICS, keyvalue(&backend, None)),
        (BATCH, keyvalue(&backend, None)),
        (CONFIG, config(&[])),
        (CONFIG_DRAFT, config(&[])),
        (LOGGING, Arc::new(Logging)),
        ("wasi:logging/logging", Arc::new(Logging)),
    ];
    let imports: Vec<&str> = all.iter().map(|(import, _)| *import).collect();
    let generation = deploy(component(&imports, None), all).await.unwrap();
    assert_eq!(generation.unsatisfied(), []);
}

#[tokio::test]
async fn a_capability_refuses_an_interface_that_it_does_not_offer() {
    let backend = Arc::new(MemoryBackend::new(1 << 20));
    for (import, capability) in [
        (LOGGING, keyvalue(&backend, None)),
        (STORE, config(&[])),
        (STORE, Arc::new(Logging) as Arc<dyn Capability>),
    ] {
        let error = deploy(component(&[import], None), vec![(import, capability)])
            .await
            .err();
        assert!(
            matches!(error, Some(DeployError::Import { .. })),
            "{import}: {error:?}"
        );
    }
}

/// A guest with some texts in memory, `$ret` to be answered into, and helpers:
/// `$save` stores bytes under a key of the bucket, so that the test can read them.
fn guest(imports: &str, body: &str) -> String {
    format!(
        r#"(module
            {imports}
            (memory (export "memory") 2)
            (data (i32.const 0) "default\00a\00value\00count\00missing\00bad\0aname\00cache\00other")
            (global $next (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at
                    (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "_initialize") {body}))"#
    )
}

const IMPORT_STORE: &str = r#"
    (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get"
        (func $get (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set"
        (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.exists"
        (func $exists (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.delete"
        (func $delete (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft" "[resource-drop]bucket" (func $drop (param i32)))"#;

/// The answer of `get`: result, option, pointer and length.
fn words(value: &Bytes) -> Vec<u32> {
    value
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_guest_reads_and_writes_the_bucket_of_its_link() {
    // Keys in memory: "a" at 8 (1), "value" at 10 (5), "count" at 16 (5), "missing" at 22 (7).
    let body = r#"(local $b i32)
        (call $open (i32.const 0) (i32.const 7) (i32.const 1024))
        (local.set $b (i32.load (i32.const 1028)))
        (call $set (local.get $b) (i32.const 8) (i32.const 1) (i32.const 10) (i32.const 5)
            (i32.const 1024))
        (call $get (local.get $b) (i32.const 8) (i32.const 1) (i32.const 1040))
        ;; "value" becomes what was read from "a"
        (call $set (local.get $b) (i32.const 10) (i32.const 5)
            (i32.load (i32.const 1048)) (i32.load (i32.const 1052)) (i32.const 1024))
        (call $increment (local.get $b) (i32.const 16) (i32.const 5) (i64.const 42)
            (i32.const 1056))
        (call $exists (local.get $b) (i32.const 16) (i32.const 5) (i32.const 1080))
        (call $delete (local.get $b) (i32.const 16) (i32.const 5) (i32.const 1024))
        (call $get (local.get $b) (i32.const 22) (i32.const 7) (i32.const 1096))
        ;; an increment of text is an error with a message
        (call $increment (local.get $b) (i32.const 8) (i32.const 1) (i64.const 1)
            (i32.const 1112))
        (call $set (local.get $b) (i32.const 22) (i32.const 7) (i32.const 1040) (i32.const 96)
            (i32.const 1024))
        (call $set (local.get $b) (i32.const 16) (i32.const 5)
            (i32.load (i32.const 1124)) (i32.load (i32.const 1128)) (i32.const 1024))
        (call $drop (local.get $b))"#;
    let imports = format!(
        r#"{IMPORT_STORE}
        (import "{ATOMICS}" "increment" (func $increment (param i32 i32 i32 i64 i32)))"#
    );
    let component = component(&[STORE, ATOMICS], Some(&guest(&imports, body)));
    let backend = Arc::new(MemoryBackend::new(1 << 20));
    let imports = vec![
        (STORE, keyvalue(&backend, Some("carts"))),
        (ATOMICS, keyvalue(&backend, Some("carts"))),
    ];
    deploy(component, imports).await.unwrap();

    let carts = bucket(&backend, "carts");
    assert_eq!(carts.get("a").await.unwrap().unwrap(), "value");
    assert_eq!(carts.get("value").await.unwrap().unwrap(), "value");
    let answers = words(&carts.get("missing").await.unwrap().unwrap());
    assert_eq!(answers[..2], [0, 1], "get: ok, some");
    assert_eq!((answers[4], answers[6]), (0, 42), "increment: ok, the sum");
    assert_eq!(answers[10..12], [0, 1], "exists: ok, true");
    assert_eq!(answers[14..16], [0, 0], "get of a missing key: ok, none");
    assert_eq!(
        (answers[18], answers[20]),
        (1, 2),
        "increment of text: error, other"
    );
    let message = carts.get("count").await.unwrap().unwrap();
    assert_eq!(message, "the value is not a number that can be incremented");
}

#[tokio::test]
async fn open_tells_the_links_bucket_from_others_and_refuses_impossible_names() {
    // "bad\nname" at 30 (8), "cache" at 39 (5), "other" at 45 (5), "a" at 8 (1).
    let body = r#"
        (call $open (i32.const 30) (i32.const 8) (i32.const 1024))
        (call $open (i32.const 39) (i32.const 5) (i32.const 1040))
        (call $set (i32.load (i32.const 1044)) (i32.const 8) (i32.const 1)
            (i32.const 1024) (i32.const 8) (i32.const 2048))
        (call $open (i32.const 45) (i32.const 5) (i32.const 1040))
        (call $set (i32.load (i32.const 1044)) (i32.const 8) (i32.const 1)
            (i32.const 45) (i32.const 5) (i32.const 2048))"#;
    let component = component(&[STORE], Some(&guest(IMPORT_STORE, body)));
    let backend = Arc::new(MemoryBackend::new(1 << 20));
    deploy(component, vec![(STORE, keyvalue(&backend, None))])
        .await
        .unwrap();
    let default = bucket(&backend, "default").get("a").await.unwrap().unwrap();
    assert_eq!(
        words(&default),
        [1, 0],
        "the bad name: error, no-such-store"
    );
    assert_eq!(
        bucket(&backend, "other").get("a").await.unwrap().unwrap(),
        "other"
    );
}

#[tokio::test]
async fn a_guest_moves_batches() {
    let imports = format!(
        r#"{IMPORT_STORE}
        (import "{STORE}" "[method]bucket.list-keys" (func $list (param i32 i32 i64 i32)))
        (import "{BATCH}" "get-many" (func $get-many (param i32 i32 i32 i32)))
        (import "{BATCH}" "set-many" (func $set-many (param i32 i32 i32 i32)))
        (import "{BATCH}" "delete-many" (func $delete-many (param i32 i32 i32 i32)))"#
    );
    // One pair at 512: "a" to "value"; keys at 544: "a" and "missing"; "value" then holds the
    // value that came back, "count" the answers.
    let body = r#"(local $b i32) (local $list i32)
        (i32.store (i32.const 512) (i32.const 8)) (i32.store (i32.const 516) (i32.const 1))
        (i32.store (i32.const 520) (i32.const 10)) (i32.store (i32.const 524) (i32.const 5))
        (i32.store (i32.const 544) (i32.const 8)) (i32.store (i32.const 548) (i32.const 1))
        (i32.store (i32.const 552) (i32.const 22)) (i32.store (i32.const 556) (i32.const 7))
        (call $open (i32.const 0) (i32.const 0) (i32.const 1024))
        (local.set $b (i32.load (i32.const 1028)))
        (call $set-many (local.get $b) (i32.const 512) (i32.const 1) (i32.const 1024))
        (call $get-many (local.get $b) (i32.const 544) (i32.const 2) (i32.const 1040))
        (local.set $list (i32.load (i32.const 1044)))
        (call $list (local.get $b) (i32.const 0) (i64.const 0) (i32.const 1056))
        (call $delete-many (local.get $b) (i32.const 544) (i32.const 2) (i32.const 1024))
        (call $set (local.get $b) (i32.const 10) (i32.const 5)
            (i32.load offset=12 (local.get $list)) (i32.load offset=16 (local.get $list))
            (i32.const 1024))
        (i32.store (i32.const 1096) (i32.load (local.get $list)))
        (i32.store (i32.const 1100) (i32.load offset=20 (local.get $list)))
        (call $set (local.get $b) (i32.const 16) (i32.const 5) (i32.const 1040) (i32.const 64)
            (i32.const 1024))"#;
    let component = component(&[STORE, BATCH], Some(&guest(&imports, body)));
    let backend = Arc::new(MemoryBackend::new(1 << 20));
    let imports = vec![
        (STORE, keyvalue(&backend, None)),
        (BATCH, keyvalue(&backend, None)),
    ];
    deploy(component, imports).await.unwrap();

    let bucket = bucket(&backend, "default");
    assert_eq!(bucket.get("a").await, Ok(None), "delete-many removed it");
    assert_eq!(bucket.get("value").await.unwrap().unwrap(), "value");
    let answers = words(&bucket.get("count").await.unwrap().unwrap());
    assert_eq!(
        (answers[0], answers[2]),
        (0, 2),
        "get-many: ok, two entries"
    );
    assert_eq!(
        (answers[14], answers[15]),
        (1, 0),
        "the first is there, the second is not"
    );
    assert_eq!(
        (answers[4], answers[7], answers[8]),
        (0, 1, 0),
        "list-keys: ok, one, no cursor"
    );
}

/// Collects the host's log.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_guest_reads_its_config_and_logs_it() {
    let imports = format!(
        r#"(import "{CONFIG_DRAFT}" "get" (func $get (param i32 i32 i32)))
        (import "{CONFIG}" "get-all" (func $get-all (param i32)))
        (import "{LOGGING}" "log" (func $log (param i32 i32 i32 i32 i32)))"#
    );
    // Logs the value of "value" at level warn with the context "cache", then the first pair of all.
    let body = r#"(local $all i32)
        (call $get (i32.const 10) (i32.const 5) (i32.const 1024))
        (call $log (i32.const 3) (i32.const 39) (i32.const 5)
            (i32.load (i32.const 1032)) (i32.load (i32.const 1036)))
        (call $get-all (i32.const 1040))
        (local.set $all (i32.load (i32.const 1044)))
        (call $log (i32.const 2)
            (i32.load (local.get $all)) (i32.load offset=4 (local.get $all))
            (i32.load offset=8 (local.get $all)) (i32.load offset=12 (local.get $all)))"#;
    let component = component(
        &[CONFIG, CONFIG_DRAFT, LOGGING],
        Some(&guest(&imports, body)),
    );
    let values = config(&[("value", "grün\u{1b}[2J"), ("a", "first")]);
    let imports = vec![
        (CONFIG, Arc::clone(&values)),
        (CONFIG_DRAFT, values),
        (LOGGING, Arc::new(Logging) as Arc<dyn Capability>),
    ];
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    deploy(component, imports).await.unwrap();
    drop(guard);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let guest: Vec<_> = text
        .lines()
        .filter(|line| line.contains(r#""target":"guest""#))
        .collect();
    assert_eq!(
        guest,
        [
            r#"{"level":"WARN","message":"grün\\u{1b}[2J","component_id":"guest","context":"cache","target":"guest"}"#,
            r#"{"level":"INFO","message":"first","component_id":"guest","context":"a","target":"guest"}"#,
        ]
    );
}
