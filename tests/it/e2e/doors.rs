//! The official SDKs of Anthropic and Google on their vendors' own endpoints, and OpenAI's on its
//! responses, on the upstreams of every vendor. `scripts/test.sh` installs them below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::post_to;
use super::gateway::{FLAVOURS, Folder, Gateway};
use super::simulator::Simulator;

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
    play_at(script, gateway, "", arguments);
}

/// The same below a path.
fn play_at(script: &str, gateway: &Gateway, path: &str, arguments: &[&str]) {
    let mut command = Command::new(python());
    command.arg(root().join("tests/sdk").join(script));
    command.arg(format!("http://{}{path}", gateway.address)).arg(KEY).args(arguments);
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

/// The same texts on AI Studio, on Vertex AI and at OpenAI; Anthropic has no embeddings.
#[test]
fn openais_sdk_gets_vectors_of_every_vendor() {
    let simulator = Simulator::start(&[]);
    let folder = Folder::new();
    let path = folder.0.join("gateway.toml");
    let upstream = |name: &str, kind: &str, tail: &str| {
        let url = format!("http://{}{tail}", simulator.address);
        format!(
            "[[upstream]]\nname = \"{name}\"\nkind = \"{kind}\"\nbase_url = \"{url}\"\n\
             api_key = \"any\"\n"
        )
    };
    let route = |model: &str, name: &str, to: &str| {
        format!(
            "[[route]]\nmodel = \"{model}\"\n\
             targets = [ {{ upstream = \"{name}\", model = \"{to}\" }} ]\n"
        )
    };
    let text = [
        upstream("studio", "gemini", ""),
        upstream("express", "vertex", ""),
        upstream("gpt", "openai", "/v1"),
        upstream("claude", "anthropic", ""),
        route("gemini-embedding-001", "studio", "gemini-embedding-001"),
        route("text-embedding-005", "express", "text-embedding-005"),
        route("text-embedding-3-small", "gpt", "text-embedding-3-small"),
        route("claude-opus-4-6", "claude", "claude-opus-4-6"),
    ];
    std::fs::write(&path, text.concat()).expect("a file can be written");
    let path = path.to_str().expect("a path is text");
    for flavour in FLAVOURS {
        let variables = [("APP_AUTH__MASTER_KEY", KEY), ("VERTEX_BRIDGE_CONFIG", path)];
        let gateway = Gateway::start(flavour, &variables);
        let models = ["gemini-embedding-001", "text-embedding-005", "text-embedding-3-small"];
        play_at("embeddings.py", &gateway, "/v1", &models);
        let body = r#"{"model":"claude-opus-4-6","input":"x"}"#;
        let refused = gateway.ask(&post_to("/v1/embeddings", KEY, body));
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.body.contains("no embeddings"), "{}", refused.body);
    }
}
