//! Agents through the official OpenAI SDKs, on the upstreams of every vendor. `scripts/test.sh`
//! installs the SDKs below `target/`.

use std::path::Path;
use std::process::Command;

use super::gateway::{FLAVOURS, Folder, Gateway};

const KEY: &str = "sk-a-long-enough-master-key";

/// One model of every vendor, and of both generations of Google's and Anthropic's thinking.
const MODELS: [&str; 5] =
    ["gemini-2.5-flash", "gemini-3-pro-preview", "claude-sonnet-4-5", "claude-opus-4-6", "gpt-4o"];

/// Runs a script of `tests/sdk` against a gateway; it must end well.
fn play(program: &Path, script: &str, gateway: &Gateway, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    command.arg(root.join("tests/sdk").join(script));
    command.arg(format!("http://{}/v1", gateway.address)).arg(KEY).args(arguments);
    // Keys, proxies and settings of whoever runs the tests do not count.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("NODE_PATH", root.join("target/test-node/node_modules"));
    let output = command.output().expect("the script starts: run scripts/test.sh once");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let well = output.status.success() && told.contains("all is well");
    assert!(well, "{arguments:?}: {told}{}", gateway.log());
}

fn python(script: &str, gateway: &Gateway, arguments: &[&str]) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    play(&python, script, gateway, arguments);
}

#[test]
fn agents_in_python_work_with_every_vendor() {
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[("APP_AUTH__MASTER_KEY", KEY)]);
        python("agent.py", &gateway, &MODELS);
    }
}

#[test]
fn agents_in_node_work_with_every_vendor() {
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[("APP_AUTH__MASTER_KEY", KEY)]);
        play(Path::new("node"), "agent.cjs", &gateway, &MODELS);
    }
}

/// What the client returns is enough: nothing of the first turn is left in the second gateway.
#[test]
fn a_conversation_survives_a_restart() {
    let folder = Folder::new();
    for model in MODELS {
        let file = folder.0.join(model).to_string_lossy().into_owned();
        for step in ["--save", "--resume"] {
            let gateway = Gateway::start(FLAVOURS[0], &[("APP_AUTH__MASTER_KEY", KEY)]);
            python("agent.py", &gateway, &[model, step, &file]);
        }
    }
}
