//! Keys, credentials and permissions of a lattice: nkeys, NATS user JWTs, roles.
