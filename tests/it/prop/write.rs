//! Answers made at random, in the words of each vendor. Texts are in their JSON spelling.

use vertex_bridge::base::Rng;

/// A call of a tool.
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// What a model says: first what it thinks, then words, then calls.
pub(super) struct Answer {
    pub(super) reasoning: Vec<String>,
    pub(super) text: Vec<String>,
    pub(super) calls: Vec<Call>,
}

impl Answer {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let reasoning = (0..rng.below(3)).map(|_| text(rng)).collect();
        let words = (0..rng.below(6)).map(|_| text(rng)).collect();
        let calls = (0..rng.below(4)).map(|number| Call {
            id: format!("toolu_{number}{}", rng.below(1000)),
            name: (*pick(&["weather", "f", "look_up-2"], rng)).to_owned(),
            arguments: object(rng, 3),
        });
        let calls: Vec<Call> = calls.collect();
        Self { reasoning, text: words, calls }
    }
}

// --- JSON -----------------------------------------------------------------------------------

/// One of them.
pub(super) fn pick<'l, T>(list: &'l [T], rng: &mut Rng) -> &'l T {
    let index = rng.below(u64::try_from(list.len()).expect("a length"));
    &list[usize::try_from(index).expect("an index")]
}

/// A text of a few words, escapes and characters of every length.
pub(super) fn text(rng: &mut Rng) -> String {
    const WORDS: &[&str] = &[
        "word ",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\u00e9",
        "\\ud83d\\ude00",
        "é",
        "日本",
        "😀",
        "\\t",
        " ",
        "data: ",
        "[DONE]",
        "{}",
        "\\u2028",
        "\u{2028}",
        "\\u0000",
        "</s>",
        "x",
    ];
    (0..1 + rng.below(6)).map(|_| *pick(WORDS, rng)).collect()
}

/// An object with anything in it, spelt in an unusual way.
pub(super) fn object(rng: &mut Rng, depth: u32) -> String {
    let mut members = Vec::new();
    for number in 0..rng.below(4) {
        let (before, behind) = (space(rng), space(rng));
        let value = value(rng, depth);
        members.push(format!("{before}\"k{number}{}\"{behind}:{value}{behind}", text(rng)));
    }
    format!("{{{}{}}}", members.join(","), space(rng))
}

fn value(rng: &mut Rng, depth: u32) -> String {
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "1.50",
        "1e400",
        "-1E-400",
        "18446744073709551616",
        "123456789012345678901234",
        "0.1e+7",
        "9007199254740993",
        "-12",
    ];
    let before = space(rng);
    let value = match rng.below(if depth == 0 { 3 } else { 5 }) {
        0 => (*pick(NUMBERS, rng)).to_owned(),
        1 => format!("\"{}\"", text(rng)),
        2 => (*pick(&["true", "false", "null"], rng)).to_owned(),
        3 => {
            let all: Vec<String> = (0..rng.below(4)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", all.join(","))
        }
        _ => object(rng, depth - 1),
    };
    format!("{before}{value}")
}

fn space(rng: &mut Rng) -> &'static str {
    let space: &&str = pick(&["", "", "", " ", "\n  ", "\t", "\r\n"], rng);
    space
}

