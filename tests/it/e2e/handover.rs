//! Another process takes over, with a new binary or a new configuration: nothing fails, nothing is
//! cut.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Stop, get, post};
use super::gateway::{Flavour, Folder, Gateway};
use super::replay::{self, Reply};
use super::upstream::read_request;

const EVENTS: usize = 40;
const EVERY: Duration = Duration::from_millis(100);

/// An upstream whose streams take four seconds.
fn slow_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve_slowly(stream));
        }
    });
    address
}

fn serve_slowly(mut stream: TcpStream) {
    let mut inbox = Vec::new();
    while read_request(&mut stream, &mut inbox).is_some() && stream_slowly(&mut stream).is_ok() {}
}

fn stream_slowly(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let mut chunk = |text: &str| write!(stream, "{:x}\r\n{text}\r\n", text.len());
    for number in 0..EVENTS {
        let end = if number + 1 == EVENTS { "\"stop\"" } else { "null" };
        chunk(&format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"w{number} \"}},\"finish_reason\":{end}}}]}}\n\n"
        ))?;
        thread::sleep(EVERY);
    }
    chunk("data: [DONE]\n\n")?;
    stream.write_all(b"0\r\n\r\n")
}

const GOOD: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

fn configuration(more: &str) -> String {
    let quick = HashMap::from([("x".to_owned(), Reply::whole(200, "", GOOD))]);
    let (quick, slow) = (replay::start(quick), slow_upstream());
    format!(
        "[rate_limit]\ncapacity = 1000000\nrefill_per_second = 1000000\n{more}\n\
         [[upstream]]\nname = \"quick\"\nkind = \"openai\"\nbase_url = \"http://{quick}/v1\"\n\
         [[upstream]]\nname = \"slow\"\nkind = \"openai\"\nbase_url = \"http://{slow}/v1\"\n\
         [[route]]\nmodel = \"quick\"\ntargets = [{{ upstream = \"quick\" }}]\n\
         [[route]]\nmodel = \"slow\"\ntargets = [{{ upstream = \"slow\" }}]\n"
    )
}

pub(super) fn start(flavour: Flavour, folder: &Folder, more: &str) -> Gateway {
    let file = folder.0.join("gateway.toml");
    fs::write(&file, configuration(more)).expect("a file can be written");
    Gateway::configured(flavour, &file, "0,1")
}

pub(super) fn ask(model: &str, stream: bool) -> Vec<u8> {
    post(&format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"case:x"}}]}}"#
    ))
}

/// The processes that have taken over so far.
pub(super) fn successors(gateway: &Gateway) -> Vec<u32> {
    let log = gateway.log();
    let told = log.split("handed over to process ").skip(1);
    told.filter_map(|rest| rest.split(':').next()?.parse().ok()).collect()
}

pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

pub(super) fn kill(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Ends what has taken over when the test ends, however that happens.
pub(super) struct Reaper<'g>(pub(super) &'g Gateway);

