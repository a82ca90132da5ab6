//! A connection to a lattice, and the store its state is kept in.
