//! However the process dies, the ledger has every request once and what was settled stays.

use std::path::Path;
use std::process::Command;

use super::gateway::{BINARY, Folder};

#[test]
fn ten_kills_under_load_leave_right_books() {
    let folder = Folder::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/load/kill9.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(BINARY).arg(&folder.0).args(["10", "1"]);
    let output = command.output().expect("python runs");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("\"kills\": 10"), "{told}");
}
