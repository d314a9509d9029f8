//! HTTP/1.1 heads and bodies, server-sent events, JSON spans: incremental and pure.
