//! What the state store of a lattice shared with others holds, and the replies of hosts: any bytes are
//! a value or an error, a value is written as one that reads the same, and the rules of links hold.
//! The first byte of the input says what the rest is to be.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trellis_control::{
    Answer, CallResult, Claims, ComponentAuctionAck, ComponentExports, ComponentSpec, Config,
    CtlResponse, DeleteLink, DoctorReport, Host, HostInventory, HostStatus, LatticeKey, Link,
    LogLine, LogTail, ProviderAuctionAck, REPLY_BYTES_MAX, decode, delete_link, encode,
    import_table, put_link,
};
use trellis_fuzz::{Choices, within};

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let (kind, text) = (choices.byte(), choices.rest());
    within((1 << 20) + 256 * data.len(), || match kind {
        b'k' => check_key(text),
        b's' => {
            if let Some(spec) = check::<ComponentSpec>(text) {
                check_links(spec);
            }
        }
        b'c' => drop(check::<Claims>(text)),
        b'g' => drop(check::<Config>(text)),
        b'h' => drop(check::<Host>(text)),
        b'i' => drop(check::<CtlResponse<HostInventory>>(text)),
        b'l' => drop(check::<CtlResponse<Vec<Link>>>(text)),
        b'a' => drop(check::<CtlResponse<ComponentAuctionAck>>(text)),
        b'p' => drop(check::<CtlResponse<ProviderAuctionAck>>(text)),
        b'u' => drop(check::<CtlResponse<()>>(text)),
        b'S' => drop(check::<Answer<HostStatus>>(text)),
        b'D' => drop(check::<Answer<DoctorReport>>(text)),
        b'C' => drop(check::<Answer<CallResult>>(text)),
        b'E' => drop(check::<Answer<ComponentExports>>(text)),
        b'T' => drop(check::<Answer<LogTail>>(text)),
        _ => drop(check::<LogLine>(text)),
    });
});

fn check<T>(text: &[u8]) -> Option<T>
where
    T: DeserializeOwned + Serialize + PartialEq + Debug,
{
    match decode::<T>(text, REPLY_BYTES_MAX) {
        Ok(value) => {
            let read = decode::<T>(&encode(&value), REPLY_BYTES_MAX);
            assert_eq!(read.as_ref(), Ok(&value));
            Some(value)
        }
        Err(error) => {
            assert!(error.to_string().len() < 3_000);
            None
        }
    }
}

fn check_key(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    assert_eq!(LatticeKey::parse(&text).to_string(), text);
}

/// What 1.x hosts stored may break our rules; what we add to it does not, and all of it can be removed.
fn check_links(spec: ComponentSpec) {
    let mut kept = ComponentSpec::default();
    for link in spec.links {
        let Ok(next) = put_link(&kept, link.clone()) else {
            continue;
        };
        assert!(next.links.contains(&link));
        assert_eq!(
            put_link(&next, link).as_ref(),
            Ok(&next),
            "twice is as once"
        );
        kept = next;
    }
    let _ = import_table(&kept.links);
    while let Some(link) = kept.links.first().cloned() {
        let deletion = DeleteLink {
            source_id: link.source_id.clone(),
            name: link.name.clone(),
            wit_namespace: link.wit_namespace.clone(),
            wit_package: link.wit_package.clone(),
            target: Some(link.target.clone()),
        };
        let (next, removed) = delete_link(&kept, &deletion);
        assert_eq!(removed, Some(link));
        kept = next;
    }
}
