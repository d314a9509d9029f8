//! `vertex-bridge top` in a real terminal, which is tmux: what the screen has is what the admin API
//! gives, at any size, and the terminal is as it was when it ends.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Stop, post_to};
use super::gateway::{BINARY, Flavour, Folder, Gateway, free_port};

const ADMIN: &str = "sk-admin-0123456789";
const CLIENT: &str = "sk-client-0123456789";
const MODEL: &str = "gemini-2.5-flash";

/// A gateway with the embedded simulator and an admin key.
struct Watched {
    gateway: Gateway,
    folder: Folder,
}

impl Watched {
    fn start() -> Self {
        let folder = Folder::new();
        fs::write(folder.0.join("key"), format!("{ADMIN}\n")).expect("a file can be written");
        let variables = [
            ("APP_AUTH__ADMIN_KEY", ADMIN),
            ("APP_AUTH__MASTER_KEY", CLIENT),
            ("APP_RUNTIME__CORES", "0,1"),
            ("STATE_DIRECTORY", folder.0.to_str().expect("text")),
        ];
        Self { gateway: Gateway::start(Flavour::Uring, &variables), folder }
    }

    fn url(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// Asks a model; its name may end in a fault that the simulator knows.
    fn chat(&self, model: &str) -> u16 {
        self.gateway.ask(&chat(model)).status
    }

    /// A client whose answer never comes.
    fn stalled(&self, id: &str) -> Client {
        let text = String::from_utf8(chat(&format!("{MODEL}-fault-stall"))).expect("text");
        let mut client = self.gateway.client();
        let named = text.replacen("\r\n", &format!("\r\nx-request-id: {id}\r\n"), 1);
        client.send(named.as_bytes());
        self.until(|seen| seen.see("exchanges")["data"].to_string().contains(id), "it runs");
        client
    }

    fn see(&self, path: &str) -> Value {
        let request = format!(
            "GET /admin/v1/{path} HTTP/1.1\r\nhost: gateway.example\r\n\
             authorization: Bearer {ADMIN}\r\n\r\n"
        );
        let answer = self.gateway.ask(request.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    fn until(&self, is_so: impl Fn(&Self) -> bool, what: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}: {}", self.gateway.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// `top` without a terminal.
    fn top(&self, more: &[&str]) -> Output {
        self.top_of(&self.url(), "file:key", more)
    }

    fn top_of(&self, url: &str, key: &str, more: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.env_clear().current_dir(&self.folder.0).stdin(Stdio::null());
        command.args(["top", "--url", url, "--key", key]).args(more);
        command.output().expect("the binary starts")
    }
}

fn chat(model: &str) -> Vec<u8> {
    let body = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],\
         \"stream\":true}}"
    );
    post_to("/v1/chat/completions", CLIENT, &body)
}

/// A terminal in which a shell has started `top`.
struct Terminal {
    /// With the socket of its server, among others.
    folder: Folder,
}

impl Terminal {
    fn start(watched: &Watched, (width, height): (u16, u16)) -> Self {
        let terminal = Self { folder: Folder::new() };
        let at = |name: &str| terminal.folder.0.join(name).display().to_string();
        let key = watched.folder.0.join("key").display().to_string();
        // The shell tells how the terminal is left, and stays, so that it can be looked at.
        let script = format!(
            "cd {}; stty -a >before; echo first line\n\
             env -i TERM=\"$TERM\" sh -c 'echo $$ >pid; exec {BINARY} \
             top --url {} --key file:{key}'\n\
             echo \"status $?\"; stty -a >behind; cmp before behind && echo as before; exec cat\n",
            terminal.folder.0.display(),
            watched.url(),
        );
        fs::write(at("script"), script).expect("a file can be written");
        fs::write(at("conf"), "set -g status off\n").expect("a file can be written");
        let (script, conf) = (at("script"), at("conf"));
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-f",
            &conf,
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "sh",
            &script,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(self.folder.0.join("tmux")).args(arguments);
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux is there: scripts/test.sh installs it");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {told}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen, once it has all these parts.
    fn shows(&self, parts: &[&str]) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.shown();
            let missing = parts.iter().find(|part| !shown.contains(**part));
            let Some(missing) = missing else { return shown };
            assert!(Instant::now() < end, "{missing:?} is not in\n{shown}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn flag(&self, name: &str) -> String {
        self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]).trim().to_owned()
    }

