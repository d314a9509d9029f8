//! The older `POST /v1/completions`: a prompt and what follows it.
//!
//! <https://platform.openai.com/docs/api-reference/completions/create>

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::json::{Json, quote};
use super::super::problem;
use super::super::reply::{Asked, Reply};
use super::super::script::{Said, tokens_of};
use super::super::seal;
use super::check::{check_decimal, check_integer, check_model};
use super::error::{missing, refused, unreadable};
use super::request::StreamOptions;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'r> {
    #[serde(borrow)]
    model: Option<Cow<'r, str>>,
    #[serde(borrow)]
    prompt: Option<&'r RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    best_of: Option<u32>,
    echo: Option<bool>,
    #[serde(borrow)]
    stop: Option<&'r RawValue>,
    logprobs: Option<u32>,
    #[serde(rename = "suffix")]
    _suffix: Option<IgnoredAny>,
    #[serde(rename = "seed")]
    _seed: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    #[serde(rename = "logit_bias")]
    _logit_bias: Option<IgnoredAny>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

/// The answer.
pub(super) fn answer(asked: &Asked<'_>) -> Result<Reply, Reply> {
    let request: Request<'_> =
        problem::read(asked.body).map_err(|problem| unreadable(&problem, true))?;
    let model = check_model(request.model.as_deref())?;
    let raw = request.prompt.ok_or_else(|| missing("prompt"))?;
    let prompts = prompts(&Json::parse(raw.get()).unwrap_or(Json::Plain("null")))?;
    check(&request)?;
    let n = request.n.unwrap_or(1);
    // What a request without a limit gets.
    let limit = request.max_tokens.unwrap_or(16);
    let mut said = Said::words(asked.options.tokens);
    let stop = request.stop.and_then(|raw| Json::parse(raw.get()));
    let stops: Vec<&str> = match &stop {
        Some(Json::Text(text)) => vec![text],
        Some(Json::List(texts)) => texts.iter().filter_map(Json::as_text).collect(),
        _ => Vec::new(),
    };
    said.stop_at(&stops);
    let finish = if said.limit(limit) { "length" } else { "stop" };
    let mut choices: Vec<&str> = Vec::new();
    for prompt in &prompts {
        choices.extend(std::iter::repeat_n(prompt.as_str(), usize::try_from(n).unwrap_or(1)));
    }
    let count = u32::try_from(choices.len()).unwrap_or(1);
    let prompt: u32 = prompts.iter().map(|prompt| tokens_of(prompt.len())).sum();
    let completion = said.count().saturating_mul(count);
    let usage = format!(
        "\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{}}}",
        prompt.saturating_add(completion)
    );
    let head = format!(
        "\"id\":\"cmpl-{}\",\"object\":\"text_completion\",\"created\":{},\"model\":{},\"system_fingerprint\":\"fp_sim\"",
        seal::call_id("", "completion", "", asked.nonce()),
        asked.now(),
        quote(model)
    );
    let text = Text { head, usage, said, finish, echo: request.echo == Some(true), choices };
    if request.stream == Some(true) {
        let wanted = request.stream_options.and_then(|options| options.include_usage);
        return Ok(text.stream(wanted == Some(true)));
    }
    Ok(text.whole())
}

fn check(request: &Request<'_>) -> Result<(), Reply> {
    check_decimal("temperature", request.temperature, (0.0, 2.0))?;
    check_decimal("top_p", request.top_p, (0.0, 1.0))?;
    check_decimal("presence_penalty", request.presence_penalty, (-2.0, 2.0))?;
    check_decimal("frequency_penalty", request.frequency_penalty, (-2.0, 2.0))?;
    check_integer("n", request.n, (1, 128))?;
    check_integer("logprobs", request.logprobs, (0, 5))?;
    if request.best_of.is_some_and(|best| best < request.n.unwrap_or(1)) {
        let message = "'best_of' must be greater than or equal to 'n'.";
        return Err(refused(message, "best_of", "invalid_value"));
    }
    Ok(())
}

