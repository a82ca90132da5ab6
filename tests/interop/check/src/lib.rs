//! The package of the tests in `tests/`.
