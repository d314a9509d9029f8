//! What would become of a request, by the command and by the endpoint; nothing leaves.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::client::post_to;
use super::gateway::{BINARY, FLAVOURS, Folder, Gateway};

const SECRET: &str = "AIzaSyD-a-planted-secret-0123456789";

/// Three upstreams that answer nothing, on this address.
fn configuration(address: &str) -> String {
    format!(
        r#"
[auth]
master_key = "sk-master-0123456789abcdef"
[[key]]
name = "narrow"
secret = "sk-narrow-0123456789abcdef"
models = ["gpt-*"]
[[upstream]]
name = "google"
kind = "gemini"
base_url = "http://{address}"
api_key = "{SECRET}"
[[upstream]]
name = "claude"
kind = "anthropic"
base_url = "http://{address}"
api_key = "{SECRET}"
[[upstream]]
name = "local"
kind = "openai"
base_url = "http://{address}/v1"
api_key = "{SECRET}"
stream_usage = "always"
[[route]]
model = "gemini-*"
targets = [{{ upstream = "google" }}]
fallbacks = [{{ upstream = "claude", model = "claude-sonnet-4-5" }}]
[[route]]
model = "claude-*"
targets = [{{ upstream = "claude" }}]
[[route]]
model = "gpt-*"
targets = [{{ upstream = "local", model = "llama" }}]
"#
    )
}

const GEMINI: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}],"n":2,"max_tokens":100,"logit_bias":{},"temperature":0.70}"#;
const CLAUDE: &str = r#"{"model":"claude-opus-4-6","messages":[{"role":"user","content":"Hi"}]}"#;
const LOCAL: &str = r#"{ "model": "gpt-x", "stream": true, "messages": [], "odd": 1e400 }"#;

/// What both ways must say of all three.
fn check(explained: &[Value; 3], address: &str) {
    let [gemini, claude, local] = explained;
    assert_eq!(gemini["route"]["pattern"], "gemini-*");
    assert_eq!(gemini["route"]["fallbacks"][0]["model"], "claude-sonnet-4-5");
    assert_eq!(
        (&gemini["translated"], &gemini["dropped"]),
        (&true.into(), &serde_json::json!(["logit_bias"]))
    );
    let request = &gemini["request"];
    let url = format!("http://{address}/v1beta/models/gemini-2.5-flash:generateContent");
    assert_eq!((&request["method"], &request["url"]), (&"POST".into(), &url.into()));
    assert_eq!(request["headers"]["x-goog-api-key"], "***");
    assert_eq!(request["body"]["generationConfig"]["candidateCount"], 2);
    let price = &gemini["price"];
    assert_eq!((&price["currency"], &price["output_per_million"]), (&"USD".into(), &"2.5".into()));
    assert_eq!(price["completion_tokens_max"], 200, "of both answers");
    assert!(price["at_most"].as_str().is_some_and(|text| text.starts_with("0.0005")), "{price}");

    assert_eq!(claude["upstream"]["kind"], "anthropic");
    let headers = &claude["request"]["headers"];
    assert_eq!(
        (&headers["x-api-key"], &headers["anthropic-version"]),
        (&"***".into(), &"2023-06-01".into())
    );
    assert!(claude["request"]["body"]["max_tokens"].is_u64(), "{claude}");
    assert_eq!(claude["price"]["at_most"], Value::Null, "without a limit nobody knows");

    assert_eq!((&local["translated"], &local["price"]), (&false.into(), &Value::Null));
    assert_eq!(local["request"]["url"], format!("http://{address}/v1/chat/completions"));
    let body = &local["request"]["body"];
    assert_eq!(
        (&body["model"], &body["stream_options"]["include_usage"]),
        (&"llama".into(), &true.into())
    );
}

#[test]
fn the_endpoint_explains_and_sends_nothing() {
    for flavour in FLAVOURS {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        upstream.set_nonblocking(true).expect("it can be looked at");
        let address = upstream.local_addr().expect("bound").to_string();
        let folder = Folder::new();
        let file = folder.0.join("gateway.toml");
        std::fs::write(&file, configuration(&address)).expect("a file can be written");
        let file = file.to_string_lossy().into_owned();
        let gateway = Gateway::start(flavour, &[("VERTEX_BRIDGE_CONFIG", &file)]);
        let ask = |body: &str, key: &str| gateway.ask(&post_to("/v1/explain", key, body));
        let master = "sk-master-0123456789abcdef";
        let explained = [GEMINI, CLAUDE, LOCAL].map(|body| {
            let answer = ask(body, master);
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(
                !answer.body.contains(SECRET) && answer.body.contains(" 1e400") == (body == LOCAL)
            );
            // A number beyond all floats keeps its spelling; this reader has none for it.
            serde_json::from_str(&answer.body.replace("1e400", "1")).expect("JSON")
        });
        check(&explained, &address);
        for (body, key, status, code) in [
            (CLAUDE, "sk-narrow-0123456789abcdef", 403, "permission_denied"),
            (CLAUDE, "sk-other-0123456789abcdef", 401, "invalid_api_key"),
            (r#"{"model":"llama","messages":[{}]}"#, master, 404, "model_not_found"),
            (r#"{"model":"gemini-x","messages":[{}]}"#, master, 400, "missing_field"),
            ("{", master, 400, "invalid_json"),
        ] {
            let answer = ask(body, key);
            assert_eq!(
                (answer.status, &answer.json()["error"]["code"]),
                (status, &code.into()),
                "{}",
                answer.body
            );
        }
        assert!(upstream.accept().is_err(), "nothing was sent");
    }
}

/// The command on standard input: exit status, standard output, standard error.
fn run(folder: &Folder, body: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.args(["explain", "--config", "gateway.toml"]).current_dir(&folder.0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("a pipe");
    // A command that is refused for its configuration may have ended already.
    let _unread = input.write_all(body.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_explains_as_the_endpoint_does() {
    let folder = Folder::new();
    let file = folder.0.join("gateway.toml");
    std::fs::write(&file, configuration("127.0.0.1:9")).expect("a file can be written");
    let explained = [GEMINI, CLAUDE, LOCAL].map(|body| {
        let (code, told, wrong) = run(&folder, body);
        assert_eq!((code, wrong.as_str()), (Some(0), ""), "{told}");
        assert!(!told.contains(SECRET), "{told}");
        serde_json::from_str(&told.replace("1e400", "1")).expect("JSON")
    });
    check(&explained, "127.0.0.1:9");
    let (code, told, wrong) = run(&folder, r#"{"model":"llama","messages":[{}]}"#);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(wrong.contains("model_not_found"), "{wrong}");
    std::fs::write(&file, "[server]\nport = 0.5\n").expect("a file can be written");
    let (code, _, wrong) = run(&folder, CLAUDE);
    assert!(code == Some(2) && wrong.contains("server.port"), "{wrong}");
}
