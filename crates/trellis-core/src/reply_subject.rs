//! Where an answer may go: the asker names the subject, and the answer is published with the rights of who
//! answers.

/// What the subjects of a lattice begin with, of NATS' own aside: requests, events, providers, the
/// application manager, secrets.
const TAKEN: [&str; 3] = ["wasmbus", "wadm", "wasmcloud"];

/// Tells whether `subject` is one that an asker may have its answer sent to. Where a lattice's own traffic
/// or its state goes, nobody waits for answers: who names such a subject wants the one that answers to
/// write there in its place.
///
/// Everything else may be an inbox: NATS lets clients choose the prefix, and makes some of its own
/// (`_R_.…`) for answers that cross accounts.
pub fn takes_answers(subject: &str) -> bool {
    let mut tokens = subject.split('.');
    let first = tokens.next().unwrap_or_default();
    if first.starts_with("_INBOX") {
        return true; // whatever follows: ids may be in it
    }
    let is_own = first == "trellis" && tokens.next() == Some("v1");
    // Subjects of calls are `LATTICE.ID.wrpc.…`.
    let is_call = subject.split('.').any(|token| token == "wrpc");
    !(first.starts_with('$') || TAKEN.contains(&first) || is_own || is_call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inboxes_take_answers() {
        for inbox in [
            "_INBOX.aBc",
            "_INBOX.aBc.1",
            "_INBOX.aBc.1.params",
            "_INBOX_TRELLIS.viewer.aBc.2",
            "_INBOX_TRELLIS.provider.wrpc.aBc",
            "_R_.aBc.dEf",
            "team-a.inbox.7",
            "trellis.v2",
            "answers",
        ] {
            assert!(takes_answers(inbox), "{inbox}");
        }
    }

    #[test]
    fn subjects_of_the_lattice_and_its_state_take_none() {
        for subject in [
            "$KV.LATTICEDATA_default.COMPONENT_web",
            "$JS.API.STREAM.INFO.KV_LATTICEDATA_default",
            "$SYS.REQ.SERVER.PING",
            "wasmbus.ctl.v1.default.link.put",
            "wasmbus.evt.default.host_started",
            "wasmbus.rpc.default.kv.shutdown",
            "wasmbus",
            "wadm.api.default.model.put",
            "wasmcloud.secrets.v1alpha1.nats-kv.get",
            "trellis.v1.default.drain.NHOST",
            "default.cart.wrpc.0.0.1.acme:cart/orders.add",
            "default.cart.wrpc",
        ] {
            assert!(!takes_answers(subject), "{subject}");
        }
    }
}
