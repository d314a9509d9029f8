//! Answers of `POST /v1/chat/completions`, whole and as chunks.
//!
//! <https://platform.openai.com/docs/api-reference/chat/streaming>

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{Json, put, quote};
use super::super::reply::{Asked, Reply};
use super::super::script::{self, Said};
use super::super::seal;
use super::super::tools::{self, Choice, History, Situation, Tool, Turn};
use super::check::{name_of, reasons};
use super::request::Request;

/// Bytes of one piece of a call's arguments.
const PIECE: usize = 7;

/// The answer to a request that was found right.
pub(super) fn say(
    asked: &Asked<'_>,
    (request, model): (&Request<'_>, &str),
    history: History,
) -> Reply {
    let speech = Speech::new(asked, (request, model), history);
    if request.stream == Some(true) {
        let usage = request.stream_options.and_then(|options| options.include_usage) == Some(true);
        let events = speech.chunks(usage).into_iter();
        let data = events.map(|chunk| format!("data: {chunk}\n\n").into_bytes());
        return Reply::events(data.chain([b"data: [DONE]\n\n".to_vec()]).collect())
            .typed("text/event-stream; charset=utf-8");
    }
    Reply::json(200, speech.whole()).typed("application/json")
}

struct Speech<'s> {
    model: &'s str,
    id: String,
    created: u64,
    prompt: u32,
    choices: u32,
    turn: Turn,
    /// One per call.
    ids: Vec<String>,
    finish: &'static str,
    thoughts: u32,
    tier: &'static str,
    /// Alternatives for every token.
    logprobs: Option<u32>,
}

impl<'s> Speech<'s> {
    fn new(
        asked: &Asked<'_>,
        (request, model): (&'s Request<'_>, &'s str),
        history: History,
    ) -> Self {
        let situation = situation(request, history);
        let mut turn = tools::turn(&situation, asked.options.tool_rounds, asked.options.tokens);
        let effort = request.reasoning_effort.as_deref();
        let limit = request.max_completion_tokens.or(request.max_tokens).unwrap_or(u32::MAX);
        let thinks = reasons(model) && effort != Some("none");
        let thoughts = if thinks { script::THOUGHT_TOKENS.min(limit) } else { 0 };
        let stop = request.stop.and_then(|raw| Json::parse(raw.get()));
        let stops: Vec<&str> = match &stop {
            Some(Json::Text(text)) => vec![text],
            Some(Json::List(texts)) => texts.iter().filter_map(Json::as_text).collect(),
            _ => Vec::new(),
        };
        turn.said.stop_at(&stops);
        let cut = turn.said.limit(limit.saturating_sub(thoughts));
        if cut {
            turn.calls.clear();
        }
        let nonce = asked.nonce();
        let ids = turn.calls.iter().zip(0u64..).map(|(call, place)| {
            let canonical = tools::canonical(&call.arguments);
            seal::call_id("call_", &call.name, &canonical, nonce ^ (place << 60))
        });
        Self {
            model,
            id: format!("chatcmpl-{}", seal::call_id("", "completion", "", nonce)),
            created: asked.now(),
            prompt: script::tokens_of(asked.body.len()),
            choices: request.n.unwrap_or(1),
            ids: ids.collect(),
            finish: match (cut, turn.calls.is_empty()) {
                (true, _) => "length",
                (false, true) => "stop",
                (false, false) => "tool_calls",
            },
            turn,
            thoughts,
            tier: match request.service_tier.as_deref() {
                Some("flex") => "flex",
                Some("priority") => "priority",
                _ => "default",
            },
            logprobs: (request.logprobs == Some(true)).then(|| request.top_logprobs.unwrap_or(0)),
        }
    }

    fn said(&self) -> &Said {
        &self.turn.said
    }

    fn head(&self, object: &str) -> String {
        format!(
            "\"id\":\"{}\",\"object\":\"{object}\",\"created\":{},\"model\":{},\"service_tier\":\"{}\",\"system_fingerprint\":\"fp_sim\"",
            self.id,
            self.created,
            quote(self.model),
            self.tier
        )
    }

    fn usage(&self) -> String {
        let calls = self.turn.calls.iter();
        let calls: usize = calls.map(|call| call.name.len() + call.arguments.len()).sum();
        let spoken = (self.said().count() + script::tokens_of(calls)) * self.choices;
        let completion = spoken + self.thoughts;
        format!(
            "\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{completion},\"total_tokens\":{},\"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}},\"completion_tokens_details\":{{\"reasoning_tokens\":{},\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}",
            self.prompt,
            self.prompt + completion,
            self.thoughts
        )
    }

    fn whole(&self) -> String {
        let mut out = format!("{{{},\"choices\":[", self.head("chat.completion"));
        for choice in 0..self.choices {
            let silent = self.said().count() == 0 && !self.turn.calls.is_empty();
            let content = if silent { "null".to_owned() } else { quote(&self.said().whole()) };
            put!(
                &mut out,
                "{}{{\"index\":{choice},\"message\":{{\"role\":\"assistant\",\"content\":{content},",
                if choice > 0 { "," } else { "" }
            );
            let calls = self.turn.calls.iter().zip(&self.ids);
            let calls = calls.map(|(call, id)| {
                format!(
                    "{{\"id\":\"{id}\",\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":{}}}}}",
                    quote(&call.name),
                    quote(&call.arguments)
                )
            });
            let calls: Vec<String> = calls.collect();
            if !calls.is_empty() {
                put!(&mut out, "\"tool_calls\":[{}],", calls.join(","));
            }
            let tokens = 0..self.said().count();
            put!(
                &mut out,
                "\"refusal\":null,\"annotations\":[]}},\"logprobs\":{},\"finish_reason\":\"{}\"}}",
                self.logprobs_of(tokens),
                self.finish
            );
        }
        put!(&mut out, "],{}}}", self.usage());
        out
    }

    fn chunks(&self, usage: bool) -> Vec<String> {
        let head = self.head("chat.completion.chunk");
        let null = if usage { ",\"usage\":null" } else { "" };
        let chunk = |choice: u32, delta: &str, logprobs: &str, finish: &str| {
            format!(
                "{{{head},\"choices\":[{{\"index\":{choice},\"delta\":{delta},\"logprobs\":{logprobs},\"finish_reason\":{finish}}}]{null}}}"
            )
        };
        let all = 0..self.choices;
        let silent = self.said().count() == 0 && !self.turn.calls.is_empty();
        let first = if silent {
            "{\"role\":\"assistant\",\"content\":null}"
        } else {
            "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"
        };
        let mut chunks: Vec<String> =
            all.clone().map(|choice| chunk(choice, first, "null", "null")).collect();
        for index in 0..self.said().count() {
            let delta = format!("{{\"content\":{}}}", quote(self.said().token(index)));
            let logprobs = self.logprobs_of(index..index + 1);
            chunks.extend(all.clone().map(|choice| chunk(choice, &delta, &logprobs, "null")));
        }
        for delta in self.call_deltas() {
            chunks.extend(all.clone().map(|choice| chunk(choice, &delta, "null", "null")));
        }
        let finish = format!("\"{}\"", self.finish);
        chunks.extend(all.map(|choice| chunk(choice, "{}", "null", &finish)));
        if usage {
            chunks.push(format!("{{{head},\"choices\":[],{}}}", self.usage()));
        }
        chunks
    }

    /// Each call begins with its name; its arguments follow in pieces.
    fn call_deltas(&self) -> Vec<String> {
        let mut deltas = Vec::new();
        for ((call, id), index) in self.turn.calls.iter().zip(&self.ids).zip(0u32..) {
            deltas.push(format!(
                "{{\"tool_calls\":[{{\"index\":{index},\"id\":\"{id}\",\"type\":\"function\",\"function\":{{\"name\":{},\"arguments\":\"\"}}}}]}}",
                quote(&call.name)
            ));
            deltas.extend(tools::pieces(&call.arguments, PIECE).iter().map(|piece| {
                format!(
                    "{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{}}}}}]}}",
                    quote(piece)
                )
            }));
        }
        deltas
    }

    fn logprobs_of(&self, tokens: std::ops::Range<u32>) -> Cow<'static, str> {
        let Some(alternatives) = self.logprobs else { return Cow::Borrowed("null") };
        let one = |token: &str, rank: u32| {
            format!(
                "\"token\":{},\"logprob\":{},\"bytes\":{:?}",
                quote(token),
                f64::from(rank) * -2.5 - 0.125,
                token.as_bytes()
            )
        };
        let entry = |index| {
            let token = self.said().token(index);
            let top = (0..alternatives).map(|rank| {
                let other = format!("alt{rank}");
                format!("{{{}}}", one(if rank == 0 { token } else { &other }, rank))
            });
            let top: Vec<String> = top.collect();
            format!("{{{},\"top_logprobs\":[{}]}}", one(token, 0), top.join(","))
        };
        let entries: Vec<String> = tokens.map(entry).collect();
        Cow::Owned(format!("{{\"content\":[{}],\"refusal\":null}}", entries.join(",")))
    }
}

