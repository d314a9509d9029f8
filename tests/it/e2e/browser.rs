//! Scripts that drive Debian's Chromium, which `scripts/test.sh` installs.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A script of `tests/browser` that runs.
pub(super) struct Script {
    pub(super) child: Child,
    output: BufReader<ChildStdout>,
}

impl Script {
    /// Starts it with the gateway's address, a key and more.
    pub(super) fn start(name: &str, gateway: SocketAddr, key: &str, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/test-node/node_modules");
        for needed in [modules.join("playwright-core"), "/usr/bin/chromium".into()] {
            let there = needed.exists();
            assert!(there, "{} is not there: run scripts/test.sh once", needed.display());
        }
        let mut command = Command::new("node");
        command.arg(root.join("tests/browser").join(name)).arg(format!("http://{gateway}"));
        command.arg(key).args(arguments).env("NODE_PATH", modules);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("node starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    /// Waits for the line that says this.
    pub(super) fn says(&mut self, want: &str) {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        assert!(read.is_ok() && line.trim() == want, "{line:?} instead of {want:?}");
    }

    /// All that it still says, when it has ended well.
    pub(super) fn rest(mut self) -> String {
        let mut rest = String::new();
        let read = self.output.read_to_string(&mut rest);
        let status = self.child.wait().expect("it ends");
        assert!(read.is_ok() && status.success(), "{status}: {rest}");
        rest
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
