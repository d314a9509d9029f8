//! Which cores this process may run on, and pinning a thread to one.
//!
//! The affinity mask decides which cores; the cgroup's CPU quota decides how many shards are worth
//! starting: more pinned threads than quota would be throttled in turn.

use std::fs;
use std::io;

use core_affinity::CoreId;

/// The cores of the affinity mask, in order, at most as many as the cgroup quota pays for.
pub fn allowed_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let mut cores: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
    cores.sort_unstable();
    if cores.is_empty() {
        cores.push(0);
    }
    if let Some(quota) = cgroup_quota() {
        cores.truncate(quota.max(1));
    }
    cores
}

/// Pins the calling thread to `core`.
///
/// # Errors
/// When the kernel refuses, for example because the core is not in the affinity mask.
pub fn pin_to(core: usize) -> io::Result<()> {
    if core_affinity::set_for_current(CoreId { id: core }) {
        return Ok(());
    }
    Err(io::Error::other(format!("the kernel refused to pin a thread to core {core}")))
}

/// Whole CPUs that the cgroup's quota allows, rounded up; none without a quota.
fn cgroup_quota() -> Option<usize> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let in_own = format!("/sys/fs/cgroup{path}/cpu.max");
    let text = fs::read_to_string(in_own).or_else(|_| fs::read_to_string("/sys/fs/cgroup/cpu.max"));
    quota_of(&text.ok()?)
}

/// Reads `cpu.max`: `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn quota_of(text: &str) -> Option<usize> {
    let mut words = text.split_whitespace();
    let quota: usize = words.next()?.parse().ok()?;
    let period: usize = words.next()?.parse().ok()?;
    (period > 0).then(|| quota.div_ceil(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_rounded_up_to_whole_cpus() {
        assert_eq!(quota_of("200000 100000"), Some(2));
        assert_eq!(quota_of("150000 100000"), Some(2));
        assert_eq!(quota_of("50000 100000"), Some(1));
        assert_eq!(quota_of("max 100000"), None);
        assert_eq!(quota_of(""), None);
    }

    #[test]
    fn a_thread_can_be_pinned_to_each_allowed_core() {
        for core in allowed_cores() {
            pin_to(core).unwrap();
        }
    }
}
