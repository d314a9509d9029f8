//! A client of any vendor's API cannot tell the gateway from that vendor by the shape of what it
//! gets, whoever stands behind it: heads, ids, members, errors, and how streams break off. The
//! vendors are played by the simulator, which shares no code with what is tested.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use serde_json::Value;

use super::client::{Answer, Client};
use super::gateway::{Flavour, Folder, Gateway};
use super::simulator::Simulator;

/// Who is spoken to, and as whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Chat,
    Responses,
    Messages,
    Generate,
}

const DOORS: [Door; 4] = [Door::Chat, Door::Responses, Door::Messages, Door::Generate];

/// One model of each vendor, and of both services of Google's.
const MODELS: [&str; 4] = ["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash", "gemini-placed"];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Whole,
    Stream,
    /// A temperature that nobody takes.
    TooHot,
    /// A key that nobody knows.
    NoEntry,
}

impl Door {
    /// The vendor's own model.
    const fn home(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "gpt-4o",
            Self::Messages => "claude-sonnet-4-5",
            Self::Generate => "gemini-2.5-flash",
        }
    }

    fn ask(self, to: SocketAddr, model: &str, wish: Wish) -> Answer {
        let stream = wish == Wish::Stream;
        let heat = if wish == Wish::TooHot { 9 } else { 1 };
        let said = r#""messages":[{"role":"user","content":"hi"}]"#;
        let (path, body) = match self {
            Self::Chat => (
                "/v1/chat/completions".to_owned(),
                format!(r#"{{"model":"{model}","stream":{stream},"temperature":{heat},{said}}}"#),
            ),
            Self::Responses => (
                "/v1/responses".to_owned(),
                format!(
                    r#"{{"model":"{model}","stream":{stream},"temperature":{heat},"input":"hi"}}"#
                ),
            ),
            Self::Messages => (
                "/v1/messages".to_owned(),
                format!(
                    r#"{{"model":"{model}","stream":{stream},"temperature":{heat},"max_tokens":50,{said}}}"#
                ),
            ),
            Self::Generate => {
                let method =
                    if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let said = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;
                (
                    format!("/v1beta/models/{model}:{method}"),
                    format!(r#"{{{said},"generationConfig":{{"temperature":{heat}}}}}"#),
                )
            }
        };
        let key = if wish == Wish::NoEntry { "invalid-key" } else { "sk-vertex-bridge-dev" };
        let credential = match self {
            Self::Chat | Self::Responses => format!("authorization: Bearer {key}"),
            Self::Messages => format!("x-api-key: {key}\r\nanthropic-version: 2023-06-01"),
            Self::Generate => format!("x-goog-api-key: {key}"),
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             {credential}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = Client::connect(to);
        client.send(request.as_bytes());
        client.answer().unwrap_or_else(|| panic!("{self:?} {model} {wish:?}: no answer"))
    }
}

/// A gateway before the simulator that keeps its own headers to itself.
fn stage(simulator: &Simulator, folder: &Folder) -> Gateway {
    let path = folder.0.join("gateway.toml");
    let upstream = |name: &str, kind: &str, tail: &str| {
        let url = format!("http://{}{tail}", simulator.address);
        format!(
            "[[upstream]]\nname = \"{name}\"\nkind = \"{kind}\"\nbase_url = \"{url}\"\n\
             api_key = \"any\"\n"
        )
    };
    let route = |model: &str, targets: &str| {
        format!("[[route]]\nmodel = \"{model}\"\ntargets = [ {{ upstream = {targets} }} ]\n")
    };
    let fault = "-fault-error-in-stream";
    let placed = "\"express\", model = \"gemini-2.5-flash";
    let text = [
        "[server]\nown_headers = false\n".to_owned(),
        upstream("studio", "gemini", ""),
        upstream("express", "vertex", ""),
        upstream("gpt", "openai", "/v1"),
        upstream("claude", "anthropic", ""),
        route("gpt-*", "\"gpt\""),
        route("claude-*", "\"claude\""),
        route("gemini-2.5-*", "\"studio\""),
        route("gemini-placed", &format!("{placed}\"")),
        route(&format!("gemini-placed{fault}"), &format!("{placed}{fault}\"")),
    ];
    fs::write(&path, text.concat()).expect("a file can be written");
    let path = path.to_str().expect("a path is text");
    Gateway::start(Flavour::Epoll, &[("VERTEX_BRIDGE_CONFIG", path)])
}

/// Members that not every answer of a vendor's has.
const OPTIONAL: [&str; 32] = [
    "accepted_prediction_tokens",
    "annotations",
    "audio_tokens",
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_write_tokens",
    "cached_tokens",
    "candidatesTokenCount",
    "candidatesTokensDetails",
    "code",
    "completion_tokens_details",
    "createTime",
    "details",
    "incomplete_details",
    "index",
    "inference_geo",
    "param",
    "prompt_tokens_details",
    "prompt_cache_key",
    "promptTokenCount",
    "promptTokensDetails",
    "reasoning_tokens",
    "rejected_prediction_tokens",
    "request_id",
    "safety_identifier",
    "service_tier",
    "stop_details",
    "system_fingerprint",
    "totalTokenCount",
    "trafficType",
    "usageMetadata",
];

/// What does not fit: members that the vendor does not have or always has, other kinds, other ids.
fn misfits(at: &str, got: &Value, own: &Value, found: &mut Vec<String>) {
    match (got, own) {
        (Value::Object(got), Value::Object(own)) => {
            for (name, value) in got {
                match own.get(name) {
                    Some(own) => misfits(&format!("{at}.{name}"), value, own, found),
                    None if OPTIONAL.contains(&name.as_str()) => {}
                    None => found.push(format!("{at}.{name} is not the vendor's")),
                }
            }
            let missing = own.keys().filter(|name| !got.contains_key(*name));
            let missing = missing.filter(|name| !OPTIONAL.contains(&name.as_str()));
            found.extend(missing.map(|name| format!("{at}.{name} is missing")));
        }
        (Value::Array(got), Value::Array(own)) => {
            if let Some(own) = own.first() {
                got.iter().for_each(|one| misfits(&format!("{at}[]"), one, own, found));
            }
        }
        // Anthropic's ids keep their own prefix, so that they can be found there.
        (Value::String(got), Value::String(_)) if got.starts_with("msg_") => {}
        (Value::String(got), Value::String(own)) if at.ends_with("id") => {
            let prefix = |id: &str| id.split_once(['_', '-']).map(|(prefix, _)| prefix.to_owned());
            if prefix(got) != prefix(own) {
                found.push(format!("{at}: {got} beside {own}"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ if std::mem::discriminant(got) == std::mem::discriminant(own) => {}
        _ => found.push(format!("{at}: {got} beside {own}")),
    }
}

/// Fields that any server in between may set, and those that tell a client its limits.
fn is_common(name: &str) -> bool {
    let any = ["date", "content-length", "transfer-encoding", "connection", "cache-control"];
    let told = ["x-request-id", "x-upstream-request-id", "x-accel-buffering", "x-should-retry"];
    let google = [
        "www-authenticate",
        "vary",
        "x-xss-protection",
        "x-frame-options",
        "x-content-type-options",
    ];
    let known = [&any[..], &told, &google, &["retry-after", "retry-after-ms"]].concat();
    known.contains(&name) || name.starts_with("x-ratelimit-")
}

fn names(answer: &Answer) -> BTreeSet<String> {
    let lines = answer.head.lines().skip(1);
    lines.filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
}

/// Compares the heads.
fn heads(got: &Answer, own: &Answer, found: &mut Vec<String>) {
    if got.status != own.status {
        found.push(format!("status {} beside {}", got.status, own.status));
    }
    let (ours, theirs) = (got.field("content-type"), own.field("content-type"));
    if ours != theirs {
        found.push(format!("{ours:?} beside {theirs:?}"));
    }
    let (ours, theirs) = (names(got), names(own));
    let strange = ours.difference(&theirs).filter(|name| !is_common(name));
    found.extend(strange.map(|name| format!("the field {name} is not the vendor's")));
    // OpenAI tells whose account it is, Anthropic its limits under names of its own.
    let own_words = |name: &String| {
        name.starts_with("anthropic-ratelimit-") || name == "openai-organization" || is_common(name)
    };
    let missing = theirs.difference(&ours).filter(|name| !own_words(name));
    found.extend(missing.map(|name| format!("the field {name} is missing")));
}

/// Name and data of every event, of those kinds that the other stream has too.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.body.replace("\r\n", "\n");
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let data = serde_json::from_str(field("data: ")?).unwrap_or(Value::Null);
        Some((field("event: ").unwrap_or_default().to_owned(), data))
    };
    text.split("\n\n").filter_map(event).collect()
}

/// Compares every event with the vendor's event of its name and of the same members.
fn streams(got: &Answer, own: &Answer, found: &mut Vec<String>) {
    let theirs = events(own);
    for (name, data) in events(got) {
        let alike = |(other, own): &&(String, Value)| {
            let mut found = Vec::new();
            misfits("", &data, own, &mut found);
            *other == name && found.is_empty()
        };
        if theirs.iter().find(alike).is_some() {
            continue;
        }
        // Deltas differ in what they bring; the vendor's nearest event tells what is wrong.
        let nearest = theirs.iter().filter(|(other, _)| *other == name).map(|(_, own)| {
            let mut found = Vec::new();
            misfits(&name, &data, own, &mut found);
            found
        });
        let fewest = nearest.min_by_key(Vec::len);
        found.extend(fewest.unwrap_or_else(|| vec![format!("no event {name:?}: {data}")]));
    }
    if got.body.contains("[DONE]") != own.body.contains("[DONE]") {
        found.push("the last event differs".to_owned());
    }
}

#[test]
fn clients_cannot_tell_the_gateway_from_their_vendor() {
    let (simulator, folder) = (Simulator::start(&[]), Folder::new());
    let gateway = stage(&simulator, &folder);
    let mut wrong = BTreeSet::new();
    for door in DOORS {
        for model in MODELS {
            for wish in [Wish::Whole, Wish::Stream, Wish::TooHot, Wish::NoEntry] {
                let own = door.ask(simulator.address, door.home(), wish);
                let got = door.ask(gateway.address, model, wish);
                let mut found = Vec::new();
                match (door, wish) {
                    // What AI Studio says to a wrong key is 400, and clients look for 401.
                    (Door::Generate, Wish::NoEntry) => {
                        assert_eq!((own.status, got.status), (400, 401));
                    }
                    // Whoever has no key is turned away before the time is taken.
                    (_, Wish::NoEntry) => assert_eq!((own.status, got.status), (401, 401)),
                    _ => heads(&got, &own, &mut found),
                }
                if wish == Wish::Stream {
                    streams(&got, &own, &mut found);
                } else {
                    misfits("", &got.json(), &own.json(), &mut found);
                }
                wrong.extend(found.iter().map(|what| format!("{door:?} {model} {wish:?}: {what}")));
            }
            let fault = "-fault-error-in-stream";
            let own = door.ask(simulator.address, &format!("{}{fault}", door.home()), Wish::Stream);
            let got = door.ask(gateway.address, &format!("{model}{fault}"), Wish::Stream);
            let mut found = Vec::new();
            heads(&got, &own, &mut found);
            match (events(&got).pop(), events(&own).pop()) {
                (Some((name, mut data)), Some((theirs, own))) => {
                    // OpenAI's SDKs raise an error only where they find it in this member.
                    if door == Door::Responses
                        && let Some(data) = data.as_object_mut()
                    {
                        let _for_sdks = data.remove("error");
                    }
                    misfits("", &data, &own, &mut found);
                    if name != theirs {
                        found.push(format!("the event {name:?} beside {theirs:?}"));
                    }
                }
                ends => found.push(format!("no error: {ends:?}")),
            }
            wrong.extend(found.iter().map(|what| format!("{door:?} {model} broken: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
}
