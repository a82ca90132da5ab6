//! Damaged and crafted bytes: nothing may panic, and no damage may be taken for another file.

use trellis_artifact::{Fault, InspectError, check_component, inspect};

use crate::{COUNTER, assemble};

#[test]
fn every_truncation_is_seen_or_leaves_a_valid_component() {
    let bytes = assemble(COUNTER);
    let (mut truncated, mut other) = (0, 0);
    for length in 1..bytes.len() {
        match check_component(&bytes[..length]) {
            Err(Fault::Truncated { size, missing }) => {
                assert_eq!(size, length);
                assert!(missing > 0, "nothing is missing at {length}");
                truncated += 1;
            }
            // A cut between two sections: the shorter component is whole, though it may lack
            // something. Its inspection must say something too.
            Ok(()) | Err(Fault::Corrupt { .. }) => {
                let _ = inspect(&bytes[..length]);
                other += 1;
            }
            Err(fault) => panic!("{length}: {fault}"),
        }
    }
    assert_eq!(truncated + other, bytes.len() - 1);
    assert!(
        other < 30,
        "{other} cuts were not seen; there are fewer sections than that"
    );
}

#[test]
fn a_component_may_end_with_what_is_nested_in_it() {
    for text in [
        "(component (core module (func)))",
        "(component (component (core module)))",
        "(component (component))",
    ] {
        let bytes = assemble(text);
        assert_eq!(check_component(&bytes), Ok(()), "{text}");
        let cut = check_component(&bytes[..bytes.len() - 1]);
        assert!(
            matches!(cut, Err(Fault::Truncated { .. })),
            "{text}: {cut:?}"
        );
    }
}

#[test]
fn no_flip_of_one_byte_panics() {
    let bytes = assemble(COUNTER);
    let mut refused = 0;
    for index in 0..bytes.len() {
        for mask in [0x01, 0x02, 0x10, 0x40, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[index] ^= mask;
            refused += usize::from(inspect(&damaged).is_err());
        }
    }
    assert!(refused > bytes.len(), "only {refused} damages were seen");
}

#[test]
fn no_random_damage_panics() {
    let bytes = assemble(COUNTER);
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..5_000 {
        let mut damaged = bytes.clone();
        for _ in 0..random.usize(1..8) {
            let index = random.usize(8..damaged.len());
            match random.u8(0..3) {
                0 => damaged[index] = random.u8(..),
                1 => drop(damaged.remove(index)),
                _ => damaged.insert(index, random.u8(..)),
            }
        }
        let _ = inspect(&damaged);
    }
}

#[test]
fn noise_after_a_good_header_panics_nowhere() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..5_000 {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend((0..random.usize(1..64)).map(|_| random.u8(..16)));
        let _ = inspect(&bytes);
    }
}

/// Returns a component that imports a function whose parameter is an option nested `depth` deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut text = "(component (type $t0 (option u8))".to_owned();
    for level in 1..=depth {
        text.push_str(&format!("(type $t{level} (option $t{}))", level - 1));
    }
    text.push_str(&format!("(import \"f\" (func (param \"x\" $t{depth}))))"));
    assemble(&text)
}

#[test]
fn deeply_nested_types_do_not_exhaust_the_stack() {
    for depth in [50, 500, 5_000, 50_000] {
        match inspect(&nested(depth)) {
            Ok(inspection) => assert_eq!(inspection.imports[0].functions.len(), 1),
            Err(
                InspectError::Invalid(Fault::Corrupt { .. }) | InspectError::Undecodable { .. },
            ) => {}
            Err(error) => panic!("{depth}: {error}"),
        }
    }
}

#[test]
fn types_that_double_do_not_exhaust_memory() {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for level in 1..=60 {
        let inner = level - 1;
        text.push_str(&format!("(type $t{level} (tuple $t{inner} $t{inner}))"));
    }
    text.push_str("(import \"f\" (func (param \"x\" $t60))))");
    assert!(inspect(&assemble(&text)).is_err());
}

#[test]
fn a_wit_package_is_told_from_a_component() {
    let package = assemble(
        r#"(component
             (type $outer (component
               (type $inner (component
                 (type $api (instance
                   (type $f (func)) (export "run" (func (type $f)))))
                 (export "example:a/api" (instance (type $api)))))
               (export "example:a/world-a" (component (type $inner)))))
             (export "world-a" (type $outer)))"#,
    );
    assert_eq!(inspect(&package), Err(InspectError::WitPackage));
}

#[test]
fn a_crafted_package_is_an_error_and_no_panic() {
    // The decoder takes a component that only exports component types for a WIT package, and
    // asserts what such packages hold.
    let package = assemble(
        r#"(component
             (type $outer (component (type $f (func)) (export "run" (func (type $f)))))
             (export "world-a" (type $outer)))"#,
    );
    assert!(matches!(
        inspect(&package),
        Err(InspectError::Undecodable { .. })
    ));
}
