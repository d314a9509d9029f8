//! `[compression]` and `[cache]`.

use std::time::Duration;

use super::answers::{Cache, Compression};
use super::limits;
use super::parse::{Notes, Settings};

/// Reads `[cache]`; none when it is off.
pub(super) fn cache(settings: &Settings, notes: &mut Notes) -> Option<Cache> {
    let cache = Cache {
        ttl: Duration::from_secs(settings.whole("cache.default_ttl_secs", limits::CACHE_SECONDS)),
        bytes_max: settings.count("cache.max_bytes", limits::CACHE_BYTES),
        entry_bytes_max: settings.count("cache.max_entry_bytes", limits::CACHE_ENTRY),
        shared: settings.text("cache.scope") == Some("shared"),
        single_flight: settings.flag("cache.single_flight", true),
    };
    if cache.entry_bytes_max > cache.bytes_max {
        let key = "cache.max_entry_bytes";
        let place = settings.place_of(if settings.is_set(key) { key } else { "cache.max_bytes" });
        let found = "more for one answer than cache.max_bytes has for all";
        notes.error(key, place, found, "at most cache.max_bytes");
    }
    settings.flag("cache.enabled", false).then_some(cache)
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
