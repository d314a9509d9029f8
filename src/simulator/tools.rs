//! The scripted model: when it calls tools, which, with what, and what it says afterwards.
//!
//! One script for all dialects, so that the same conversation through any of them has the same
//! course: as long as there were fewer rounds of calls since the user's last text than
//! [`super::script::Options::tool_rounds`], it calls the first two tools at once; then it says
//! what it saw.

use super::json::Json;
use super::sample::sample;
use super::script::Said;
use super::seal;

/// A tool that may be called.
#[derive(Clone, Debug)]
pub(super) struct Tool<'r> {
    pub(super) name: String,
    /// JSON text of the schema of its arguments.
    pub(super) schema: Option<&'r str>,
}

/// How much the caller leaves to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    #[default]
    Auto,
    Never,
    Must,
}

/// What has happened since the user's last text.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// Answered turns of calls.
    pub(super) rounds: u32,
    /// Name and fingerprint of every result, in the order of their coming.
    pub(super) results: Vec<(String, String)>,
    /// Calls whose arguments came back otherwise than they were made.
    pub(super) changed: Vec<String>,
}

/// What a request asks of the model.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation<'r> {
    /// Those that may be called now, in the order offered.
    pub(super) tools: Vec<Tool<'r>>,
    pub(super) choice: Choice,
    /// Only one call in a turn.
    pub(super) one_call: bool,
    pub(super) history: History,
    /// The answer must be JSON: of this schema, or any object when the text is empty.
    pub(super) output: Option<&'r str>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// JSON text of an object.
    pub(super) arguments: String,
}

/// The model's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) said: Said,
    pub(super) calls: Vec<Call>,
}

/// The next turn; a plain answer has so many `words`.
pub(super) fn turn(situation: &Situation<'_>, tool_rounds: u32, words: u32) -> Turn {
    let Situation { tools, choice, history, .. } = situation;
    let wanted = match choice {
        Choice::Never => false,
        Choice::Must => true,
        Choice::Auto => history.rounds < tool_rounds,
    };
    if wanted && !tools.is_empty() {
        let count = if situation.one_call { 1 } else { 2 };
        let calls = tools.iter().take(count).map(|tool| call(tool, history.rounds)).collect();
        // Some models talk before they call, some turns have nothing but calls.
        let said = if history.rounds.is_multiple_of(2) {
            Said::text("Let me look that up.")
        } else {
            Said::words(0)
        };
        return Turn { said, calls };
    }
    let said = match situation.output {
        Some("") => Said::text("{\"answer\":\"Hello from the simulator\"}"),
        Some(schema) => Said::text(&structured(schema)),
        None if history.results.is_empty() => Said::words(words),
        None => Said::text(&summary(history)),
    };
    Turn { said, calls: Vec::new() }
}

fn call(tool: &Tool<'_>, round: u32) -> Call {
    let arguments = tool.schema.map_or_else(|| "{}".to_owned(), |schema| made(schema, round));
    Call { name: tool.name.clone(), arguments }
}

/// Arguments are an object, whatever a schema says.
fn made(schema: &str, round: u32) -> String {
    let text = Json::parse(schema).map(|schema| sample(&schema, round));
    text.filter(|text| text.starts_with('{')).unwrap_or_else(|| "{}".to_owned())
}

fn structured(schema: &str) -> String {
    Json::parse(schema).map_or_else(|| "{}".to_owned(), |schema| sample(&schema, 0))
}

/// `I saw 2 tool results in 1 round: weather=1a2b3c4d, time=…. All arguments came back intact.`
fn summary(history: &History) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let results: Vec<String> =
        history.results.iter().map(|(name, print)| format!("{name}={print}")).collect();
    let arguments = if history.changed.is_empty() {
        "All arguments came back intact.".to_owned()
    } else {
        format!("Changed arguments: {}.", history.changed.join(", "))
    };
    format!(
        "I saw {} tool result{} in {} round{}: {}. {arguments}",
        results.len(),
        plural(results.len()),
        history.rounds,
        if history.rounds == 1 { "" } else { "s" },
        results.join(", ")
    )
}

/// The fingerprint of a result: of the text, or of the value's canonical form when the text is
/// JSON. `{"output": x}` is `x`, because that is how a text becomes Gemini's object.
pub(super) fn fingerprint_of(result: &str) -> String {
    seal::fingerprint(&plain(result))
}

fn plain(result: &str) -> String {
    let Some(json) = Json::parse(result) else { return result.to_owned() };
    let inner = match json.as_map() {
        Some([(name, value)]) if name == "output" => value,
        _ => &json,
    };
    // A text inside is shorter than the text around it.
    inner.as_text().map_or_else(|| inner.canonical(), plain)
}

