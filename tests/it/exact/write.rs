//! Requests and answers of OpenAI's API made at random, spelt as nobody would spell them.

use std::fmt;

use vertex_bridge::base::Rng;

/// One request and what the upstream says to it.
pub(super) struct Case {
    /// Where the client asks; the upstream is asked at the same place.
    pub(super) path: &'static str,
    /// The client's body.
    pub(super) sent: Vec<u8>,
    /// The spelling of the model and the name that the upstream must get, where it has another one.
    pub(super) renamed: Option<(String, &'static str)>,
    pub(super) stream: bool,
    pub(super) status: u16,
    /// The upstream's body.
    pub(super) answer: Vec<u8>,
    /// How much of it may pass, where that is not all.
    pub(super) passes: Option<usize>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, sent, status, answer, .. } = self;
        write!(f, "{path} {} -> {status} {}", sent.escape_ascii(), answer.escape_ascii())
    }
}

impl Case {
    /// All that may pass as it is.
    pub(super) fn random(rng: &mut Rng) -> Self {
        let path = *pick(
            &["/v1/chat/completions", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"],
            rng,
        );
        let stream = path != "/v1/embeddings" && rng.percent(60);
        let model = *pick(&["\"gpt-4o\"", "\"gpt-4o\"", "\"gpt\\u002d4o\"", "\"renamed\""], rng);
        let renamed = (model == "\"renamed\"").then(|| (model.to_owned(), "\"a/b\""));
        let sent = request(path, model, stream, rng).into_bytes();
        let status = if rng.percent(85) { 200 } else { *pick(&[400, 409, 413, 422, 429], rng) };
        let answer = match status {
            200 if stream => events(rng),
            200 => whole(path, rng).into_bytes(),
            _ => failure(rng).into_bytes(),
        };
        Self { path, sent, renamed, stream, status, answer, passes: None }
    }

    /// What the client must get.
    pub(super) fn passes(&self) -> &[u8] {
        self.answer.split_at(self.passes.unwrap_or(self.answer.len())).0
    }

    /// The body that the upstream must get.
    pub(super) fn arrives(&self) -> Vec<u8> {
        let Some((old, new)) = &self.renamed else { return self.sent.clone() };
        // No other text of a request says so.
        let text = std::str::from_utf8(&self.sent).expect("text");
        assert_eq!(text.matches(old.as_str()).count(), 1, "{text}");
        text.replace(old.as_str(), new).into_bytes()
    }
}

/// One of them.
pub(super) fn pick<'l, T>(list: &'l [T], rng: &mut Rng) -> &'l T {
    let index = rng.below(u64::try_from(list.len()).expect("a length"));
    &list[usize::try_from(index).expect("an index")]
}

// --- JSON -----------------------------------------------------------------------------------

fn space(rng: &mut Rng) -> &'static str {
    let space: &&str = pick(&["", "", "", "", " ", "\n  ", "\t", "\r\n", "   "], rng);
    space
}

/// The inside of a string.
fn text(rng: &mut Rng) -> String {
    const WORDS: [&str; 22] = [
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
        "\\ud800",
        "\u{7f}",
        "\\b",
        "\\\"error\\\": 1",
    ];
    (0..rng.below(6)).map(|_| *pick(&WORDS, rng)).collect()
}

fn value(rng: &mut Rng, depth: u32) -> String {
    const NUMBERS: [&str; 12] = [
        "0",
        "-0",
        "1.50",
        "1e400",
        "-1E-400",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "0.1e+7",
        "9007199254740993",
        "-12",
        "0.3000000000000000001",
    ];
    match rng.below(if depth == 0 { 3 } else { 5 }) {
        0 => (*pick(&NUMBERS, rng)).to_owned(),
        1 => format!("\"{}\"", text(rng)),
        2 => (*pick(&["true", "false", "null"], rng)).to_owned(),
        3 => {
            let all: Vec<String> = (0..rng.below(4)).map(|_| spaced(rng, depth - 1)).collect();
            format!("[{}{}]", all.join(","), space(rng))
        }
        _ => nested(rng, depth - 1),
    }
}

fn spaced(rng: &mut Rng, depth: u32) -> String {
    format!("{}{}{}", space(rng), value(rng, depth), space(rng))
}

/// An object in which keys may stand twice.
fn nested(rng: &mut Rng, depth: u32) -> String {
    const KEYS: [&str; 13] = [
        "a",
        "a",
        "b",
        "\\u0061",
        "index",
        "usage",
        "choices",
        "error",
        "model",
        "finish_reason",
        "k\\n\\\"",
        "é",
        "",
    ];
    let members = (0..rng.below(5)).map(|_| (*pick(&KEYS, rng), value(rng, depth)));
    let members: Vec<_> = members.collect();
    object(members, rng)
}

/// An object of these members in any order.
fn object(mut members: Vec<(&str, String)>, rng: &mut Rng) -> String {
    let mut out = "{".to_owned();
    while !members.is_empty() {
        let next = rng.below(u64::try_from(members.len()).expect("a length"));
        let (key, value) = members.swap_remove(usize::try_from(next).expect("an index"));
        let comma = if out.len() > 1 { "," } else { "" };
        let [before, behind, within, after] = [(); 4].map(|()| space(rng));
        out += &format!("{comma}{before}\"{key}\"{behind}:{within}{value}{after}");
    }
    out + space(rng) + "}"
}

/// Fields that nobody knows, some of them twice.
fn unknown(rng: &mut Rng, members: &mut Vec<(&str, String)>) {
    const KEYS: [&str; 12] = [
        "x",
        "x",
        "temperature",
        "n",
        "metadata",
        "store",
        "x_\\u00e9",
        "é",
        "seed",
        "max_tokens",
        "system_fingerprint",
        "",
    ];
    for _ in 0..rng.below(5) {
        members.push((*pick(&KEYS, rng), value(rng, 3)));
    }
}

