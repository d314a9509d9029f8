//! The official OpenAI SDKs chat with the gateway, streamed and not. `scripts/test.sh` installs
//! them below `target/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::certificates::Authority;
use super::gateway::{FLAVOURS, Folder, Gateway};

const KEY: &str = "sk-a-long-enough-master-key";

/// Runs a script of `tests/sdk` against a gateway on its embedded simulator.
fn run(program: &Path, script: &str, installed: &Path) {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    assert!(installed.exists(), "{} is not there: run scripts/test.sh once", installed.display());
    for flavour in FLAVOURS {
        let gateway = Gateway::start(flavour, &[("APP_AUTH__MASTER_KEY", KEY)]);
        play(program, script, &gateway, None);
    }
}

/// The same with TLS between the two.
fn run_encrypted(program: &Path, script: &str) {
    for flavour in FLAVOURS {
        let (authority, folder) = (Authority::new("the test's own"), Folder::new());
        let put = |name: &str, text: &str| {
            let path = folder.0.join(name);
            fs::write(&path, text).expect("a file can be written");
            path.display().to_string()
        };
        let signed = authority.sign("127.0.0.1");
        let (cert, key) = (put("cert.pem", &signed.cert), put("key.pem", &signed.key));
        let variables = [
            ("APP_SERVER__TLS_CERT", cert.as_str()),
            ("APP_SERVER__TLS_KEY", key.as_str()),
            ("APP_AUTH__MASTER_KEY", KEY),
        ];
        let gateway = Gateway::start(flavour, &variables);
        play(program, script, &gateway, Some(&put("ca.pem", &authority.pem)));
    }
}

/// With a file of authorities the script speaks TLS and trusts them.
fn play(program: &Path, script: &str, gateway: &Gateway, authorities: Option<&str>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scheme = if authorities.is_some() { "https" } else { "http" };
    let mut command = Command::new(program);
    command.arg(root.join("tests/sdk").join(script));
    command.arg(format!("{scheme}://{}/v1", gateway.address)).arg(KEY);
    // Keys, proxies and settings of whoever runs the tests do not count.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("NODE_PATH", root.join("target/test-node/node_modules"));
    if let Some(authorities) = authorities {
        command.env("SSL_CERT_FILE", authorities).env("NODE_EXTRA_CA_CERTS", authorities);
    }
    let output = command.output().expect("the script starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let well = output.status.success() && told.contains("all is well");
    assert!(well, "{scheme}: {told}{}", gateway.log());
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

#[test]
fn both_chat_over_tls() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    run_encrypted(&python, "chat.py");
    run_encrypted(Path::new("node"), "chat.cjs");
}
