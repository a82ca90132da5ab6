//! Layouts and paths, against figures worked out by hand from the canonical ABI.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::Arc;

#[track_caller]
fn check(ty: Type, size: u32, align: u32, flat: u32, wire_min: u32) {
    let (plan, id) = Plan::compile(&ty).unwrap();
    let node = plan.node(id);
    assert_eq!(node.abi, Abi { size, align, flat }, "{ty}");
    assert_eq!(node.wire_min, wire_min, "{ty}");
}

fn func(params: impl IntoIterator<Item = Type>, result: Option<Type>) -> FunctionPlan {
    let params = params.into_iter().enumerate();
    let field = |(index, ty)| crate::Field {
        name: format!("p{index}"),
        ty,
    };
    FunctionPlan::compile(&FunctionType {
        params: params.map(field).collect(),
        result,
    })
    .unwrap()
}

fn steps(paths: &[AsyncPath]) -> Vec<Vec<Option<u32>>> {
    paths.iter().map(|path| path.steps.clone()).collect()
}

#[test]
fn layouts_are_those_of_the_canonical_abi() {
    check(Type::Bool, 1, 1, 1, 1);
    check(Type::Char, 4, 4, 1, 1);
    check(Type::F64, 8, 8, 1, 8);
    check(Type::String, 8, 4, 2, 1);
    check(Type::list(Type::U8), 8, 4, 2, 1);
    check(Type::tuple([Type::U8, Type::U64, Type::U8]), 24, 8, 3, 3);
    check(Type::option(Type::U8), 2, 1, 2, 1);
    check(Type::option(Type::U64), 16, 8, 2, 1);
    check(Type::result(None, None), 1, 1, 1, 1);
    check(
        Type::result(Some(Type::String), Some(Type::U8)),
        12,
        4,
        3,
        2,
    );
    check(Type::flags((0..9).map(|n| format!("f{n}"))), 2, 2, 1, 2);
    check(Type::flags((0..17).map(|n| format!("f{n}"))), 4, 4, 1, 3);
    check(
        Type::enumeration((0..256).map(|n| format!("c{n}"))),
        1,
        1,
        1,
        1,
    );
    check(
        Type::enumeration((0..257).map(|n| format!("c{n}"))),
        2,
        2,
        1,
        1,
    );
    check(Type::Own(Arc::from("bucket")), 4, 4, 1, 1);
    check(Type::stream(Some(Type::U8)), 4, 4, 1, 1);
}

#[test]
fn members_begin_where_the_canonical_abi_puts_them() {
    let (plan, id) = Plan::compile(&Type::tuple([
        Type::U8,
        Type::U32,
        Type::tuple([Type::U8, Type::U16]),
        Type::String,
    ]))
    .unwrap();
    let Op::Fields(range) = plan.node(id).op else {
        panic!("a tuple has fields")
    };
    let offsets: Vec<u32> = plan.members(range).iter().map(|m| m.offset).collect();
    assert_eq!(offsets, [0, 4, 8, 12]);
}

#[test]
fn lists_of_scalars_get_their_own_step() {
    let op = |element| {
        let (plan, id) = Plan::compile(&Type::list(element)).unwrap();
        plan.node(id).op
    };
    assert_eq!(op(Type::U8), Op::Bytes);
    assert_eq!(op(Type::S8), Op::ScalarList(Scalar::S8));
    assert_eq!(op(Type::F64), Op::ScalarList(Scalar::F64));
    assert!(matches!(op(Type::String), Op::List { .. }));
}

#[test]
fn paths_count_fields_and_elements_but_no_cases() {
    let bytes = || Type::stream(Some(Type::U8));
    let request = || {
        Type::record([
            ("body", bytes()),
            ("trailers", Type::future(Some(Type::option(Type::U8)))),
            ("method", Type::String),
        ])
    };
    let plan = func(
        [request()],
        Some(Type::result(Some(request()), Some(Type::String))),
    );
    assert_eq!(
        steps(&plan.param_paths),
        [[Some(0), Some(0)], [Some(0), Some(1)]]
    );
    assert_eq!(
        steps(&plan.result_paths),
        [[Some(0), Some(0)], [Some(0), Some(1)]]
    );
    assert!(plan.has_async && !plan.has_resources);

    let plan = func([Type::U8, Type::option(bytes())], None);
    assert_eq!(plan.param_paths[0].fixed(), Some(vec![1]));

    let plan = func([Type::list(Type::future(Some(bytes())))], None);
    assert_eq!(steps(&plan.param_paths), [[Some(0), None], [Some(0), None]]);
    assert_eq!(plan.param_paths[0].fixed(), None);
    assert!(plan.param_paths[0].is_at(&[0, 7]));
    assert!(!plan.param_paths[0].is_at(&[1, 7]) && !plan.param_paths[0].is_at(&[0]));
}

#[test]
fn what_is_inside_of_a_stream_is_not_met_on_the_way_to_it() {
    let inner = Type::tuple([Type::future(None), Type::list(Type::stream(None))]);
    let plan = func(
        [Type::U8, Type::stream(Some(inner.clone()))],
        Some(Type::future(Some(inner.clone()))),
    );
    assert_eq!(plan.param_paths.len(), 3);
    assert_eq!(steps(&plan.param_channels), [[Some(1)]]);
    assert_eq!(steps(&plan.result_channels), [[Some(0)]]);
    let (plan, id) = Plan::compile(&inner).unwrap();
    let channels = plan.channels(id).unwrap();
    assert_eq!(steps(&channels), [vec![Some(0)], vec![Some(1), None]]);
}

#[test]
fn a_function_without_parameters_has_an_empty_tuple() {
    let plan = func([], None);
    assert_eq!((plan.flat_params, plan.flat_results), (0, 0));
    assert_eq!((plan.params_wire_min(), plan.results_wire_min()), (0, 0));
    let plan = func([Type::U8, Type::String], Some(Type::String));
    assert_eq!((plan.flat_params, plan.flat_results), (3, 2));
}

#[test]
fn a_doubling_chain_of_types_costs_its_length() {
    let mut ty = Type::U8;
    for _ in 0..20 {
        ty = Type::tuple([ty.clone(), ty]);
    }
    // The chain of pairs shares its parts: 20 pairs and a byte.
    let (plan, id) = Plan::compile(&ty).unwrap();
    assert_eq!(plan.nodes.len(), 21);
    assert_eq!(plan.node(id).abi.size, 1 << 20);
    // So does its text, which would be a million words.
    let text = ty.to_string();
    assert!(text.len() <= crate::TEXT_BYTES_MAX + '…'.len_utf8() && text.ends_with('…'));
}

#[test]
fn types_out_of_bounds_are_refused() {
    let error = |ty: &Type| Plan::compile(ty).unwrap_err();
    let mut deep = Type::U8;
    let mut doubling = Type::U8;
    for level in 0..NESTING_MAX + 1 {
        deep = Type::list(deep);
        if level < 40 {
            doubling = Type::tuple([doubling.clone(), doubling]);
        }
    }
    assert_eq!(error(&deep), PlanError::TooDeep);
    assert_eq!(error(&doubling), PlanError::TooLarge);
    let wide = Type::tuple((0..NODES_MAX + 1).map(|_| Type::U8));
    assert_eq!(error(&wide), PlanError::TooManyNodes);
    let flags = Type::flags((0..33).map(|n| n.to_string()));
    assert_eq!(error(&flags), PlanError::TooManyFlags { count: 33 });
    assert_eq!(error(&Type::tuple([])), PlanError::Empty { kind: "tuple" });
}
