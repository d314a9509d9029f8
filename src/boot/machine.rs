//! What the machine gives to this process: cores, descriptors, memory.

use std::fs;
use std::path::Path;

use crate::config::limits::{Capacity, fit};
use crate::rt;

/// Bounds that are not ours to choose.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Core numbers this process may run on, ascending.
    pub cores: Vec<usize>,
    /// Descriptors it may open.
    pub descriptors: u64,
    /// Memory it may use: the machine's, or less if a control group says so.
    pub memory_bytes: u64,
}

impl Machine {
    /// Looks, and raises the soft descriptor limit to the hard one on the way.
    pub fn look() -> Self {
        Self {
            cores: rt::allowed_cores(),
            // What every Unix grants without being asked.
            descriptors: rt::raise_descriptor_limit().unwrap_or(1024),
            memory_bytes: memory_bytes(),
        }
    }

    /// What it can carry.
    pub fn room(&self) -> Capacity {
        fit(self.descriptors, self.memory_bytes)
    }
}

fn memory_bytes() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let folder = group_of(&text)?.trim_start_matches('/').to_owned();
        group_limit(Path::new("/sys/fs/cgroup"), &folder)
    });
    // Without /proc the smallest machine that makes sense is assumed.
    let total = total.unwrap_or(512 << 20);
    group.map_or(total, |limit| limit.min(total))
}

/// The bytes of `MemTotal:  16384 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The path in the line `0::/path` of version 2.
fn group_of(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The least `memory.max` of a group and those around it.
fn group_limit(root: &Path, folder: &str) -> Option<u64> {
    let group = root.join(folder);
    let around = group.ancestors().take_while(|folder| folder.starts_with(root));
    let texts = around.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok());
    // `max` is no number: no limit here.
    texts.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let meminfo = "MemTotal:       16308892 kB\nMemFree:         1 kB\n";
        assert_eq!(total_of(meminfo), Some(16_308_892 * 1024));
        assert_eq!(total_of("MemFree: 1 kB"), None);
        assert_eq!(group_of("1:name=x:/a\n0::/user.slice/b\n"), Some("/user.slice/b"));
        assert_eq!(group_of("1:memory:/a\n"), None);
    }

    #[test]
    fn this_machine_can_carry_something() {
        let machine = Machine::look();
        assert!(!machine.cores.is_empty() && machine.memory_bytes >= 64 << 20, "{machine:?}");
        assert!(machine.room().in_flight >= 1);
    }
}
