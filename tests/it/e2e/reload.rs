//! A configuration is read again while the gateway serves: a good one takes over and drops nothing,
//! a broken one is refused with file, line and key, and the old one serves on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::client::{Stop, get};
use super::gateway::{Flavour, Folder, Gateway};
use super::handover::{
    Reaper, ask, keep_asking, kill, start, successors, wait_until, whole_stream,
};

/// What is added to a good file, the line in it that is wrong, the key, and what is said of it.
type Mistake = (&'static str, usize, &'static str, &'static str);

const MISTAKES: [Mistake; 24] = [
    ("[server]\nport = 0", 2, "server.port", "found 0, expected a port number"),
    ("[server]\n\nhost = \"a b\"", 3, "server.host", "found \"a b\", expected a host name"),
    ("[server]\nprot = 4000", 2, "server.prot", "an unknown key, expected a known key (did you"),
    ("[sever]\nport = 4000", 1, "sever", "an unknown key, expected a known key (did you mean"),
    ("server = 7", 1, "server", "found 7, expected a table"),
    ("[log]\nlevel = \"loud\"", 2, "log.level", "found \"loud\", expected one of error, warn"),
    ("[timeouts]\nconnect = \"soon\"", 2, "timeouts.connect", "found \"soon\", expected a dura"),
    ("[timeouts]\nidle = 5", 2, "timeouts.idle", "found 5, expected a duration"),
    ("[limits]\nhead_bytes = \"1TB\"", 2, "limits.head_bytes", "found \"1TB\", expected a size"),
    ("[retry]\nattempts = 11", 2, "retry.attempts", "found 11, expected a number from 0 to 10"),
    ("[retry]\nbudget = 1.5", 2, "retry.budget", "found 1.5, expected a number from 0 to 1"),
    ("[runtime]\ncores = \"3-1\"", 2, "runtime.cores", "found \"3-1\", expected \"auto\" or"),
    ("[tls]\nextra_ca = \"/nowhere.pem\"", 2, "tls.extra_ca", "/nowhere.pem"),
    ("[server]\ntls_cert = \"/nowhere.pem\"", 2, "server.tls_key", "found nothing"),
    (
        "[[upstream]]\nname = \"quick\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"",
        2,
        "upstream.name",
        "found \"quick\" a second time, expected a name of its own",
    ),
    ("[[upstream]]\nname = \"x\"\nkind = \"cohere\"", 3, "upstream.kind", "found \"cohere\""),
    (
        "[[upstream]]\nname = \"x\"\nkind = \"openai\"\nbase_url = \"ftp://127.0.0.1\"",
        4,
        "upstream.base_url",
        "found a URL without http:// or https://",
    ),
    (
        "[[upstream]]\nname = \"x\"\nkind = \"openai\"\nbase_url = \"http://example.com/v1\"",
        4,
        "upstream.base_url",
        "found http:// to example.com, expected https://",
    ),
    (
        "[[upstream]]\nname = \"x\"\nkind = \"openai\"\napi_key = \"env:NOBODY_SET_THIS\"",
        4,
        "upstream.api_key",
        "found \"env:NOBODY_SET_THIS\", which is not set",
    ),
    (
        "[[route]]\nmodel = \"new\"\ntargets = [{ upstream = \"quik\" }]",
        3,
        "route.targets.upstream",
        "found \"quik\", expected the name of an upstream (did you mean quick?)",
    ),
    (
        "[[route]]\nmodel = \"quick\"\ntargets = [{ upstream = \"quick\" }]",
        2,
        "route.model",
        "found \"quick\" a second time",
    ),
    ("[[route]]\nmodel = \"new\"", 1, "route.targets", "found nothing, expected a list"),
    (
        "[[key]]\nname = \"team\"\nsecret = \"short\"",
        3,
        "key.secret",
        "found a key of 5 characters, expected a key of 16 characters or more",
    ),
    ("[[key]\nname = \"team\"", 1, "", "expected valid TOML"),
];

/// The good file with one mistake behind it, and the lines before that.
fn broken(good: &str, mistake: &str) -> (String, usize) {
    // A key of no table must stand before all tables.
    if !mistake.starts_with('[') {
        return (format!("{mistake}\n{good}"), 0);
    }
    (format!("{good}{mistake}\n"), good.lines().count())
}

#[test]
fn every_mistake_is_refused_with_file_line_and_key_and_the_old_configuration_serves_on() {
    let folder = Folder::new();
    let gateway = start(Flavour::Uring, &folder, "");
    let _reaper = Reaper(&gateway);
    let file = folder.0.join("gateway.toml");
    let good = fs::read_to_string(&file).expect("it is there");
    let mut told = 0;
    for (mistake, line, key, words) in MISTAKES {
        let (text, before) = broken(&good, mistake);
        fs::write(&file, text).expect("a file can be written");
        gateway.signal("HUP");
        let key = if key.is_empty() { String::new() } else { format!(" {key}:") };
        let place = format!("stays as it is: {}:{}:{key} ", file.display(), before + line);
        wait_until(&place, || refusals(&gateway)[told..].iter().any(|one| one.contains(&place)));
        let said = refusals(&gateway).split_off(told);
        told += said.len();
        assert!(said.iter().any(|one| one.contains(words)), "{mistake}: {said:#?}");
        let checked = check(&file);
        let place = place.trim_start_matches("stays as it is: ");
        assert!(checked.contains(place) && checked.contains(words), "{mistake}: {checked}");
        assert_eq!(gateway.ask(&ask("quick", false)).status, 200, "{mistake}");
        assert_eq!(gateway.ask(&ask("new", false)).status, 404, "{mistake}");
    }
    assert!(successors(&gateway).is_empty(), "nothing was started");
    let more = "[[route]]\nmodel = \"new\"\ntargets = [{ upstream = \"quick\" }]\n";
    fs::write(&file, format!("{good}{more}")).expect("a file can be written");
    gateway.signal("HUP");
    wait_until("the new route", || gateway.ask(&ask("new", false)).status == 200);
    assert_eq!(gateway.metric("vertex_bridge_bugs_total"), 0);
}

/// The lines that refuse a configuration.
fn refusals(gateway: &Gateway) -> Vec<String> {
    let log = gateway.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.contains("the configuration stays as it is: "));
    // Quotes are escaped in a line of the log.
    lines.map(|line| line.replace("\\\"", "\"")).collect()
}

