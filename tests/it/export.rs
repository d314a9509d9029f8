//! Spans on their way to a collector that is scripted, decoded with what is generated from the
//! published schema.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and looks at real time"
)]

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use vertex_bridge::config::{Config, Sources};
use vertex_bridge::export::{Collector, Exporter, Feed, Places};
use vertex_bridge::journal::{Ending, Record};
use vertex_bridge::net::Connector;
use vertex_bridge::obs::ExportCells;
use vertex_bridge::web::Trust;

use super::collector::{Got, OK, collector, read, text, write};

fn exporter(origin: &str) -> (Feed, Exporter, Arc<ExportCells>) {
    let file = format!(
        "[otel]\nendpoint = \"{origin}\"\nheaders = \"api-key=canary%20key\"\n\
         resource_attributes = \"deployment.environment.name=test\"\n\
         [[upstream]]\nname = \"near\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n"
    );
    let read_file = |_: &str| Err("no files here".to_owned());
    let file = Some(("vb.toml", file.as_str()));
    let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
    let mut config = Config::load(&sources).expect("a configuration");
    let places = Places::of(&config);
    let trust = vertex_bridge::net::Trust::bundled();
    let trust = Trust::new(Connector::new(&trust, None).expect("TLS").config());
    let collector =
        Collector::new(config.take_export().expect("an endpoint"), "one", (&trust, None));
    assert!(!format!("{collector:?}").contains("canary"));
    let cells = Arc::new(ExportCells::default());
    let (feed, exporter) = Exporter::new(collector, places, Arc::clone(&cells), 7);
    (feed, exporter, cells)
}

fn record(number: u32) -> Record<'static> {
    Record {
        started_ms: 1_700_000_000_000,
        trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
        span: u64::from(number) + 1,
        parent: 0x00f0_67aa_0ba9_02b7,
        prompt: 12,
        completion: 34,
        parse: 50,
        upstream: 2000,
        total: 9000,
        status: 200,
        attempts: 1,
        ending: Ending::Answered,
        sampled: true,
        id: "req_abc",
        upstream_name: "near",
        model: "llama3",
        ..Record::default()
    }
}

#[test]
fn the_published_schema_reads_what_is_sent() {
    let (origin, got) = collector(vec![(OK, Vec::new())]);
    let (mut feed, exporter, cells) = exporter(&origin);
    feed.on_record(&record(0));
    feed.on_record(&Record { sampled: false, ..record(1) });
    feed.on_record(&Record { ending: Ending::Open, ..record(2) });
    drop(feed);
    exporter.run();
    let got = got.try_recv().expect("a batch, though nothing was due yet");
    assert!(got.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", got.head);
    for field in [
        "content-type: application/x-protobuf\r\n",
        "content-encoding: gzip\r\n",
        "api-key: canary key\r\n",
    ] {
        assert!(got.head.contains(field), "{} lacks {field}", got.head);
    }
    let resource = got.request.resource_spans[0].resource.as_ref().expect("a resource");
    for (key, want) in [
        ("service.name", "vertex-bridge"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", "one"),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(text(&resource.attributes, key), Some(want));
    }
    let spans: Vec<&Span> = got.spans().collect();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["chat llama3", "parse", "chat llama3"]);
    let (exchange, upstream) = (spans[0], spans[2]);
    assert_eq!(exchange.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(exchange.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(exchange.end_time_unix_nano - exchange.start_time_unix_nano, 9_000_000);
    assert_eq!(text(&exchange.attributes, "vertex_bridge.request_id"), Some("req_abc"));
    assert_eq!(text(&exchange.attributes, "gen_ai.operation.name"), Some("chat"));
    assert_eq!(text(&upstream.attributes, "server.address"), Some("127.0.0.1"));
    assert_eq!((exchange.kind, upstream.kind), (2, 3));
    assert!(spans[1..].iter().all(|span| span.parent_span_id == exchange.span_id));
    assert_eq!((cells.spans.read(), cells.full.read(), cells.lost.read()), (3, 0, 0));
}

/// Runs until `count` exchanges were handed over and all is over.
fn run(count: u32, origin: &str, mut meanwhile: impl FnMut()) -> Arc<ExportCells> {
    let (mut feed, exporter, cells) = exporter(origin);
    let running = thread::spawn(move || exporter.run());
    (0..count).for_each(|number| feed.on_record(&record(number)));
    meanwhile();
    drop(feed);
    running.join().expect("it ends");
    cells
}

#[test]
fn a_collector_that_is_busy_is_asked_again_when_it_said() {
    let busy = "503 Service Unavailable\r\nretry-after: 1";
    let (origin, got) = collector(vec![(busy, Vec::new()), (OK, Vec::new())]);
    let mut both = Vec::new();
    let cells = run(512, &origin, || {
        both.extend((0..2).map(|_| got.recv_timeout(Duration::from_secs(9)).expect("a batch")));
    });
    let [first, second] = &both[..] else { panic!("two tries") };
    assert_eq!(first.request, second.request, "nothing is lost between the two");
    assert!(second.at - first.at >= Duration::from_secs(1));
    assert_eq!((cells.spans.read(), cells.lost.read()), (512 * 3, 0));
}

#[test]
fn what_is_never_taken_or_taken_in_part_is_counted() {
    let (origin, _got) = collector(vec![("400 Bad Request", Vec::new())]);
    let cells = run(600, &origin, || {});
    assert_eq!((cells.spans.read(), cells.lost.read()), (0, 600));
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "no".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let (origin, _got) = collector(vec![(OK, answer.encode_to_vec())]);
    let cells = run(10, &origin, || {});
    assert_eq!((cells.spans.read(), cells.rejected.read()), (28, 2));
}

#[test]
fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let origin = format!("http://{}", listener.local_addr().expect("it has an address"));
    let (release, held): (Sender<()>, Receiver<()>) = channel();
    let taken = thread::spawn(move || {
        let mut exchanges = 0_u64;
        for mut stream in listener.incoming().flatten() {
            while let Some((_, body)) = read(&mut stream) {
                // Holds the first batch until everything has been handed over.
                let _released = held.recv();
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip");
                let request = ExportTraceServiceRequest::decode(&*plain).expect("the schema");
                let got = Got { head: String::new(), request, at: Instant::now() };
                exchanges += u64::try_from(got.spans().filter(|span| span.kind == 2).count())
                    .expect("a count");
                if !write(&mut stream, &(OK, Vec::new())) {
                    break;
                }
                if exchanges >= 2048 {
                    return exchanges;
                }
            }
        }
        exchanges
    });
    let (mut feed, exporter, cells) = exporter(&origin);
    let running = thread::spawn(move || exporter.run());
    let began = Instant::now();
    let count = 20_000;
    (0..count).for_each(|number| feed.on_record(&record(number)));
    assert!(began.elapsed() < Duration::from_secs(5), "it must not wait for the collector");
    drop(release);
    drop(feed);
    running.join().expect("it ends");
    let taken = taken.join().expect("the collector ends");
    let (full, waiting, lost) = (cells.full.read(), cells.waiting_full.read(), cells.lost.read());
    assert!(full > 0, "the queue is bounded");
    assert_eq!(cells.spans.read() % 3, 0);
    assert_eq!(cells.spans.read() / 3 + full + waiting + lost, u64::from(count));
    assert!(taken >= cells.spans.read() / 3);
}
