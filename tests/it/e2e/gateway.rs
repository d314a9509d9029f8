//! Starts the binary and stops it again.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::client::{Answer, Client, get};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_vertex-bridge");

/// Which executor, on which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The default: our own executor.
    Uring,
    Monoio,
    Epoll,
    Glommio,
}

pub(crate) const FLAVOURS: [Flavour; 4] =
    [Flavour::Uring, Flavour::Monoio, Flavour::Epoll, Flavour::Glommio];

impl Flavour {
    fn variables(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Uring => {
                [("APP_RUNTIME__BACKEND", "native"), ("APP_RUNTIME__DRIVER", "io_uring")]
            }
            Self::Monoio => {
                [("APP_RUNTIME__BACKEND", "monoio"), ("APP_RUNTIME__DRIVER", "io_uring")]
            }
            Self::Epoll => [("APP_RUNTIME__BACKEND", "monoio"), ("APP_RUNTIME__DRIVER", "epoll")],
            Self::Glommio => [("APP_RUNTIME__BACKEND", "glommio"), ("APP_RUNTIME__DRIVER", "auto")],
        }
    }
}

/// A folder of this test run, removed with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vertex-bridge-e2e-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over in the folder of temporary files harms nobody.
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on, below those that clients get; no two calls give the same.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 150 * 100;
    let ports = (0..1000).map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed));
    let ports = ports.filter_map(|offset| u16::try_from(12_000 + offset % 20_000).ok());
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a port is free")
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(super) child: Child,
    pub(crate) address: SocketAddr,
    folder: Folder,
}

impl Gateway {
    /// Starts with these variables. Tests ask faster than a key may, and fail more often than a
    /// circuit stands: nothing comes of that here.
    pub(crate) fn start(flavour: Flavour, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY);
        command.envs(flavour.variables()).env("APP_RETRY__ATTEMPTS", "0");
        command.env("APP_RATE_LIMIT__CAPACITY", "100000");
        command.env("APP_CIRCUIT_BREAKER__FAILURE_THRESHOLD", "100000");
        Self::run(command, variables)
    }

    /// Starts with this file, which decides everything, on two cores or one.
    pub(super) fn configured(flavour: Flavour, file: &Path, cores: &str) -> Self {
        Self::configured_in(Folder::new(), flavour, file, cores)
    }

    /// The same with a file of this text, which is the gateway's own.
    pub(super) fn written(flavour: Flavour, text: &str, cores: &str) -> Self {
        let folder = Folder::new();
        let file = folder.0.join("gateway.toml");
        fs::write(&file, text).expect("a file can be written");
        Self::configured_in(folder, flavour, &file, cores)
    }

    fn configured_in(folder: Folder, flavour: Flavour, file: &Path, cores: &str) -> Self {
        let mut command = Command::new(BINARY);
        command.envs(flavour.variables()).env("VERTEX_BRIDGE_CONFIG", file);
        Self::run_in(folder, command, &[("APP_RUNTIME__CORES", cores)])
    }

    /// Starts in front of an upstream on this address.
    pub(super) fn before(flavour: Flavour, upstream: SocketAddr, more: &[(&str, &str)]) -> Self {
        let origin = format!("http://{upstream}");
        let mut variables = vec![
            ("GOOGLE_API_KEY", "AIzaSyD-end-to-end"),
            ("APP_VERTEX__API_KEY_BASE_URL", origin.as_str()),
        ];
        variables.extend(more);
        Self::start(flavour, &variables)
    }

    /// Starts `command`, which ends in the binary, and waits until it answers.
    pub(super) fn run(command: Command, variables: &[(&str, &str)]) -> Self {
        Self::run_in(Folder::new(), command, variables)
    }

    fn run_in(folder: Folder, mut command: Command, variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let log = File::create(folder.0.join("log")).expect("a log can be made");
        command.current_dir(&folder.0).env("APP_SERVER__PORT", port.to_string());
        // Nothing of the user who runs the tests.
        command.env("XDG_STATE_HOME", &folder.0);
        command.env_remove("HTTPS_PROXY").env_remove("NO_PROXY");
        command.envs(variables.iter().copied()).stderr(log).stdout(Stdio::null());
        let child = command.stdin(Stdio::null()).spawn().expect("the binary starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut gateway = Self { child, address, folder };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let ended = gateway.child.try_wait().expect("the child can be asked");
            assert!(ended.is_none() && Instant::now() < end, "no start: {}", gateway.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        gateway
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.client();
        client.send(request);
        client.answer().unwrap_or_else(|| panic!("no answer: {}", self.log()))
    }

    /// The value of a metric without labels, or of the line that begins so.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let page = self.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let value = line.unwrap_or_else(|| panic!("no metric {name} in {page}"));
        value.split('.').next().and_then(|whole| whole.parse().ok()).expect("a number")
    }

    /// The page of the metrics. A client has its answer a moment before its request is counted, by
    /// another shard perhaps than the one that gives the page.
    pub(super) fn metrics(&self) -> String {
        let running = |line: &str| {
            let value = line.strip_prefix("vertex_bridge_requests_in_flight{")?;
            Some(!value.ends_with(" 0.0"))
        };
        for _ in 0..10 {
            let page = self.ask(&get("/metrics/prometheus")).body;
            if !page.lines().filter_map(running).any(|runs| runs) {
                return page;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.ask(&get("/metrics/prometheus")).body
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    /// The log, once it holds these words: the thread that writes them is not the one that serves.
    pub(super) fn log_with(&self, words: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.log();
            if log.contains(words) || Instant::now() > end {
                return log;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end.
    pub(super) fn wait(&mut self, seconds: u64) -> Option<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let ended = self.child.try_wait().expect("the child can be asked");
            if ended.is_some() {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
