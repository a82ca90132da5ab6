//! Tests of the crate from outside: every way in which a file fails, and what is seen in good ones.
#![allow(clippy::unwrap_used)]

mod damage;
mod inspect;
mod load;

/// A component with an import, an export and metadata, small enough to try every damage on it.
const COUNTER: &str = r#"
(component $counter
  (import "wasi:keyvalue/store@0.2.0-draft" (instance $store
    (export "bucket" (type $bucket (sub resource)))
    (type $error' (variant (case "no-such-store") (case "other" string)))
    (export "error" (type $error (eq $error')))
    (export "[method]bucket.get" (func
      (param "self" (borrow $bucket)) (param "key" string)
      (result (result (option (list u8)) (error $error)))))
    (export "open" (func
      (param "identifier" string) (result (result (own $bucket) (error $error)))))
  ))
  (import "notify" (func (param "count" u32)))
  (core module $code
    (func (export "run") (result i32) i32.const 42)
    (@producers (language "Rust" "2021") (processed-by "rustc" "1.95.0")))
  (core instance $instance (instantiate $code))
  (func $run (result u32) (canon lift (core func $instance "run")))
  (instance $runner (export "run" (func $run)))
  (export "example:counter/runner@1.2.0" (instance $runner))
  (@custom "version" "0.3.1")
)"#;

/// Assembles `text`.
fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}