    /// The number of the process that shows.
    fn pid(&self) -> String {
        let pid = fs::read_to_string(self.folder.0.join("pid")).expect("a number");
        pid.trim().to_owned()
    }

    /// The program has ended so, and the terminal is as it was before.
    fn is_clean(&self, status: &str) {
        let left = self.shows(&["first line", status, "as before"]);
        // The shell tells of some signals.
        let lines = left.lines().filter(|line| !line.is_empty() && *line != "Terminated");
        assert_eq!(lines.collect::<Vec<_>>(), ["first line", status, "as before"]);
        let flags = ["alternate_on", "cursor_flag"].map(|name| self.flag(name));
        assert_eq!(flags, ["0", "1"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        // A server that has ended already is no failure of the test.
        let _ended = command.arg("-S").arg(self.folder.0.join("tmux")).arg("kill-server").output();
    }
}

/// It has this size: nothing was wrapped, and the first and the last line are where they belong.
fn fits(shown: &str, (width, height): (usize, usize)) {
    assert!(is_whole(shown, height), "{height} lines: {shown}");
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(width), "{widest:?} columns: {shown}");
}

fn is_whole(shown: &str, height: usize) -> bool {
    let lines: Vec<&str> = shown.lines().collect();
    let ends = (lines.first(), lines.last());
    lines.len() == height
        && matches!(ends, (Some(first), Some(last))
            if first.starts_with("vertex-bridge ") && last.starts_with("q quit"))
}

/// The middle of the bucket that holds a percentile, in milliseconds.
fn percentile(times: &Value, percent: usize) -> f64 {
    let number = |value: &Value| value.as_u64().expect("a number");
    let buckets = times["buckets"].as_array().expect("buckets").iter();
    let all = buckets.flat_map(|one| {
        let [from, to, count] = [0, 1, 2].map(|place| number(&one[place]));
        let middle = Duration::from_micros(from + to).as_secs_f64() * 500.0;
        std::iter::repeat_n(middle, usize::try_from(count).expect("a count"))
    });
    let all: Vec<f64> = all.collect();
    all[(all.len() * percent).div_ceil(100) - 1]
}

/// The figure behind `name` in this column of the tiles, in milliseconds.
fn millis(shown: &str, name: &str, place: usize) -> f64 {
    let name = format!("{name} ");
    let rest = shown.split(&name).nth(place + 1);
    let mut words = rest.unwrap_or_else(|| panic!("no {name} in\n{shown}")).split_whitespace();
    let value: f64 = words.next().and_then(|word| word.parse().ok()).expect("a figure");
    match words.next() {
        Some("ms") => value,
        Some("s") => value * 1000.0,
        unit => panic!("{unit:?} in\n{shown}"),
    }
}

#[test]
fn the_screen_has_what_the_admin_api_gives() {
    let watched = Watched::start();
    for _ in 0..12 {
        assert_eq!(watched.chat(MODEL), 200);
    }
    let failed = format!("{MODEL}-fault-500");
    assert_eq!((watched.chat(&failed), watched.chat(&failed)), (500, 500));
    let _runs = watched.stalled("still-running");
    let all_ended = |seen: &Watched| {
        let ended = seen.see("recent")["data"].as_array().map_or(0, Vec::len);
        ended == 14 && seen.see("figures")["in_flight"] == 1
    };
    watched.until(all_ended, "fourteen have ended and one runs");
    let figures = watched.see("figures");
    for (width, height) in [(80, 24), (200, 50)] {
        let terminal = Terminal::start(&watched, (width, height));
        let requests = format!("{} in all", figures["requests"]);
        let failed = format!("{} in all", figures["failed"]);
        let shown = terminal.shows(&[
            "ready",
            "2/2 shards",
            &watched.url(),
            &requests,
            &failed,
            "0 /s",
            "latency, all",
            "first, all",
            "google usable",
            "2 answered 500",
            "still-running",
            "upstream http_5xx",
        ]);
        fits(&shown, (usize::from(width), usize::from(height)));
        for (place, name) in [(0, "duration"), (1, "first_token")] {
            for percent in [50, 95, 99] {
                let want = percentile(&figures["times_us"][name], percent);
                let seen = millis(&shown, &format!("p{percent}"), place);
                assert!((seen - want).abs() <= 0.05 + want / 100.0, "{seen}, {want}\n{shown}");
            }
        }
        let rows = |start: &str| shown.lines().filter(|line| line.contains(start)).count();
        assert!(rows(MODEL) > 4, "{shown}");
        let tokens = &figures["tokens"];
        for (kind, word) in [("prompt", "in"), ("completion", "out")] {
            assert!(shown.contains(&format!("{} {word}", tokens[kind])), "{kind}: {shown}");
        }
        let shards = figures["shards"].as_array().expect("shards");
        for shard in shards {
            assert!(has_shard(&shown, shard), "{shard} in\n{shown}");
        }
        assert_eq!(shown.contains("requests per second"), height >= 30, "{shown}");
        terminal.press("q");
        terminal.is_clean("status 0");
    }
}

/// Is there a row with the number of the shard, its load, its rate, and what runs on it?
fn has_shard(shown: &str, shard: &Value) -> bool {
    let is = |word: &str, name: &str| word.parse().ok() == shard[name].as_u64();
    shown.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(4).any(|words| {
            let [number, busy, rate, running] = words else { return false };
            is(number, "shard") && busy.ends_with('%') && *rate == "0" && is(running, "in_flight")
        })
    })
}