fn situation<'r>(request: &'r Request<'_>, history: History) -> Situation<'r> {
    let choice = request.tool_choice.and_then(|raw| Json::parse(raw.get()));
    let (choice, allowed) = choice.as_ref().map(chosen).unwrap_or_default();
    let tools = request.tools.iter().flatten().filter_map(|tool| {
        let name = name_of(tool)?;
        let offered = allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|n| n == name));
        let schema = tool.function.as_ref().and_then(|function| function.parameters);
        offered.then(|| Tool { name: name.to_owned(), schema: schema.map(RawValue::get) })
    });
    let format = request.response_format.as_ref();
    let schema = format.and_then(|format| format.json_schema.as_ref()?.schema);
    let json = format.is_some_and(|format| format.kind.as_deref() != Some("text"));
    Situation {
        tools: tools.collect(),
        choice,
        one_call: request.parallel_tool_calls == Some(false),
        history,
        output: json.then(|| schema.map_or("", RawValue::get)),
    }
}

/// What a `tool_choice` leaves to the model, and to which tools it narrows the choice.
fn chosen(choice: &Json<'_>) -> (Choice, Option<Vec<String>>) {
    let name =
        |tool: &Json<'_>| Some(tool.member("function")?.member("name")?.as_text()?.to_owned());
    match (choice.as_text(), choice.member("type").and_then(Json::as_text)) {
        (Some("none"), _) => (Choice::Never, None),
        (Some("required"), _) => (Choice::Must, None),
        (_, Some("function")) => (Choice::Must, Some(name(choice).into_iter().collect())),
        (_, Some("allowed_tools")) => {
            let allowed = choice.member("allowed_tools");
            let mode = allowed.and_then(|allowed| allowed.member("mode")?.as_text());
            let tools = allowed.and_then(|allowed| allowed.member("tools")?.as_list());
            let names = tools.unwrap_or_default().iter().filter_map(name).collect();
            let choice = if mode == Some("required") { Choice::Must } else { Choice::Auto };
            (choice, Some(names))
        }
        _ => (Choice::Auto, None),
    }
}
