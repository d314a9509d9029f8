//! Known inputs of a target: the golden cases, the hand-written seeds and the fuzzer's corpus.

use std::fs;
use std::path::Path;

use crate::targets::{Form, Golden, Target};

/// The inputs of a target and where they come from, in a fixed order.
pub(super) fn of(target: &Target) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = Vec::new();
    golden(&root.join("tests/golden"), target.golden, &mut inputs);
    for folder in ["fuzz/seeds", "fuzz/corpus"] {
        files(&root.join(folder).join(target.name), &mut inputs);
    }
    inputs.sort();
    inputs
}

fn files(folder: &Path, inputs: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let content = fs::read(entry.path()).expect("a readable input");
        inputs.push((entry.path().display().to_string(), content));
    }
}

fn golden(folder: &Path, wanted: Golden, inputs: &mut Vec<(String, Vec<u8>)>) {
    for vendor in fs::read_dir(folder).expect("the golden cases").flatten() {
        for case in fs::read_dir(vendor.path()).into_iter().flatten().flatten() {
            let mut all = Vec::new();
            files(&case.path(), &mut all);
            let streams = case.file_name().to_string_lossy().starts_with("stream-");
            let form = if streams { Form::Stream } else { Form::Whole };
            inputs.extend(all.into_iter().filter(|(name, _)| match wanted {
                Golden::Nothing => false,
                Golden::Requests => name.ends_with("/request.json"),
                Golden::Answers(of, wanted) => {
                    let right = of.is_empty() || vendor.file_name() == of;
                    right && form == wanted && name.ends_with("/answer.txt")
                }
                Golden::Everything => true,
            }));
        }
    }
}