/// A prompt, or several; lists of tokens are taken as they are written.
fn prompts(prompt: &Json<'_>) -> Result<Vec<String>, Reply> {
    let one = |prompt: &Json<'_>| match prompt {
        Json::Text(text) => Some(text.to_string()),
        Json::List(tokens) if tokens.iter().all(|token| token.as_number().is_some()) => {
            Some(prompt.compact())
        }
        _ => None,
    };
    let all = match prompt {
        Json::List(list) if list.iter().any(|item| item.as_number().is_none()) => {
            list.iter().map(one).collect()
        }
        other => one(other).map(|prompt| vec![prompt]),
    };
    all.filter(|all| !all.is_empty()).ok_or_else(|| {
        let message = "Invalid type for 'prompt': expected a string, an array of strings, or \
                       arrays of tokens.";
        refused(message, "prompt", "invalid_type")
    })
}

struct Text<'p> {
    head: String,
    usage: String,
    said: Said,
    finish: &'static str,
    /// The prompt stands before its completion.
    echo: bool,
    /// The prompt of every choice.
    choices: Vec<&'p str>,
}

impl Text<'_> {
    fn whole(&self) -> Reply {
        let choices = self.choices.iter().enumerate().map(|(index, prompt)| {
            let before = if self.echo { prompt } else { "" };
            let text = quote(&format!("{before}{}", self.said.whole()));
            choice(&text, index, &format!("\"{}\"", self.finish))
        });
        let choices: Vec<String> = choices.collect();
        let body = format!("{{{},\"choices\":[{}],{}}}", self.head, choices.join(","), self.usage);
        Reply::json(200, body).typed("application/json")
    }

    fn stream(&self, usage: bool) -> Reply {
        let null = if usage { ",\"usage\":null" } else { "" };
        let mut chunks = Vec::new();
        for (index, prompt) in self.choices.iter().enumerate() {
            if self.echo {
                chunks.push(choice(&quote(prompt), index, "null"));
            }
            let tokens = 0..self.said.count();
            chunks
                .extend(tokens.map(|token| choice(&quote(self.said.token(token)), index, "null")));
            chunks.push(choice("\"\"", index, &format!("\"{}\"", self.finish)));
        }
        let mut events: Vec<Vec<u8>> = chunks
            .iter()
            .map(|chunk| format!("data: {{{},\"choices\":[{chunk}]{null}}}\n\n", self.head))
            .map(String::into_bytes)
            .collect();
        if usage {
            let last = format!("data: {{{},\"choices\":[],{}}}\n\n", self.head, self.usage);
            events.push(last.into_bytes());
        }
        events.push(b"data: [DONE]\n\n".to_vec());
        Reply::events(events).typed("text/event-stream; charset=utf-8")
    }
}

fn choice(text: &str, index: usize, finish: &str) -> String {
    format!("{{\"text\":{text},\"index\":{index},\"logprobs\":null,\"finish_reason\":{finish}}}")
}

#[cfg(test)]
mod tests {
    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    fn ask(body: &str) -> (u16, String) {
        let options = Options { tokens: 3, ..Options::default() };
        let asked = Asked {
            get: false,
            path: "/v1/completions",
            query: "",
            fields: Fields::default(),
            body: body.as_bytes(),
            options: &options,
            serial: 1,
            now_ms: 0,
        };
        answer(&asked).unwrap_or_else(|reply| reply).shown()
    }

    #[test]
    fn prompts_are_completed() {
        let (_, text) = ask(r#"{"model":"x","prompt":["a","b"],"n":2,"echo":true,"max_tokens":2}"#);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["choices"][3]["text"], "bHello from");
        assert_eq!(answer["choices"][3]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 8);
        let (_, text) = ask(
            r#"{"model":"x","prompt":"a","stream":true,"stream_options":{"include_usage":true}}"#,
        );
        assert_eq!(text.matches("data: {").count(), 5);
        assert!(
            text.contains("\"choices\":[],\"usage\":{") && text.ends_with("[DONE]\n\n"),
            "{text}"
        );
        assert_eq!(ask(r#"{"model":"x","prompt":[1,2]}"#).0, 200);
        for (body, words) in [
            (r#"{"model":"x"}"#, "'prompt'"),
            (r#"{"model":"x","prompt":5}"#, "Invalid type for 'prompt'"),
            (r#"{"model":"x","prompt":"a","n":2,"best_of":1}"#, "best_of"),
            (r#"{"model":"x","prompt":"a","messages":[]}"#, "supplied: messages"),
        ] {
            let (status, text) = ask(body);
            assert!(status == 400 && text.contains(words), "{text}");
        }
    }
}
