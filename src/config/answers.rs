//! How answers are packed, and which are given again.

use std::time::Duration;

/// How whole answers are packed for clients that take it.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// From 1, quick, to 9, small; 0 is not at all.
    pub level: u32,
    /// A shorter body goes out as it is, in bytes.
    pub bytes_min: usize,
    /// What packing may take of a core, in percent of its other work; `None` is no bound.
    pub cpu_percent: Option<u32>,
}

/// Which answers are given again.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// How long an answer is given again.
    pub ttl: Duration,
    /// All answers of all shards, in bytes, with what is around them.
    pub bytes_max: usize,
    /// A longer answer is not kept, in bytes; at most `bytes_max`.
    pub entry_bytes_max: usize,
    /// Keys see each other's answers.
    pub shared: bool,
    /// Identical requests at one time ask the upstream once.
    pub single_flight: bool,
}
