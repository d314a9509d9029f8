//! The targets of the property tests, compiled once for all fuzz targets.

#[expect(dead_code, reason = "only the property tests look for inputs among the golden cases")]
#[path = "../../tests/targets/mod.rs"]
mod targets;

/// Checks one input of the target `name`; panics where something does not hold.
pub fn run(name: &str, data: &[u8]) {
    targets::run(name, data);
}