/// What `check` says of a file that it must refuse.
fn check(file: &Path) -> String {
    let mut command = std::process::Command::new(super::gateway::BINARY);
    command.arg("check").arg("--config").arg(file);
    let output = command.output().expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    told
}

#[test]
fn a_reload_under_streams_and_requests_drops_none() {
    let folder = Folder::new();
    let gateway = start(Flavour::Uring, &folder, "");
    let file = folder.0.join("gateway.toml");
    let good = fs::read_to_string(&file).expect("it is there");
    let (stop, served, address) = (AtomicBool::new(false), AtomicUsize::new(0), gateway.address);
    let _reaper = Reaper(&gateway);
    thread::scope(|scope| {
        let told = Stop(&stop);
        let asking = |fresh| {
            let (stop, served) = (&stop, &served);
            scope.spawn(move || keep_asking(address, fresh, stop, served))
        };
        let clients = [asking(false), asking(false), asking(true), asking(true)];
        let streams: Vec<_> = (0..60).map(|_| scope.spawn(move || whole_stream(address))).collect();
        thread::sleep(Duration::from_millis(500));
        fs::write(&file, format!("{good}[server]\nport = \"x\"\n")).expect("it can be written");
        gateway.signal("HUP");
        let log = gateway.log_with("the configuration stays as it is");
        assert!(log.contains("server.port: found"), "{log}");
        let more = "[[route]]\nmodel = \"new\"\ntargets = [{ upstream = \"quick\" }]\n";
        fs::write(&file, format!("{good}{more}")).expect("it can be written");
        gateway.signal("HUP");
        wait_until("the new route", || gateway.ask(&ask("new", false)).status == 200);
        for stream in streams {
            stream.join().expect("no stream is cut");
        }
        drop(told);
        for client in clients {
            client.join().expect("no request fails");
        }
    });
    assert!(served.load(Ordering::Relaxed) > 300, "there was traffic");
    assert_eq!(successors(&gateway).len(), 1);
}

#[test]
fn a_changed_file_is_read_where_that_is_wished_for_and_the_log_names_what_has_changed() {
    let folder = Folder::new();
    let gateway = start(Flavour::Uring, &folder, "[server]\nreload_on_change = true\n");
    let _reaper = Reaper(&gateway);
    let file = folder.0.join("gateway.toml");
    let good = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, format!("{good}[[route]]\nmodel = 7\n")).expect("it can be written");
    gateway.log_with("the configuration stays as it is");
    let more = "[[route]]\nmodel = \"new\"\ntargets = [{ upstream = \"quick\" }]\n\
                [[key]]\nname = \"team\"\nsecret = \"sk-canary-0123456789\"\n";
    let changed = good.replace("capacity = 1000000", "capacity = 900000") + more;
    // As editors do it: another file in its place.
    let beside = folder.0.join("gateway.toml.new");
    fs::write(&beside, changed).expect("it can be written");
    fs::rename(&beside, &file).expect("it can be renamed");
    wait_until("a successor", || successors(&gateway).len() == 1);
    let log = gateway.log();
    for told in [
        "reload: rate_limit.capacity: 1000000 -> 900000",
        "reload: route[new].model: set to new",
        "reload: route[new].targets[1].upstream: set to quick",
        "reload: key[team].secret: set to ***",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(!log.contains("canary"), "{log}");
}

/// Who asks while the one process leaves and the other has come is answered by one of them, also
/// when nobody else asks.
#[test]
fn a_lone_request_is_answered_whenever_it_comes() {
    let folder = Folder::new();
    let gateway = start(Flavour::Uring, &folder, "");
    let _reaper = Reaper(&gateway);
    let mut leaving = gateway.child.id();
    for turn in 1..=12 {
        kill("-HUP", leaving);
        wait_until("a successor", || {
            assert_eq!(gateway.ask(&get("/health")).status, 200);
            successors(&gateway).len() == turn
        });
        for _ in 0..20 {
            assert_eq!(gateway.ask(&get("/health")).status, 200);
        }
        leaving = successors(&gateway)[turn - 1];
    }
}
