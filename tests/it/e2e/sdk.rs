//! The official OpenAI SDKs chat with the gateway, streamed and not. `scripts/test.sh` installs
//! them below `target/`.

use std::path::Path;
use std::process::Command;

use super::gateway::{FLAVOURS, Gateway};

const KEY: &str = "sk-a-long-enough-master-key";

/// Runs a script of `tests/sdk` against a gateway on its embedded simulator.
fn run(program: &Path, script: &str, installed: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join(installed);
    assert!(installed.exists(), "{} is not there: run scripts/test.sh once", installed.display());
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[("APP_AUTH__MASTER_KEY", KEY)]);
        let mut command = Command::new(program);
        command.arg(root.join("tests/sdk").join(script));
        command.arg(format!("http://{}/v1", gateway.address)).arg(KEY);
        // Keys, proxies and settings of whoever runs the tests do not count.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("NODE_PATH", root.join("target/test-node/node_modules"));
        let output = command.output().expect("the script starts");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        let well = output.status.success() && told.contains("all is well");
        assert!(well, "{flavour:?}: {told}{}", gateway.log());
    }
}

fn python(script: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    run(&python, script, Path::new("target/test-venv/bin/python"));
}

fn node(script: &str) {
    run(Path::new("node"), script, Path::new("target/test-node/node_modules/openai"));
}

#[test]
fn python_chats() {
    python("chat.py");
}

#[test]
fn node_chats() {
    node("chat.cjs");
}

#[test]
fn python_completes() {
    python("completions.py");
}

#[test]
fn node_completes() {
    node("completions.cjs");
}
