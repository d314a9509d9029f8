//! The name of the process, as tools show it.

/// The name that `pgrep` finds. Only the gateway itself is called `vertex-bridge`.
pub(super) fn name_process(name: &str) {
    // Without /proc the name stays; nothing depends on it but tools.
    let _unnamed = std::fs::write("/proc/self/comm", name);
}
