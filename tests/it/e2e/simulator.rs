//! The stand-alone simulator, asked by the vendors' own SDKs: what they can read is the vendors'
//! wire, and what they send is not refused.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::gateway::{BINARY, Folder};

/// A running simulator.
pub(super) struct Simulator {
    child: Child,
    pub(super) address: SocketAddr,
    _folder: Folder,
}

impl Simulator {
    /// Starts on a free port, with more arguments.
    pub(super) fn start(more: &[&str]) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(BINARY);
        command.args(["simulate", "--listen", "127.0.0.1:0"]).args(more);
        command.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let _read = lines.read_line(&mut line).expect("the simulator says something");
        let address = line.trim().rsplit("http://").next().and_then(|text| text.parse().ok());
        // Later lines would block the simulator if nobody read them.
        drop(std::thread::spawn(move || lines.lines().count()));
        let address = address.unwrap_or_else(|| panic!("no address in {line}"));
        Self { child, address, _folder: folder }
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
    // Keys, proxies and settings of whoever runs the tests do not count.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().expect("the script starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("all is well"), "{told}");
}
