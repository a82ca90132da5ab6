//! The wRPC value encoding: type plans, values, and their bytes.
