//! The data plane: accept, serve, exchange, relay, settle.
