//! Property tests: the targets of the fuzzer on stable Rust, fed with mutants of known inputs, and
//! the properties of the hub (`hub`) over generated requests and answers.
//!
//! Every run prints its seed, and a failure its input; `PROP_SEED=N` repeats a run, and
//! `PROP_SECONDS=N` spends so many seconds on all targets together.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "a test stops where it cannot go on and says its seed; variables and the clock say \
              how long it runs"
)]

mod hub;
mod inputs;
mod mutate;
mod write;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vertex_bridge::base::Rng;

use crate::targets::{self, TARGETS, Target};

/// Enough to meet every mutation many times, and over in seconds.
const CASES: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn known_inputs_hold() {
    for target in TARGETS {
        let inputs = inputs::of(target);
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        for (name, input) in inputs {
            check(target, &input, &name);
        }
    }
}

#[test]
fn mutated_inputs_hold() {
    let seed = number("PROP_SEED").unwrap_or(1);
    println!("PROP_SEED={seed}");
    let share = number("PROP_SECONDS").map(|seconds| {
        // Two threads work on them side by side.
        Duration::from_secs(seconds) * 2 / u32::try_from(TARGETS.len()).expect("a few")
    });
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cases = mutants(target, seed, share);
                    println!("{}: {cases} cases", target.name);
                }
            });
        }
    });
}

/// Runs mutants of the target's inputs, and says how many.
fn mutants(target: &Target, seed: u64, share: Option<Duration>) -> u64 {
    let inputs: Vec<Vec<u8>> = inputs::of(target).into_iter().map(|(_, input)| input).collect();
    let words = mutate::words(&inputs);
    let start = Instant::now();
    for case in 0.. {
        let over = share.map_or(case >= CASES, |share| case % 64 == 0 && start.elapsed() >= share);
        if over {
            return case;
        }
        let mut rng = Rng::new(seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let input = mutate::mutant(&inputs, &words, &mut rng);
        check(target, &input, &format!("PROP_SEED={seed}, case {case}"));
    }
    0
}

/// Runs one input; one that fails is kept, so that it can become a test.
fn check(target: &Target, input: &[u8], origin: &str) {
    let failed = catch_unwind(AssertUnwindSafe(|| targets::run(target.name, input))).is_err();
    if failed {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prop-{}", target.name));
        fs::write(&file, input).expect("the input is kept");
        panic!("{} fails on {origin}; its input is {}", target.name, file.display());
    }
}

#[test]
fn every_target_is_fuzzed() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the fuzz crate");
    let lines = manifest.lines().skip_while(|line| *line != "[[bin]]");
    let fuzzed = lines.filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let fuzzed: Vec<&str> = fuzzed.collect();
    let here: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(fuzzed, here);
}
