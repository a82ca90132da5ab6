//! A component that passes on: it imports `echo` and exports `echo`, and each call of the one is a call
//! of the other. Whatever goes through it is lowered into it, lifted from it, lowered and lifted again.

use bytes::Bytes;
use trellis_wire::Type;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};
use wit_parser::{Function, Resolve, WorldItem};

use super::types::write_wit;

pub(crate) const INTERFACE: &str = "test:echo/echo";

/// Where the results of the imported function are put. Below the place from which memory is given out,
/// and with more room than any result of these tests takes.
const RESULT_PLACE: u32 = 1_024;

/// Builds the component for `echo: func(value: T) -> T`.
pub(crate) fn component(ty: &Type, encoding: StringEncoding) -> Bytes {
    let mut declarations = String::new();
    let name = write_wit(ty, &mut declarations);
    build(&wit(&declarations, &name, ""), encoding, synchronous)
}

/// How an asynchronous function is imported.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lowering {
    /// The guest blocks until it has the result.
    Blocking,
    /// The guest gets a subtask, and waits for it where it is not done at once.
    Subtask,
}

/// Builds the component for `echo: async func(value: T) -> T`, which it exports lifted as asynchronous.
/// `loads` puts the core values of the result, which is at [`RESULT_PLACE`], on the stack.
pub(crate) fn component_async(ty: &Type, lowering: Lowering, loads: &str) -> Bytes {
    let mut declarations = String::new();
    let name = write_wit(ty, &mut declarations);
    let wit = wit(&declarations, &name, "async ");
    build(&wit, StringEncoding::UTF8, |resolve, function| {
        asynchronous(resolve, function, lowering, loads)
    })
}

fn wit(declarations: &str, ty: &str, prefix: &str) -> String {
    format!(
        "package test:echo;\n\
         interface echo {{\n{declarations}  echo: {prefix}func(value: {ty}) -> {ty};\n}}\n\
         world passes-on {{\n  import echo;\n  export echo;\n}}\n"
    )
}

fn build(
    wit: &str,
    encoding: StringEncoding,
    module: impl FnOnce(&Resolve, &Function) -> String,
) -> Bytes {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("echo.wit", wit)
        .unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
    let world = resolve.select_world(&[package], None).unwrap();
    let WorldItem::Interface { id, .. } = resolve.worlds[world].imports.values().next().unwrap()
    else {
        panic!("the world imports an interface");
    };
    let text = module(&resolve, &resolve.interfaces[*id].functions["echo"]);
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    let encoder = ComponentEncoder::default().validate(true);
    let encoded = encoder.module(&module).and_then(|mut it| it.encode());
    encoded
        .unwrap_or_else(|error| panic!("{error:#}\n{wit}\n{text}"))
        .into()
}

fn synchronous(resolve: &Resolve, function: &Function) -> String {
    let import = resolve.wasm_signature(AbiVariant::GuestImport, function);
    let export = resolve.wasm_signature(AbiVariant::GuestExport, function);
    let answer = match export.retptr {
        true => format!("(i32.const {RESULT_PLACE})"),
        false => String::new(),
    };
    format!(
        "(module\n  (import \"{INTERFACE}\" \"echo\" (func $echo{}))\n{MEMORY}\
         (func (export \"{INTERFACE}#echo\"){}\n    {}\n    {answer}))",
        signature(&import),
        signature(&export),
        call(&import, export.params.len()),
    )
}

fn asynchronous(resolve: &Resolve, function: &Function, lowering: Lowering, loads: &str) -> String {
    let (import, prefix) = match lowering {
        Lowering::Blocking => (AbiVariant::GuestImport, ""),
        Lowering::Subtask => (AbiVariant::GuestImportAsync, "[async-lower]"),
    };
    let import = resolve.wasm_signature(import, function);
    let export = resolve.wasm_signature(AbiVariant::GuestExportAsync, function);
    // What is returned is what was taken: as many core values as the parameters of a plain export.
    let returned = resolve.wasm_signature(AbiVariant::GuestExport, function);
    let returned = WasmSignature {
        results: Vec::new(),
        ..returned
    };
    let wait = match lowering {
        Lowering::Blocking => "",
        Lowering::Subtask => "(call $finish)",
    };
    // Four core values are the most that fit into an asynchronous call; more go through memory.
    let fits = import.indirect_params == export.indirect_params;
    assert!(
        fits,
        "choose a type of at most 4 core values, or of more than 16"
    );
    // A result of one core value is left on the stack by a blocking call.
    let loads = if import.retptr { loads } else { "" };
    format!(
        "(module\n  (import \"{INTERFACE}\" \"{prefix}echo\" (func $echo{}))\n  \
         (import \"[export]{INTERFACE}\" \"[task-return]echo\" (func $return{}))\n\
         {WAITING}{MEMORY}{FINISH}\
         (func (export \"[callback][async-lift]{INTERFACE}#echo\") (param i32 i32 i32) (result i32)\n    \
         (unreachable))\n\
         (func (export \"[async-lift]{INTERFACE}#echo\"){}\n    {}\n    {wait}\n    {loads}\n    \
         (call $return) (i32.const 0)))",
        signature(&import),
        signature(&returned),
        signature(&export),
        call(&import, export.params.len()),
    )
}

/// Calls the import with the parameters of the export.
fn call(import: &WasmSignature, params: usize) -> String {
    let mut text: String = (0..params).map(|it| format!("(local.get {it})")).collect();
    if import.retptr {
        text.push_str(&format!("(i32.const {RESULT_PLACE})"));
    }
    text + "(call $echo)"
}

fn signature(signature: &WasmSignature) -> String {
    let list = |kind: &str, types: &[WasmType]| {
        let types: String = types.iter().map(|ty| format!(" {}", name(*ty))).collect();
        format!(" ({kind}{types})")
    };
    list("param", &signature.params) + &list("result", &signature.results)
}

fn name(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// A memory whose bytes are given out once and never taken back.
const MEMORY: &str = r#"
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $place i32) (local $end i32)
    (local.set $place (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $place) (local.get $size)))
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u
          (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))) (i32.const 16)))))
        (then (unreachable)))))
    (global.set $next (local.get $end))
    (if (i32.lt_u (local.get $size) (local.get $old_size)) (then (local.set $old_size (local.get $size))))
    (memory.copy (local.get $place) (local.get $old) (local.get $old_size))
    (local.get $place))
"#;

const WAITING: &str = r#"
  (import "$root" "[waitable-set-new]" (func $set (result i32)))
  (import "$root" "[waitable-join]" (func $join (param i32 i32)))
  (import "$root" "[waitable-set-wait]" (func $wait (param i32 i32) (result i32)))
  (import "$root" "[subtask-drop]" (func $drop (param i32)))
"#;

/// Takes what an asynchronous call gave, and returns when its result is there.
const FINISH: &str = r#"
  (func $finish (param $status i32) (local $set i32) (local $task i32)
    (local.set $task (i32.shr_u (local.get $status) (i32.const 4)))
    (if (i32.eq (i32.and (local.get $status) (i32.const 15)) (i32.const 2)) (then (return)))
    (local.set $set (call $set))
    (call $join (local.get $task) (local.get $set))
    (loop $again
      (drop (call $wait (local.get $set) (i32.const 512)))
      (br_if $again (i32.ne (i32.load (i32.const 516)) (i32.const 2))))
    (call $join (local.get $task) (i32.const 0))
    (call $drop (local.get $task)))
"#;