/// The canonical form of arguments, for marks.
pub(super) fn canonical(arguments: &str) -> String {
    Json::parse(arguments).map_or_else(|| arguments.to_owned(), |json| json.canonical())
}

/// `text` in pieces of about `size` bytes, none of which ends inside a letter.
pub(super) fn pieces(text: &str, size: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (size..rest.len()).find(|at| rest.is_char_boundary(*at));
        let (piece, more) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
        pieces.push(piece.to_owned());
        rest = more;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Tool<'static> {
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;
        Tool { name: name.to_owned(), schema: Some(schema) }
    }

    #[test]
    fn two_rounds_of_two_calls_and_then_words() {
        let mut situation =
            Situation { tools: vec![tool("a"), tool("b"), tool("c")], ..Situation::default() };
        let first = turn(&situation, 2, 9);
        let names: Vec<&str> = first.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!((names.as_slice(), first.said.count() > 0), (["a", "b"].as_slice(), true));
        situation.history.rounds = 1;
        let second = turn(&situation, 2, 9);
        assert_eq!((second.calls.len(), second.said.count()), (2, 0));
        assert_ne!(first.calls, second.calls, "rounds differ");
        situation.history.rounds = 2;
        situation.history.results = vec![("a".to_owned(), "0011".to_owned())];
        let last = turn(&situation, 2, 9).said.whole();
        let expected = "I saw 1 tool result in 2 rounds: a=0011. All arguments came back intact.";
        assert_eq!(last, expected);
        situation.history.changed.push("a".to_owned());
        assert!(turn(&situation, 2, 9).said.whole().ends_with("Changed arguments: a."));
    }

    #[test]
    fn the_choice_decides() {
        let tools = vec![tool("a"), tool("b")];
        let situation = |choice, one_call, rounds| Situation {
            tools: tools.clone(),
            choice,
            one_call,
            history: History { rounds, ..History::default() },
            output: None,
        };
        let calls = |situation| turn(&situation, 2, 9).calls.len();
        assert_eq!(calls(situation(Choice::Never, false, 0)), 0);
        assert_eq!(calls(situation(Choice::Must, false, 9)), 2);
        assert_eq!(calls(situation(Choice::Auto, true, 0)), 1);
        assert_eq!(calls(situation(Choice::Auto, false, 2)), 0);
        assert_eq!(turn(&Situation::default(), 2, 4).said.count(), 4);
        let bare = Tool { name: "x".to_owned(), schema: None };
        let odd = Tool { name: "y".to_owned(), schema: Some(r#"{"type":"string"}"#) };
        for tool in [bare, odd] {
            assert_eq!(call(&tool, 0).arguments, "{}");
        }
    }

    #[test]
    fn pieces_make_up_the_whole() {
        let text = "aé\u{1f642}bcdefg";
        for size in 1..12 {
            let parts = pieces(text, size);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| !part.is_empty()), "{parts:?}");
        }
        assert!(pieces("", 3).is_empty());
    }

    #[test]
    fn structured_answers_satisfy_their_schema() {
        let answer = |output| {
            let situation = Situation { output: Some(output), ..Situation::default() };
            turn(&situation, 2, 4).said.whole()
        };
        assert_eq!(answer(r#"{"properties":{"a":{"const":1}}}"#), r#"{"a":1}"#);
        assert!(answer("").starts_with("{\"answer\""));
        assert_eq!(answer("broken"), "{}");
    }

    #[test]
    fn a_result_has_one_fingerprint_in_every_dialect() {
        let plain = fingerprint_of("sunny");
        assert_eq!(plain, seal::fingerprint("sunny"));
        assert_eq!(fingerprint_of(r#"{"output": "sunny"}"#), plain);
        let object = fingerprint_of(r#"{"b": 1.50, "a": [true]}"#);
        assert_eq!(object, seal::fingerprint(r#"{"a":[true],"b":1.50}"#));
        assert_eq!(fingerprint_of(r#"{"output":{"a":[true],"b":1.50}}"#), object);
        let list = r#"{"output": [1, 2]}"#;
        assert_eq!(fingerprint_of(list), fingerprint_of("[1,2]"));
        assert_eq!(fingerprint_of(r#"{"output": "\"x\""}"#), fingerprint_of(r#""x""#));
        assert_eq!(canonical(r#"{"b":1, "a":2}"#), r#"{"a":2,"b":1}"#);
        assert_eq!(canonical("{"), "{");
    }
}
