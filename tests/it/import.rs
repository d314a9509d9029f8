//! Configurations that `LiteLLM` publishes, imported: the file that comes of them, that it loads,
//! and that requests go where they say.
//!
//! `tests/litellm/CASE/` holds `config.yaml` and what is made of it, `vertex-bridge.toml`.
//! `GOLDEN=write cargo test import` writes the latter anew; the change is reviewed in the diff.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and is asked to write by a variable"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use vertex_bridge::config::{Config, Sources};
use vertex_bridge::import;
use vertex_bridge::proxy::explain;

/// What clients ask for, the upstream that is asked, the model it is asked for, and where.
type Asked = (&'static str, &'static str, &'static str, &'static str);

const OPENAI: &str = "https://api.openai.com/v1/chat/completions";
const CLAUDE: &str = "https://api.anthropic.com/v1/messages";
const OLLAMA: &str = "http://localhost:11434/v1/chat/completions";
const GOOGLE: &str = "https://generativelanguage.googleapis.com/v1beta/models";
const VERTEX: &str = "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global";
/// What the variable holds that two of them take an address from.
const FAKE: &str = "https://fake.example.com/v1/chat/completions";
const RAILWAY: &str = "https://exampleopenaiendpoint-production.up.railway.app/chat/completions";

/// Every case with what its models say of themselves.
const CASES: &[(&str, &[Asked])] = &[
    (
        "dev_config",
        &[
            ("anthropic-haiku-4-5", "anthropic", "claude-haiku-4-5", CLAUDE),
            ("anthropic-sonnet-4-5", "anthropic", "claude-sonnet-4-5", CLAUDE),
            ("vertex-haiku-4-5", "vertex_ai", "claude-haiku-4-5@20251001", VERTEX),
            ("vertex-sonnet-4-5", "vertex_ai", "claude-sonnet-4-5@20250929", VERTEX),
            ("gemini-claude-code", "vertex_ai-2", "gemini-2.5-pro", VERTEX),
            ("gpt-5.5", "openai", "gpt-5.5", OPENAI),
            ("gpt-4o-mini", "openai", "gpt-4o-mini", OPENAI),
        ],
    ),
    ("proxy_config", &[("gpt-4o", "openai", "gpt-4o", OPENAI)]),
    (
        "wildcard_config",
        &[
            ("anthropic/claude-opus-4-5", "anthropic", "claude-opus-4-5", CLAUDE),
            ("vertex_ai/gemini-2.5-pro", "vertex_ai", "gemini-2.5-pro", VERTEX),
            ("vertex_ai/claude-sonnet-4-5", "vertex_ai", "claude-sonnet-4-5", VERTEX),
            (
                "azure/my-deployment",
                "azure",
                "my-deployment",
                "https://azure.example.com/openai/v1",
            ),
            ("gemini/gemini-2.5-flash", "gemini", "gemini-2.5-flash", GOOGLE),
            ("openai/gpt-4o", "openai", "gpt-4o", OPENAI),
        ],
    ),
    (
        "aliases_config",
        &[
            ("text-davinci-003", "ollama", "zephyr", OLLAMA),
            ("gpt-4", "ollama", "llama2", OLLAMA),
            ("gpt-3.5-turbo", "ollama", "llama2", OLLAMA),
        ],
    ),
    (
        "azure_config",
        &[
            (
                "gpt-4-team1",
                "azure",
                "chatgpt-v-2",
                "https://openai-gpt-4-test-v-1.openai.azure.com/openai/v1/chat/completions",
            ),
            (
                "gpt-4-team2",
                "azure-2",
                "gpt-4",
                "https://openai-gpt-4-test-v-2.openai.azure.com/openai/v1/chat/completions",
            ),
        ],
    ),
    ("load_balancer", &[("gpt-3.5-turbo", "openai", "gpt-3.5-turbo", OPENAI)]),
    (
        "oai_misc_config",
        &[
            ("gpt-5-mini-end-user-test", "openai", "gpt-5-mini", OPENAI),
            ("whatever", "openai", "whatever", OPENAI),
            ("gpt-5-mini", "openai", "gpt-5-mini", OPENAI),
            ("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5", CLAUDE),
            ("groq/llama-x", "groq", "llama-x", "https://api.groq.com/openai/v1/chat/completions"),
        ],
    ),
    (
        "otel_test_config",
        &[
            ("fake-openai-endpoint", "openai-2", "gpt-5-mini", FAKE),
            ("fake-azure-endpoint", "openai-2", "429", FAKE),
            (
                "llava-hf",
                "openai-3",
                "llava-hf/llava-v1.6-vicuna-7b-hf",
                "http://localhost:8000/chat/completions",
            ),
            ("openai/gpt-4o", "openai", "gpt-4o", FAKE),
        ],
    ),
    (
        "pass_through_config",
        &[
            ("fake-openai-endpoint", "openai-2", "fake", RAILWAY),
            ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5-20250929", CLAUDE),
            ("claude-special-alias", "anthropic", "claude-haiku-4-5-20251001", CLAUDE),
            ("anthropic/claude-x", "anthropic", "claude-x", CLAUDE),
            ("openai/gpt-x", "openai", "gpt-x", OPENAI),
        ],
    ),
    (
        "adaptive_router_example",
        &[("fast", "openai", "gpt-4o-mini", OPENAI), ("smart", "openai", "gpt-4o", OPENAI)],
    ),
    (
        "reject_clientside_metadata_tags_config",
        &[("gpt-3.5-turbo", "openai", "gpt-3.5-turbo", OPENAI)],
    ),
    (
        "tool_permission_example",
        &[("claude-3-5-sonnet", "anthropic", "claude-3-5-sonnet-20241022", CLAUDE)],
    ),
];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/litellm").join(case)
}