#[test]
fn it_follows_the_traffic_and_the_size_of_the_terminal() {
    let watched = Watched::start();
    let terminal = Terminal::start(&watched, (80, 24));
    fits(&terminal.shows(&["0 in all", "none"]), (80, 24));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                watched.chat(MODEL);
                thread::sleep(Duration::from_millis(20));
            }
        });
        // What has ended in the last seconds has its own percentiles.
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = terminal.shown();
            let rate = shown.lines().nth(3).and_then(|line| line.split_whitespace().next());
            let rate: f64 = rate.and_then(|rate| rate.parse().ok()).unwrap_or(0.0);
            if rate > 0.0 && shown.contains("latency  ") && shown.contains(MODEL) {
                break;
            }
            assert!(Instant::now() < end, "nothing moves in\n{shown}");
            thread::sleep(Duration::from_millis(50));
        }
        for (width, height) in [(200, 50), (40, 12), (120, 30), (80, 24)] {
            let (x, y) = (width.to_string(), height.to_string());
            terminal.tmux(&["resize-window", "-x", &x, "-y", &y]);
            // What tmux has cut off at the top comes back when all is drawn again.
            let end = Instant::now() + Duration::from_secs(10);
            let mut shown = terminal.shown();
            while !is_whole(&shown, height) && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
                shown = terminal.shown();
            }
            fits(&shown, (width, height));
            assert_eq!(shown.contains("requests per second"), height >= 30, "{shown}");
        }
    });
    terminal.press("p");
    terminal.shows(&["p go on", "paused at"]);
    terminal.press("Space");
    terminal.shows(&["p pause"]);
    terminal.press("C-c");
    terminal.is_clean("status 0");
}

