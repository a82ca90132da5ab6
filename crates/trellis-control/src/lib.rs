//! The wasmCloud 1.x control interface: subjects, messages, events, lattice state, and a client.
