//! Golden cases: a client's request and a vendor's answer, written by hand after the vendors' real
//! shapes, and the exact bytes that must go out on either side.
//!
//! `tests/golden/VENDOR/CASE/` holds `request.json` and `answer.txt` (input), `upstream.json` and
//! `client.txt` (expected). `GOLDEN=write cargo test golden` writes the expected files anew; the
//! change is reviewed in the diff. Streams are played whole, byte by byte, cut at every place, and
//! in random pieces.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and is asked to write by a variable"
)]

use std::fs;
use std::path::{Path, PathBuf};

use vertex_bridge::base::Rng;
use vertex_bridge::chat::{Collector, Dialect, ReplyMeta, Request, StreamRenderer};
use vertex_bridge::provider::Dropped;
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Decoder, Expected, Order, Rules, UpstreamError, Vendor, vendor};

const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };

/// The folders of the cases, and how many there are at least.
const VENDORS: [(&str, Vendor, usize); 4] = [
    ("gemini", Vendor::Gemini, 24),
    ("anthropic", Vendor::Anthropic, 25),
    ("claude", Vendor::Claude, 2),
    ("openai", Vendor::OpenAi, 29),
];

fn meta(model: &str) -> ReplyMeta {
    ReplyMeta { fallback_id: 0xf00d, created: 1_700_000_000, model: model.to_owned() }
}

/// What the client gets when the answer comes in these pieces.
fn play(vendor: Vendor, request: &Request<'_>, pieces: &[&[u8]]) -> String {
    let mut out = Vec::new();
    let choices = request.options.n.unwrap_or(1);
    let decoder = Decoder::new(Expected::plain(vendor, request.stream, choices, 7), LIMITS);
    let result = if request.stream {
        stream(decoder, request, pieces, &mut out)
    } else {
        whole(decoder, request, pieces, &mut out)
    };
    if let Err(error) = result {
        let error = error.to_api();
        if out.is_empty() {
            out.extend_from_slice(format!("status {}\n", error.row.status).as_bytes());
            error.render(Dialect::OpenAi, "", &mut out);
        } else {
            error.render_event(Dialect::OpenAi, "", &mut out);
        }
    }
    String::from_utf8(out).expect("text")
}

fn stream(
    mut decoder: Decoder,
    request: &Request<'_>,
    pieces: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), UpstreamError> {
    let mut renderer = StreamRenderer::new(meta(&request.model), request.include_usage);
    for piece in pieces {
        decoder.feed(piece, &mut |event| renderer.on_event(&event, out))?;
    }
    decoder.finish(&mut |event| renderer.on_event(&event, out))?;
    renderer.end(out);
    Ok(())
}

fn whole(
    mut decoder: Decoder,
    request: &Request<'_>,
    pieces: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), UpstreamError> {
    let mut collector = Collector::new(meta(&request.model));
    for piece in pieces {
        decoder.feed(piece, &mut |_| {})?;
    }
    decoder.finish(&mut |event| collector.on_event(&event))?;
    collector.render(out);
    Ok(())
}

fn cases(vendor: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(vendor);
    let folders = fs::read_dir(root).expect("the golden cases").flatten();
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
    folders.sort();
    folders
}

/// Compares with the file, or writes it when that was asked for.
fn expect(file: &Path, found: &str) {
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        fs::write(file, found).expect("the file can be written");
        return;
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(found, expected, "{}", file.display());
}

#[test]
fn every_case_gives_its_exact_bytes() {
    for (folder, vendor, least) in VENDORS {
        let cases = cases(folder);
        assert!(cases.len() >= least, "{} cases of {folder}", cases.len());
        cases.iter().for_each(|case| check(vendor, case));
    }
}

fn check(vendor: Vendor, case: &Path) {
    let body = fs::read(case.join("request.json")).expect("a request");
    let request = Request::parse(&body).expect("a sound request");
    let (mut upstream, mut dropped) = (Vec::new(), Dropped::default());
    let order = Order { vendor, model: &request.model, rules: Rules::default() };
    vendor::encode(&order, &request, &mut upstream, &mut dropped).expect("it can be expressed");
    let mut upstream = String::from_utf8(upstream).expect("text");
    serde_json::from_str::<serde::de::IgnoredAny>(&upstream).expect("JSON");
    if !dropped.is_empty() {
        let mut names = Vec::new();
        dropped.render(&mut names);
        upstream.extend(["\ndropped: ", &String::from_utf8_lossy(&names)]);
    }
    expect(&case.join("upstream.json"), &upstream);
    let answer = fs::read(case.join("answer.txt")).expect("an answer");
    let told = play(vendor, &request, &[&answer]);
    expect(&case.join("client.txt"), &told);
    every_cut(case, &answer, &told, |pieces| play(vendor, &request, pieces));
}

/// The outcome must not depend on where the answer is cut.
fn every_cut(case: &Path, answer: &[u8], told: &str, run: impl Fn(&[&[u8]]) -> String) {
    let bytes: Vec<&[u8]> = answer.chunks(1).collect();
    assert_eq!(run(&bytes), told, "{} per byte", case.display());
    for cut in 0..=answer.len() {
        let (head, tail) = answer.split_at(cut);
        assert_eq!(run(&[head, tail]), told, "{} cut at {cut}", case.display());
    }
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let (mut pieces, mut rest) = (Vec::new(), answer);
        while !rest.is_empty() {
            let size = 1 + usize::try_from(rng.below(40)).unwrap_or(0);
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(run(&pieces), told, "{} seed {seed}", case.display());
    }
}