#[test]
fn a_gateway_that_goes_away_is_said() {
    let mut watched = Watched::start();
    assert_eq!(watched.chat(MODEL), 200);
    let terminal = Terminal::start(&watched, (80, 24));
    terminal.shows(&["ready", "1 in all"]);
    watched.gateway.signal("KILL");
    assert!(watched.gateway.wait(10).is_some());
    let shown = terminal.shows(&["no answer", "as of ", "Connection refused"]);
    fits(&shown, (80, 24));
    assert!(shown.contains("1 in all"), "what was known stays: {shown}");
    terminal.press("q");
    terminal.is_clean("status 0");
}

#[test]
fn a_signal_ends_it_and_leaves_the_terminal_clean() {
    let watched = Watched::start();
    for (signal, status) in [("TERM", "status 143"), ("INT", "status 130")] {
        let terminal = Terminal::start(&watched, (80, 24));
        terminal.shows(&["q quit"]);
        let flags = ["alternate_on", "cursor_flag"].map(|name| terminal.flag(name));
        assert_eq!(flags, ["1", "0"]);
        let sent = Command::new("kill").args([&format!("-{signal}"), &terminal.pid()]).status();
        assert!(sent.expect("kill runs").success());
        terminal.is_clean(status);
    }
}

#[test]
fn it_ends_with_its_terminal() {
    let watched = Watched::start();
    let terminal = Terminal::start(&watched, (80, 24));
    terminal.shows(&["q quit"]);
    // What has ended and was not waited for has no command line either.
    let command = format!("/proc/{}/cmdline", terminal.pid());
    let runs = || fs::read(&command).is_ok_and(|line| !line.is_empty());
    assert!(runs());
    terminal.tmux(&["kill-server"]);
    let end = Instant::now() + Duration::from_secs(10);
    while runs() {
        assert!(Instant::now() < end, "it runs without a terminal");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_a_terminal_it_looks_once() {
    let watched = Watched::start();
    assert_eq!(watched.chat(MODEL), 200);
    let failed = |output: &Output, status: i32, word: &str| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{word}: {told}");
        assert!(told.starts_with("vertex-bridge: ") && told.contains(word), "{word}: {told}");
        assert_eq!((told.lines().count(), output.stdout.len()), (1, 0), "{told}");
    };
    failed(&watched.top(&[]), 1, "--once");
    let screen = watched.top(&["--once"]);
    let text = String::from_utf8(screen.stdout).expect("text");
    assert!(screen.status.success() && text.contains("1 in all"), "{text}");
    fits(&text, (80, 24));
    let json = watched.top(&["--once", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let figures = watched.see("figures");
    for name in ["requests", "failed", "cancelled", "tokens"] {
        assert_eq!(json[name], figures[name], "{name}: {json}");
    }
    let (seen, want) = (&json["latency_ms"]["p95"], &figures["times_us"]["duration"]);
    assert!((seen.as_f64().expect("a time") - percentile(want, 95)).abs() < 0.001, "{json}");
    assert_eq!(json["shards"].as_array().map(Vec::len), Some(2), "{json}");

    // Whatever is wrong is one line and a status.
    fs::write(watched.folder.0.join("wrong"), CLIENT).expect("a file can be written");
    let here = watched.url();
    failed(&watched.top_of(&here, "file:wrong", &["--once"]), 1, "refuses the key");
    failed(&watched.top_of(&here, "file:nowhere", &[]), 2, "nowhere: No such file");
    failed(&watched.top_of(&here, ADMIN, &[]), 2, "not a key");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    failed(&watched.top_of(&nobody, "file:key", &["--once"]), 1, "Connection refused");
    let keyless = Gateway::start(Flavour::Uring, &[("APP_AUTH__MASTER_KEY", CLIENT)]);
    let url = format!("http://{}", keyless.address);
    failed(&watched.top_of(&url, "file:key", &["--once"]), 1, "auth.admin_key");
}