/// One event per JSON text; line ends as a server may write them.
fn events(payloads: impl IntoIterator<Item = (&'static str, String)>, rng: &mut Rng) -> String {
    let end = *pick(&["\n", "\r\n", "\r"], rng);
    let mut stream = String::new();
    for (name, payload) in payloads {
        if rng.percent(10) {
            stream += &format!(": a comment{end}{end}");
        }
        if !name.is_empty() {
            stream += &format!("event: {name}{end}");
        }
        // A line end inside of a payload, where space may stand, makes a second data line.
        let payload = payload.replace("\r\n", "\n").replace('\n', &format!("{end}data: "));
        stream += &format!("data: {payload}{end}{end}");
    }
    stream
}

// --- Gemini ---------------------------------------------------------------------------------

fn gemini_parts(answer: &Answer) -> Vec<String> {
    let thoughts = answer.reasoning.iter();
    let thoughts = thoughts.map(|text| format!(r#"{{"text": "{text}","thought": true}}"#));
    let words = answer.text.iter().map(|text| format!(r#"{{"text": "{text}"}}"#));
    let calls = answer.calls.iter().map(|Call { id, name, arguments }| {
        format!(r#"{{"functionCall": {{"name": "{name}","id": "{id}","args": {arguments}}}}}"#)
    });
    thoughts.chain(words).chain(calls).collect()
}

const GEMINI_TAIL: &str = r#""usageMetadata": {"promptTokenCount": 7,"candidatesTokenCount": 9,"thoughtsTokenCount": 3,"totalTokenCount": 19},"modelVersion": "gemini-2.5-flash","responseId": "r1""#;

pub(super) fn gemini_whole(answer: &Answer) -> String {
    let parts = gemini_parts(answer).join(",\n");
    format!(
        r#"{{"candidates": [{{"content": {{"parts": [{parts}],"role": "model"}},"finishReason": "STOP"}}],{GEMINI_TAIL}}}"#
    )
}

pub(super) fn gemini_stream(answer: &Answer, rng: &mut Rng) -> String {
    let mut payloads = Vec::new();
    let parts = gemini_parts(answer);
    let mut rest = &parts[..];
    while !rest.is_empty() {
        let size = usize::try_from(1 + rng.below(2)).expect("a few").min(rest.len());
        let (some, after) = rest.split_at(size);
        rest = after;
        let parts = some.join(",");
        payloads.push(format!(
            r#"{{"candidates": [{{"content": {{"parts": [{parts}],"role": "model"}},"index": 0}}],{GEMINI_TAIL}}}"#
        ));
    }
    payloads.push(format!(
        r#"{{"candidates": [{{"content": {{}},"finishReason": "STOP","index": 0}}],{GEMINI_TAIL}}}"#
    ));
    events(payloads.into_iter().map(|payload| ("", payload)), rng)
}

// --- Anthropic ------------------------------------------------------------------------------

fn anthropic_blocks(answer: &Answer) -> Vec<String> {
    let thoughts = answer.reasoning.iter();
    let thoughts = thoughts
        .map(|text| format!(r#"{{"type":"thinking","thinking":"{text}","signature":"EqQB"}}"#));
    let words = answer.text.iter().map(|text| format!(r#"{{"type":"text","text":"{text}"}}"#));
    let calls = answer.calls.iter().map(|Call { id, name, arguments }| {
        format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{arguments}}}"#)
    });
    thoughts.chain(words).chain(calls).collect()
}

fn anthropic_reason(answer: &Answer) -> &'static str {
    if answer.calls.is_empty() { "end_turn" } else { "tool_use" }
}

pub(super) fn anthropic_whole(answer: &Answer) -> String {
    let (blocks, reason) = (anthropic_blocks(answer).join(","), anthropic_reason(answer));
    format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{blocks}],"stop_reason":"{reason}","stop_sequence":null,"usage":{{"input_tokens":7,"output_tokens":9}}}}"#
    )
}

pub(super) fn anthropic_stream(answer: &Answer, rng: &mut Rng) -> String {
    let mut payloads = vec![(
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":7,"output_tokens":1}}}"#.to_owned(),
    )];
    let mut index = 0;
    let mut block = |start: &str, deltas: Vec<String>| {
        let start =
            format!(r#"{{"type":"content_block_start","index":{index},"content_block":{start}}}"#);
        payloads.push(("content_block_start", start));
        payloads.extend(deltas.into_iter().map(|delta| {
            let delta =
                format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
            ("content_block_delta", delta)
        }));
        let stop = format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
        payloads.push(("content_block_stop", stop));
        index += 1;
    };
    for text in &answer.reasoning {
        let thought = format!(r#"{{"type":"thinking_delta","thinking":"{text}"}}"#);
        let signature = r#"{"type":"signature_delta","signature":"EqQB"}"#.to_owned();
        block(r#"{"type":"thinking","thinking":"","signature":""}"#, vec![thought, signature]);
    }
    let words = answer.text.iter();
    let words = words.map(|text| format!(r#"{{"type":"text_delta","text":"{text}"}}"#));
    block(r#"{"type":"text","text":""}"#, words.collect());
    for Call { id, name, arguments } in &answer.calls {
        // Pieces end anywhere, also inside of an escape of the arguments.
        let characters: Vec<char> = arguments.chars().collect();
        let size = usize::try_from(1 + rng.below(12)).expect("a few");
        let pieces = characters.chunks(size).map(|piece| {
            let piece: String = piece.iter().collect();
            let piece = serde_json::to_string(&piece).expect("a string");
            format!(r#"{{"type":"input_json_delta","partial_json":{piece}}}"#)
        });
        let start = format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{{}}}}"#);
        block(&start, pieces.collect());
    }
    let reason = anthropic_reason(answer);
    let end = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":9}}}}"#
    );
    payloads.push(("message_delta", end));
    payloads.push(("message_stop", r#"{"type":"message_stop"}"#.to_owned()));
    events(payloads, rng)
}
