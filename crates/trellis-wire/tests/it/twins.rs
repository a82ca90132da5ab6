//! The static types of the lattice's capabilities, against the same types from their WIT.

use trellis_wire::plan::Plan;
use trellis_wire::twins::http::{
    Body, ErrorCode, FIELDS_MAX, FieldSize, Fields, HandleResult, IncomingParams, Method,
    OutgoingParams, Request, RequestOptions, Response, Scheme, Trailers,
};
use trellis_wire::twins::{
    Bytes, Decode, Encode, Pending, blobstore, from_wire, keyvalue, messaging, to_wire,
};
use trellis_wire::{Dialect, Fault, Limits, Type, WitTypes, scan_whole};
use wit_parser::Resolve;

/// The interfaces, in the words of WIT: the types only, functions as the tests need them.
const WIT: &str = include_str!("twins.wit");

fn wit_type(interface: &str, name: &str) -> Type {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("twins.wit", WIT).unwrap();
    let interface = resolve.packages[package].interfaces[interface];
    let id = resolve.interfaces[interface].types[name];
    WitTypes::new(&resolve)
        .ty(&wit_parser::Type::Id(id))
        .unwrap()
}

/// `value` survives, and its bytes are a value of the WIT type.
#[track_caller]
fn check<T>(ty: &Type, value: T)
where
    T: Encode + for<'a> Decode<'a> + PartialEq + std::fmt::Debug,
{
    let wire = to_wire(&value);
    check_wire(ty, &wire);
    assert_eq!(from_wire::<T>(&wire).unwrap(), value);
}

#[track_caller]
fn check_wire(ty: &Type, wire: &[u8]) {
    let (plan, id) = Plan::compile(ty).unwrap();
    scan_whole(&plan, id, wire, Dialect::A, &Limits::default()).unwrap();
}

fn request() -> Request<'static> {
    Request {
        body: Body::Pending,
        trailers: Trailers::Pending,
        method: Method::Get,
        path_with_query: Some("/a"),
        scheme: Some(Scheme::Http),
        authority: Some("h"),
        headers: Fields::default(),
    }
}

