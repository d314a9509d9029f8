//! Connections to upstreams: addresses, dialing, idle pool.