impl Drop for Reaper<'_> {
    fn drop(&mut self) {
        for pid in successors(self.0) {
            // It may have ended already.
            let _gone = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Asks again and again until told to stop: on connections that stay, and on ever new ones.
pub(super) fn keep_asking(
    address: SocketAddr,
    fresh: bool,
    stop: &AtomicBool,
    served: &AtomicUsize,
) {
    let mut client = Client::connect(address);
    while !stop.load(Ordering::Relaxed) {
        client.send(&ask("quick", false));
        let answer = client.answer().expect("no request fails");
        assert_eq!(answer.status, 200, "{}", answer.body);
        served.fetch_add(1, Ordering::Relaxed);
        if fresh || answer.field("connection") == Some("close") {
            client = Client::connect(address);
        }
    }
}

/// One long stream, from its first byte to its last.
pub(super) fn whole_stream(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("the gateway accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    let request = String::from_utf8(ask("slow", true)).expect("text");
    let request = request.replace("host: localhost", "host: localhost\r\nconnection: close");
    stream.write_all(request.as_bytes()).expect("it takes it");
    let mut body = String::new();
    stream.read_to_string(&mut body).expect("it is not reset");
    let words = (0..EVENTS).filter(|number| body.contains(&format!("\"w{number} \"")));
    assert_eq!(words.count(), EVENTS, "{body}");
    assert!(body.contains("data: [DONE]") && body.ends_with("0\r\n\r\n"), "{body}");
}

#[test]
fn a_new_binary_takes_over_and_gives_back_under_traffic() {
    for flavour in [Flavour::Uring, Flavour::Epoll] {
        let folder = Folder::new();
        let mut gateway = start(flavour, &folder, "");
        let first = gateway.child.id();
        let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let address = gateway.address;
        {
            let reaper = Reaper(&gateway);
            thread::scope(|scope| {
                let told = Stop(&stop);
                let asking = |fresh| {
                    let (stop, served) = (&stop, &served);
                    scope.spawn(move || keep_asking(address, fresh, stop, served))
                };
                let clients = [asking(false), asking(false), asking(true), asking(true)];
                let streams: Vec<_> =
                    (0..20).map(|_| scope.spawn(move || whole_stream(address))).collect();
                thread::sleep(Duration::from_millis(500));
                gateway.signal("USR2");
                wait_until("a successor", || successors(&gateway).len() == 1);
                let second = successors(&gateway)[0];
                wait_until("the old one's name", || name_of(first) == "vb-drain");
                assert_eq!(name_of(second), "vertex-bridge");
                let later: Vec<_> =
                    (0..10).map(|_| scope.spawn(move || whole_stream(address))).collect();
                thread::sleep(Duration::from_millis(700));
                kill("-USR2", second);
                wait_until("another successor", || successors(&gateway).len() == 2);
                for stream in streams.into_iter().chain(later) {
                    stream.join().expect("no stream is cut");
                }
                drop(told);
                for client in clients {
                    client.join().expect("no request fails");
                }
            });
            assert!(served.load(Ordering::Relaxed) > 500, "there was traffic");
            wait_until("the second one's end", || name_of(successors(&gateway)[0]).is_empty());
            assert_eq!(gateway.ask(&get("/health")).status, 200);
            assert_eq!(gateway.metric("vertex_bridge_bugs_total"), 0);
            drop(reaper);
        }
        let ended = gateway.wait(20).expect("the first one ends by itself");
        assert!(ended.success(), "{}", gateway.log());
    }
}

#[test]
fn a_good_configuration_takes_over_and_a_bad_one_changes_nothing() {
    let folder = Folder::new();
    let gateway = start(Flavour::Uring, &folder, "");
    let _reaper = Reaper(&gateway);
    let file = folder.0.join("gateway.toml");
    let good = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, format!("{good}\n[[route]]\nmodel = 7\n")).expect("a file can be written");
    gateway.signal("HUP");
    let log = gateway.log_with("the configuration stays as it is");
    assert!(log.contains("route.model: found 7"), "{log}");
    assert_eq!(gateway.ask(&ask("quick", false)).status, 200);
    assert_eq!(gateway.ask(&ask("other", false)).status, 404);
    let more = "[[route]]\nmodel = \"other\"\ntargets = [{ upstream = \"quick\" }]\n";
    fs::write(&file, format!("{good}{more}")).expect("a file can be written");
    let address = gateway.address;
    thread::scope(|scope| {
        let stream = scope.spawn(move || whole_stream(address));
        thread::sleep(Duration::from_millis(300));
        gateway.signal("HUP");
        wait_until("the new route", || gateway.ask(&ask("other", false)).status == 200);
        stream.join().expect("the stream goes on");
    });
    assert_eq!(successors(&gateway).len(), 1, "the bad one started nothing");
}

/// As `sd_listen_fds(3)` tells it: descriptor 3, and our own process number.
#[test]
fn systemds_socket_is_taken_and_kept_over_a_restart() {
    let folder = Folder::new();
    let file = folder.0.join("gateway.toml");
    fs::write(&file, configuration("")).expect("a file can be written");
    let script = r#"
import os, socket, subprocess, sys, time
held = socket.socket(); held.bind(("127.0.0.1", int(sys.argv[2]))); held.listen(100)
os.dup2(held.fileno(), 3)
os.set_inheritable(3, True)
start = ['sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"', sys.argv[1]]
for turn in range(2):
    child = subprocess.Popen(start, close_fds=False)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=20) as one:
            one.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.1 200"), turn
    child.terminate()
    assert child.wait(20) == 0
print("all is well")
"#;
    let port = super::gateway::free_port().to_string();
    let mut command = Command::new("python3");
    command.args(["-c", script, super::gateway::BINARY, &port]).env("APP_SERVER__PORT", &port);
    command.env("VERTEX_BRIDGE_CONFIG", &file).env("APP_RUNTIME__CORES", "0,1");
    let output = command.output().expect("python runs");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("all is well"), "{told}");
}
