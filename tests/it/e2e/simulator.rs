//! The stand-alone simulator, asked by the vendors' own SDKs: what they can read is the vendors'
//! wire, and what they send is not refused.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::client::{Answer, Client, chat, get, post};
use super::gateway::{BINARY, Flavour, Folder, Gateway};

/// A running simulator.
pub(super) struct Simulator {
    child: Child,
    pub(super) address: SocketAddr,
    /// Its folder, with the key file `account.json` of its service account.
    pub(super) folder: Folder,
}

impl Simulator {
    /// Starts on a free port, with more arguments.
    pub(super) fn start(more: &[&str]) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(BINARY);
        command.args(["simulate", "--listen", "127.0.0.1:0"]).args(more);
        command.arg("--service-account").arg(folder.0.join("account.json"));
        command.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let _read = lines.read_line(&mut line).expect("the simulator says something");
        let address = line.trim().rsplit("http://").next().and_then(|text| text.parse().ok());
        // Later lines would block the simulator if nobody read them.
        drop(std::thread::spawn(move || lines.lines().count()));
        let address = address.unwrap_or_else(|| panic!("no address in {line}"));
        Self { child, address, folder }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // A child that has ended already is no failure of the test.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn official_sdks_play_agent_loops() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/test-venv/bin/python");
    assert!(python.exists(), "{} is not there: run scripts/test.sh once", python.display());
    let simulator = Simulator::start(&[]);
    let mut command = Command::new(python);
    command.args(["-W", "ignore"]).arg(root.join("tests/sdk/simulator.py"));
    command.arg(format!("http://{}", simulator.address));
    command.arg(simulator.folder.0.join("account.json"));
    // Keys, proxies and settings of whoever runs the tests do not count.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().expect("the script starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("all is well"), "{told}");
}

/// A chat completion for this model, at the simulator itself.
fn ask(simulator: &Simulator, model: &str, stream: bool) -> Option<Answer> {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let mut client = Client::connect(simulator.address);
    client.send(&post(&body));
    client.answer()
}

#[test]
fn faults_show_on_the_wire() {
    let simulator = Simulator::start(&[]);
    let gone = ["reset", "cut", "cut-event", "cut-events-2", "cut-bytes-100"];
    for name in gone {
        assert!(ask(&simulator, &format!("m-fault-{name}"), true).is_none(), "{name}");
    }
    let whole = ask(&simulator, "m", true).expect("an answer").body;
    assert!(whole.ends_with("data: [DONE]\n\n"), "{whole}");
    for (name, status, words) in [
        ("429", 429, "Rate limit reached"),
        ("html502", 502, "<html>"),
        ("garbage", 200, "not json"),
        ("error-in-stream", 200, "server_error"),
    ] {
        let answer = ask(&simulator, &format!("m-fault-{name}"), true).expect(name);
        assert!(answer.status == status && answer.body.contains(words), "{name}: {answer:?}");
        assert!(!answer.body.contains("[DONE]"), "{name}");
        assert_eq!(answer.field("retry-after").is_some(), name == "429", "{name}");
    }
    let ended = ask(&simulator, "m-fault-end", true).expect("the body ends").body;
    assert!(whole.len() > ended.len() && !ended.contains("[DONE]"), "{ended}");
    let always = Simulator::start(&["--fault", "503@100"]);
    assert_eq!(ask(&always, "m", false).expect("an error").status, 503);
}

#[test]
fn what_was_asked_can_be_looked_at_but_keys_cannot() {
    let simulator = Simulator::start(&[]);
    assert!(ask(&simulator, "first", false).is_some() && ask(&simulator, "second", true).is_some());
    let mut client = Client::connect(simulator.address);
    client.send(&get("/__last"));
    let last = client.answer().expect("an answer");
    let noted = &last.json()["/v1/chat/completions"];
    assert!(noted["body"].as_str().expect("a body").contains("\"second\""), "{noted}");
    assert_eq!(noted["headers"]["authorization"], "27 bytes");
    assert!(!last.body.contains("sk-vertex"), "{}", last.body);
    client.send(&get("/__stats"));
    assert_eq!(client.answer().expect("an answer").json()["answered"], 3);
}

#[test]
fn its_service_account_opens_its_vertex() {
    let simulator = Simulator::start(&[]);
    let (file, origin) =
        (simulator.folder.0.join("account.json"), format!("http://{}", simulator.address));
    let gateway = Gateway::start(
        Flavour::Uring,
        &[
            ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("a path is text")),
            ("APP_VERTEX__OAUTH_BASE_URL", &origin),
        ],
    );
    let answer = gateway.ask(&chat("hi", false));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut client = Client::connect(simulator.address);
    client.send(&get("/__last"));
    let last = client.answer().expect("an answer").body;
    assert!(last.contains("/v1/projects/simulated-project/locations/us-central1/"), "{last}");
    assert!(!last.contains("/token") && !last.contains("ya29"), "{last}");
}
