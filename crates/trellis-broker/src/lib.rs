//! The embedded lattice's broker: the core NATS client protocol on loopback.