// --- Requests -------------------------------------------------------------------------------

fn request(path: &str, model: &str, stream: bool, rng: &mut Rng) -> String {
    let mut members = vec![(*pick(&["model", "mod\\u0065l"], rng), model.to_owned())];
    match path {
        "/v1/chat/completions" => members.push(("messages", messages(rng))),
        "/v1/completions" => members.push(("prompt", format!("\"{}\"", text(rng)))),
        _ => members.push(("input", "[[1,2],\n[3]]".to_owned())),
    }
    if stream {
        members.push((*pick(&["stream", "str\\u0065am"], rng), "true".to_owned()));
        let usage = format!("{}\"include_usage\":true", space(rng));
        let options = ["null".to_owned(), "{}".to_owned(), format!("{{{usage} ,\"y\":1}}")];
        if rng.percent(60) {
            members.push(("stream_options", pick(&options, rng).clone()));
        }
    } else if rng.percent(30) {
        members.push(("stream", (*pick(&["false", "null"], rng)).to_owned()));
    }
    unknown(rng, &mut members);
    format!("{}{}{}", space(rng), object(members, rng), space(rng))
}

fn messages(rng: &mut Rng) -> String {
    let turn = |rng: &mut Rng| {
        let mut members = vec![("role", "\"user\"".to_owned()), ("content", value(rng, 2))];
        unknown(rng, &mut members);
        object(members, rng)
    };
    let turns: Vec<String> = (0..rng.below(4)).map(|_| turn(rng)).collect();
    format!("[{}{}]", turns.join(&format!("{},", space(rng))), space(rng))
}

// --- Answers --------------------------------------------------------------------------------

/// Counts, some of which are none.
fn usage(rng: &mut Rng) -> String {
    let number =
        |rng: &mut Rng| (*pick(&["7", "0", "1.5", "null", "99999999999999999999"], rng)).to_owned();
    let mut members = vec![("prompt_tokens", number(rng)), ("total_tokens", number(rng))];
    members.push(("completion_tokens", number(rng)));
    unknown(rng, &mut members);
    object(members, rng)
}

/// What a chunk and a whole answer have in common; `inside` is where the text stands.
fn answer(list: &'static str, inside: &'static str, rng: &mut Rng) -> String {
    let choices: Vec<String> = (0..rng.below(3))
        .map(|_| {
            let reason = *pick(&["null", "\"stop\"", "\"length\"", "\"odd\"", "7"], rng);
            let mut members = vec![("finish_reason", reason.to_owned())];
            members.push((inside, nested(rng, 2)));
            members.push(("index", (*pick(&["0", "1", "\"a\"", "1e3"], rng)).to_owned()));
            object(members, rng)
        })
        .collect();
    let mut members = vec![(list, format!("[{}]", choices.join(",")))];
    members.push(("id", format!("\"{}\"", text(rng))));
    if rng.percent(70) {
        members.push(("model", format!("\"{}\"", text(rng))));
    }
    if rng.percent(30) {
        members.push(("usage", if rng.percent(80) { usage(rng) } else { "null".to_owned() }));
    }
    if rng.percent(10) {
        members.push(("error", "null".to_owned()));
    }
    unknown(rng, &mut members);
    object(members, rng)
}

fn whole(path: &str, rng: &mut Rng) -> String {
    let list = if path == "/v1/embeddings" { "data" } else { "choices" };
    format!("{}{}{}", space(rng), answer(list, "message", rng), space(rng))
}

fn failure(rng: &mut Rng) -> String {
    let mut inside = vec![("message", format!("\"no {}\"", text(rng)))];
    inside.push(("type", "\"invalid_request_error\"".to_owned()));
    unknown(rng, &mut inside);
    let mut members = vec![("error", object(inside, rng))];
    unknown(rng, &mut members);
    format!("{}{}{}", space(rng), object(members, rng), space(rng))
}

/// A stream with its end.
fn events(rng: &mut Rng) -> Vec<u8> {
    let mut out = (*pick(&["", "", "", "\u{feff}"], rng)).to_owned();
    for _ in 0..rng.below(8) {
        let data = match rng.below(12) {
            0 => (*pick(&["7", "\"x\"", "null", "[]", "true"], rng)).to_owned(),
            1 => String::new(),
            _ => answer("choices", "delta", rng),
        };
        event(&data, rng, &mut out);
    }
    let done = *pick(&["data: [DONE]", "data:[DONE]", "data:  [DONE] "], rng);
    let behind =
        ["\n\n", "\r\n\r\n", "\r\r", "", "\n", "\n\n: bye\n\n", "\n\ndata: {\"late\":1}\n\n"];
    out += done;
    out += *pick(&behind, rng);
    out.into_bytes()
}

/// One event, with lines that say nothing and ends of every kind.
pub(super) fn event(data: &str, rng: &mut Rng, out: &mut String) {
    let end = *pick(&["\n", "\n", "\r\n", "\r"], rng);
    for _ in 0..rng.below(3) {
        let line =
            *pick(&[": note", "", "event: x", "id: 1", "retry: 3", "datax: {", "odd", ":"], rng);
        *out += line;
        *out += end;
    }
    // A line end inside of the data, where space may stand, makes a second line.
    let data = data.replace("\r\n", "\n");
    for line in data.split('\n') {
        *out += *pick(&["data: ", "data:"], rng);
        *out += line;
        *out += end;
    }
    *out += end;
}