/// The file that is made of a case.
fn imported(case: &str) -> String {
    let text = fs::read_to_string(folder(case).join("config.yaml")).expect("a case has its file");
    let imported = import::litellm("config.yaml", &text).expect("YAML");
    assert!(imported.routes > 0 && !imported.text.contains("sk-"), "{}", imported.text);
    imported.text
}

/// Loads what was made, with something right in every variable that it takes.
fn load(text: &str) -> Config {
    let names = text.split("\"env:").skip(1).filter_map(|rest| rest.split('"').next());
    let held = |name: &str| match name {
        "VERTEXAI_PROJECT" => "my-project",
        "AZURE_API_BASE" => "https://azure.example.com/openai/v1",
        name if name.ends_with("_BASE") => "https://fake.example.com/v1",
        name if name.contains("CREDENTIALS") => "/account.json",
        _ => "a-key-of-many-characters",
    };
    let variables: Vec<_> = names.map(|name| (name.to_owned(), held(name).to_owned())).collect();
    let account = r#"{"type": "service_account", "project_id": "p", "private_key": "-----BEGIN KEY",
        "client_email": "a@b.iam.gserviceaccount.com"}"#;
    let read_file = |_: &str| Ok(account.to_owned());
    let file = Some(("vertex-bridge.toml", text));
    let sources = Sources { file, flags: &[], variables: &variables, read_file: &read_file };
    Config::load(&sources).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

#[test]
fn published_configurations_give_what_was_reviewed() {
    for (case, _) in CASES {
        let text = imported(case);
        let file = folder(case).join("vertex-bridge.toml");
        if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
            fs::write(&file, &text).expect("the file can be written");
        }
        let reviewed = fs::read_to_string(&file).expect("it was written");
        assert!(text == reviewed, "{case} gives another file:\n{text}");
    }
}

#[test]
fn requests_go_where_published_configurations_say() {
    for (case, asked) in CASES {
        let text = imported(case);
        let config = load(&text);
        for (name, upstream, model, url) in *asked {
            let body =
                format!(r#"{{"model":"{name}","messages":[{{"role":"user","content":"x"}}]}}"#);
            let told = explain::offline(&config, body.as_bytes(), 1_800_000_000_000);
            let told =
                told.unwrap_or_else(|e| panic!("{case} {name}: {}", String::from_utf8_lossy(&e)));
            let told: Value = serde_json::from_slice(&told).expect("JSON");
            assert_eq!(told["upstream"]["name"], *upstream, "{case} {name}: {told:#}");
            assert_eq!(told["upstream"]["model"], *model, "{case} {name}: {told:#}");
            let sent = told["request"]["url"].as_str().unwrap_or_default();
            assert!(sent.starts_with(url), "{case} {name} goes to {sent}");
        }
    }
}

#[test]
fn every_name_of_the_list_is_routed_or_told() {
    for (case, _) in CASES {
        let yaml = fs::read_to_string(folder(case).join("config.yaml")).expect("a file");
        let text = imported(case);
        let names = yaml.lines().filter_map(|line| line.split("model_name:").nth(1));
        for name in names {
            let name = name.split('#').next().unwrap_or_default().trim().trim_matches('"');
            let routed = text.contains(&format!("model = \"{name}\"\n"));
            assert!(routed || text.contains(&format!("({name}): ")), "{case}: {name}\n{text}");
        }
    }
}

/// Runs the command in `folder` with no variables but these.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertex-bridge"));
    command.env_clear().envs(variables.iter().copied()).current_dir(folder).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn the_command_writes_a_file_that_check_and_explain_take() {
    let place = std::env::temp_dir().join(format!("vertex-bridge-import-{}", std::process::id()));
    fs::create_dir_all(&place).expect("a folder can be made");
    let config = folder("oai_misc_config").join("config.yaml");
    let config = config.to_str().expect("text");
    let write = ["import", "litellm", config, "--output", "vertex-bridge.toml"];
    let (code, told) = run(&place, &write, &[]);
    assert!(code == Some(0) && told.contains("config.yaml:56: finetune_settings: "), "{told}");
    let (code, told) = run(&place, &write, &[]);
    assert!(
        code == Some(2) && told.contains("cannot write vertex-bridge.toml: File exists"),
        "{told}"
    );
    let variables = ["LITELLM_MASTER_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"];
    let variables = variables.map(|name| (name, "sk-0123456789abcdef"));
    let (code, told) = run(&place, &["check"], &variables);
    assert!(code == Some(0) && told.contains("anthropic/*"), "{told}");
    let body = r#"{"model":"groq/llama","messages":[{"role":"user","content":"Hi"}]}"#;
    fs::write(place.join("ask.json"), body).expect("a file can be written");
    let (code, told) = run(&place, &["explain", "ask.json"], &variables);
    assert!(code == Some(0) && told.contains("https://api.groq.com/openai/v1/chat/comp"), "{told}");
    let (code, told) = run(&place, &["check"], &[]);
    assert!(code == Some(2) && told.contains("env:GROQ_API_KEY\", which is not set"), "{told}");
    fs::write(place.join("useless.yaml"), "model_list: []\n").expect("a file can be written");
    let (code, told) = run(&place, &["import", "litellm", "useless.yaml"], &[]);
    assert!(code == Some(2) && told.contains("has no model that can be served"), "{told}");
    let (code, told) = run(&place, &["import", "litellm", "missing.yaml"], &[]);
    assert!(code == Some(2) && told.contains("cannot read missing.yaml: No such file"), "{told}");
    fs::remove_dir_all(&place).expect("the folder can be removed");
}
