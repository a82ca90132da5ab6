//! Messages of the control interface: the subject is the input's first line, the payload the rest.
//! Any is a request or an error for its sender; a request is written as one that reads the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trellis_control::{Request, Subjects, encode};
use trellis_core::LatticeName;
use trellis_fuzz::within;

/// What an error repeats of a payload and says beside it, in bytes.
const MESSAGE_BYTES_MAX: usize = 3_000;

fuzz_target!(|data: &[u8]| {
    let line = data
        .iter()
        .position(|it| *it == b'\n')
        .unwrap_or(data.len());
    let (subject, payload) = data.split_at(line);
    let payload = Bytes::copy_from_slice(payload.get(1..).unwrap_or_default());
    let subject = String::from_utf8_lossy(subject);
    let lattice = LatticeName::new("shop").expect("a name");
    let subjects = Subjects::new(&lattice);
    within((1 << 20) + 128 * data.len(), || {
        if let Ok(route) = subjects.parse(&subject) {
            assert_eq!(subjects.subject(&route), subject);
        }
        match Request::decode(&subjects, &subject, &payload) {
            Ok(request) => {
                let payload = payload_of(&request).unwrap_or(payload);
                assert_eq!(Request::decode(&subjects, &subject, &payload), Ok(request));
            }
            // A character of the subject takes up to ten as `\u{10ffff}`.
            Err(error) => {
                assert!(error.message().len() <= MESSAGE_BYTES_MAX + 10 * subject.len());
            }
        }
    });
});

/// The payload as a client writes it; none where it is kept as it came or means nothing.
fn payload_of(request: &Request) -> Option<Bytes> {
    Some(match request {
        Request::HostStop(it) => encode(it),
        Request::LabelPut(it) => encode(it),
        Request::LabelDelete(it) => encode(it),
        Request::ComponentAuction(it) => encode(it),
        Request::ProviderAuction(it) => encode(it),
        Request::ComponentScale(it) => encode(it),
        Request::ComponentUpdate(it) => encode(it),
        Request::ProviderStart(it) => encode(it),
        Request::ProviderStop(it) => encode(it),
        Request::LinkPut(it) => encode(it),
        Request::LinkDelete(it) => encode(it),
        Request::RegistryPut(it) => encode(it),
        Request::Drain(it) => encode(it),
        Request::Call(it) => encode(it),
        Request::Describe(it) => encode(it),
        Request::Tail(it) => encode(it),
        _ => return None,
    })
}
