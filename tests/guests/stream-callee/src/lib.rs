//! Exports an interface with a stream.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/streams", world: "callee" });
}

use bindings::exports::trellis_test::streams::api::Guest;
use wit_bindgen::StreamReader;

struct Callee;

impl Guest for Callee {
    fn open(bytes: u32) -> StreamReader<u8> {
        let (mut writer, reader) = bindings::wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let _unread = writer.write_all(vec![b'x'; bytes as usize]).await;
        });
        reader
    }
}

bindings::export!(Callee with_types_in bindings);
