//! The official SDKs of Anthropic and Google on their vendors' own endpoints, and OpenAI's on its
//! responses, on the upstreams of every vendor. `scripts/test.sh` installs them below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::gateway::{FLAVOURS, Gateway};

const KEY: &str = "sk-a-long-enough-master-key";

/// One model of every vendor, and of both generations of Google's and Anthropic's thinking.
const MODELS: [&str; 5] =
    ["gemini-2.5-flash", "gemini-3-pro-preview", "claude-sonnet-4-5", "claude-opus-4-6", "gpt-4o"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    let python = root().join("target/test-venv/bin/python");
    assert!(python.exists(), "{} is not there: run scripts/test.sh once", python.display());
    python
}

/// Runs a script of `tests/sdk` against a gateway; it must end well.
fn play(script: &str, gateway: &Gateway, arguments: &[&str]) {
    let mut command = Command::new(python());
    command.arg(root().join("tests/sdk").join(script));
    command.arg(format!("http://{}", gateway.address)).arg(KEY).args(arguments);
    // Keys, proxies and settings of whoever runs the tests do not count.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().expect("the script starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let well = output.status.success() && told.contains("all is well");
    assert!(well, "{arguments:?}: {told}{}", gateway.log());
}

fn on_every_executor(script: &str) {
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[("APP_AUTH__MASTER_KEY", KEY)]);
        play(script, &gateway, &MODELS);
    }
}

#[test]
fn anthropics_sdk_works_with_every_vendor() {
    on_every_executor("messages.py");
}

#[test]
fn openais_sdk_gets_responses_of_every_vendor() {
    on_every_executor("responses.py");
}

#[test]
fn googles_sdk_works_with_every_vendor() {
    on_every_executor("generate.py");
}
