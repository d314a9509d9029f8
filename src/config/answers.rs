//! How answers are packed.

use super::limits;
use super::parse::Settings;

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

/// Reads `[compression]`.
pub(super) fn compression(settings: &Settings) -> Compression {
    let level = settings.whole("compression.level", limits::COMPRESSION_LEVEL.default);
    let percent = settings.whole("compression.cpu_percent", limits::COMPRESSION_CPU.default);
    Compression {
        level: u32::try_from(level).unwrap_or(0),
        bytes_min: settings.count("compression.min_bytes", limits::COMPRESSION_BYTES),
        cpu_percent: u32::try_from(percent).ok().filter(|percent| *percent > 0),
    }
}