#[test]
fn a_request_has_the_bytes_of_the_published_example() {
    let wire = to_wire(&(request(),));
    assert_eq!(wire, b"\x00\x00\x00\x01\x02/a\x01\x00\x01\x01h\x00");
    assert_eq!(from_wire::<IncomingParams<'_>>(&wire), Ok((request(),)));
}

#[test]
fn http_agrees_with_its_wit() {
    let headers = Fields(vec![
        ("accept", vec![Bytes(b"a"), Bytes(b"b")]),
        ("x", vec![]),
    ]);
    let request = Request {
        method: Method::Other("PURGE".into()),
        headers: headers.clone(),
        ..request()
    };
    let options = RequestOptions {
        connect_timeout: Some(1_000_000_000),
        ..RequestOptions::default()
    };
    let params: OutgoingParams<'_> = (request, Some(options));
    let wire = to_wire(&params);
    check_wire(&wit_type("http", "outgoing-params"), &wire);
    assert_eq!(from_wire::<OutgoingParams<'_>>(&wire), Ok(params));

    let result: HandleResult<'_> = Ok(Response {
        body: Body::Pending,
        trailers: Trailers::Pending,
        status: 404,
        headers,
    });
    let wire = to_wire(&result);
    check_wire(&wit_type("http", "handle-result"), &wire);
    assert_eq!(from_wire::<HandleResult<'_>>(&wire), Ok(result));
}

#[test]
fn a_small_body_and_its_trailers_may_be_part_of_the_value() {
    let result: HandleResult<'_> = Ok(Response {
        body: Body::Whole(b"hello"),
        trailers: Trailers::Ready(Some(Fields(vec![("sum", vec![Bytes(b"7")])]))),
        status: 200,
        headers: Fields::default(),
    });
    let wire = to_wire(&result);
    check_wire(&wit_type("http", "handle-result"), &wire);
    assert_eq!(from_wire::<HandleResult<'_>>(&wire), Ok(result));
    let none = Request {
        trailers: Trailers::Ready(None),
        ..request()
    };
    let wire = to_wire(&(none.clone(),));
    assert_eq!(from_wire::<IncomingParams<'_>>(&wire), Ok((none,)));
}

#[test]
fn fields_are_bounded_however_small_they_are() {
    let mut wire = vec![0x81, 0x20]; // one name more than there may be
    wire.extend(vec![0; 2 * (FIELDS_MAX + 1)]);
    let error = from_wire::<Fields<'_>>(&wire).unwrap_err();
    assert!(matches!(error.fault, Fault::Limit { max, .. } if max == FIELDS_MAX));
    let mut wire = vec![1, 0, 0x80, 0x20]; // one name with as many values: one too many in all
    wire.extend(vec![0; FIELDS_MAX]);
    let error = from_wire::<Fields<'_>>(&wire).unwrap_err();
    assert!(matches!(error.fault, Fault::Limit { .. }));
}

#[test]
fn every_error_of_http_has_the_number_of_its_wit() {
    let ty = wit_type("http", "error-code");
    let Type::Variant(cases) = &ty else {
        panic!("error-code is a variant")
    };
    assert_eq!(cases.len(), 39);
    let all = [
        (0, ErrorCode::DnsTimeout),
        (1, ErrorCode::DnsError(Default::default())),
        (14, ErrorCode::TlsAlertReceived(Default::default())),
        (17, ErrorCode::HttpRequestBodySize(Some(u64::MAX))),
        (21, ErrorCode::HttpRequestHeaderSectionSize(Some(1))),
        (
            22,
            ErrorCode::HttpRequestHeaderSize(Some(FieldSize::default())),
        ),
        (23, ErrorCode::HttpRequestTrailerSectionSize(None)),
        (24, ErrorCode::HttpRequestTrailerSize(FieldSize::default())),
        (26, ErrorCode::HttpResponseHeaderSectionSize(None)),
        (27, ErrorCode::HttpResponseHeaderSize(FieldSize::default())),
        (28, ErrorCode::HttpResponseBodySize(Some(1))),
        (29, ErrorCode::HttpResponseTrailerSectionSize(Some(1))),
        (30, ErrorCode::HttpResponseTrailerSize(FieldSize::default())),
        (31, ErrorCode::HttpResponseTransferCoding(Some("x".into()))),
        (32, ErrorCode::HttpResponseContentCoding(None)),
        (38, ErrorCode::InternalError(Some("x".into()))),
    ];
    for (number, error) in all {
        assert_eq!(to_wire(&error)[0], number);
        check(&ty, error);
    }
    // The cases without a payload: each has its own number, and reads back as itself.
    let plain = cases
        .iter()
        .enumerate()
        .filter(|(_, case)| case.ty.is_none());
    for (number, case) in plain {
        let wire = [number as u8];
        let error = from_wire::<ErrorCode>(&wire).unwrap();
        assert_eq!(to_wire(&error), wire);
        let (ours, theirs) = (format!("{error:?}"), case.name.replace('-', ""));
        assert_eq!(ours.to_lowercase(), theirs.to_lowercase());
    }
    assert!(from_wire::<ErrorCode>(&[39]).is_err());
}

#[test]
fn keyvalue_agrees_with_its_wit() {
    use keyvalue::{Error, GetManyResult, KeyResponse, ListKeysResult};
    let error = wit_type("keyvalue", "error");
    check(&error, Error::NoSuchStore);
    check(&error, Error::AccessDenied);
    check(&error, Error::Other("why".into()));

    let keys: ListKeysResult<'_> = Ok(KeyResponse {
        keys: vec!["a", "b"],
        cursor: Some(300),
    });
    let wire = to_wire(&keys);
    check_wire(&wit_type("keyvalue", "list-keys-result"), &wire);
    assert_eq!(from_wire::<ListKeysResult<'_>>(&wire), Ok(keys));

    let many: GetManyResult<'_> = Ok(vec![None, Some(("a", Bytes(b"1")))]);
    let wire = to_wire(&many);
    check_wire(&wit_type("keyvalue", "get-many-result"), &wire);
    assert_eq!(from_wire::<GetManyResult<'_>>(&wire), Ok(many));

    let set: keyvalue::SetManyParams<'_> = ("bucket", vec![("a", Bytes(b"1"))]);
    check_wire(&wit_type("keyvalue", "set-many-params"), &to_wire(&set));
    let increment: keyvalue::IncrementParams<'_> = ("bucket", "a", 300);
    check_wire(
        &wit_type("keyvalue", "increment-params"),
        &to_wire(&increment),
    );
}

#[test]
fn blobstore_agrees_with_its_wit() {
    use blobstore::{ObjectId, ObjectMetadata};
    let id = ObjectId {
        container: "c",
        object: "o",
    };
    let data: blobstore::WriteDataParams<'_> = (id, Pending);
    check_wire(&wit_type("blobstore", "write-data-params"), &to_wire(&data));
    let get: blobstore::GetDataParams<'_> = (id, 0, 1 << 40);
    check_wire(&wit_type("blobstore", "get-data-params"), &to_wire(&get));
    let stream: blobstore::StreamStatusResult = Ok((Pending, Pending));
    check(&wit_type("blobstore", "get-data-result"), stream);
    let info: blobstore::ObjectInfoResult = Ok(ObjectMetadata {
        created_at: 1,
        size: 2,
    });
    check(&wit_type("blobstore", "object-info-result"), info);
    let failed: blobstore::WriteDataResult = Err("full".into());
    check(&wit_type("blobstore", "write-data-result"), failed);
}

#[test]
fn messaging_agrees_with_its_wit() {
    let message = messaging::BrokerMessage {
        subject: "orders.new",
        body: Bytes(b"{}"),
        reply_to: None,
    };
    let wire = to_wire(&(message,));
    check_wire(&wit_type("messaging", "message-params"), &wire);
    assert_eq!(
        from_wire::<messaging::MessageParams<'_>>(&wire),
        Ok((message,))
    );
    let result: messaging::UnitResult = Ok(());
    assert_eq!(to_wire(&result), [0]);
}

#[test]
fn a_promise_of_many_elements_takes_no_memory() {
    let bomb = [1, b'b', 0xff, 0xff, 0xff, 0xff, 0x0f];
    let error = from_wire::<keyvalue::KeysParams<'_>>(&bomb).unwrap_err();
    assert!(error.is_truncated());
    let inline = from_wire::<(Pending,)>(&[3, 1, 2, 3]).unwrap_err();
    assert_eq!(inline.fault, Fault::Inline);
}
