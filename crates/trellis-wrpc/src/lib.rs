//! wRPC over NATS: calls, streams and servers in the dialect of wasmCloud 1.x.
