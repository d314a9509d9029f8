//! From a request to a response: what is refused at the top, and what the model does.

use serde_json::value::RawValue;

use super::super::super::fault::Fault;
use super::super::super::json::{Json, quote};
use super::super::super::problem;
use super::super::super::reply::{Asked, Reply};
use super::super::super::script::{self, Said};
use super::super::super::seal;
use super::super::super::tools::{self, Choice, History, Situation, Tool};
use super::super::check::{
    check_decimal, check_function_name, check_integer, check_model, check_output_schema,
    check_parameters, reasons,
};
use super::super::error::{invalid_value, refused, unreadable};
use super::history::review;
use super::request::{Format, Request};
use super::speech::{Item, Speech};

/// The answer.
pub(crate) fn answer(asked: &Asked<'_>) -> Result<Reply, Reply> {
    let request: Request<'_> =
        problem::read(asked.body).map_err(|problem| unreadable(&problem, false))?;
    let model = check_model(request.model.as_deref())?;
    let history = review(&request)?;
    check(&request, model)?;
    let speech = speak(asked, (&request, model), history);
    Ok(if request.stream == Some(true) { speech.events() } else { speech.whole() })
}

fn check(request: &Request<'_>, model: &str) -> Result<(), Reply> {
    if let Some(id) = request.previous_response_id.as_deref() {
        let message = format!("Previous response with id '{id}' not found.");
        return Err(refused(&message, "previous_response_id", "previous_response_not_found"));
    }
    check_decimal("temperature", request.temperature, (0.0, 2.0))?;
    check_decimal("top_p", request.top_p, (0.0, 1.0))?;
    check_integer("max_output_tokens", request.max_output_tokens, (16, u32::MAX))?;
    check_integer("top_logprobs", request.top_logprobs, (0, 20))?;
    let unsupported = |name: &str| {
        let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
        Err(refused(&message, name, "unsupported_parameter"))
    };
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort.as_deref());
    if let Some(effort) = effort {
        let levels = ["none", "minimal", "low", "medium", "high", "xhigh"];
        if !levels.contains(&effort) {
            return Err(invalid_value(effort, &levels, "reasoning.effort"));
        }
        if !reasons(model) {
            return unsupported("reasoning.effort");
        }
    }
    if reasons(model) && request.temperature.is_some() {
        return unsupported("temperature");
    }
    check_tools(request)?;
    let format = request.text.as_ref().and_then(|text| text.format.as_ref());
    format.map_or(Ok(()), check_format)
}

fn check_tools(request: &Request<'_>) -> Result<(), Reply> {
    for (index, tool) in request.tools.iter().flatten().enumerate() {
        let at = format!("tools[{index}]");
        let kind = tool.kind.as_deref().unwrap_or_default();
        if kind != "function" {
            return Err(invalid_value(kind, &["function"], &format!("{at}.type")));
        }
        let name = tool.name.as_deref().unwrap_or_default();
        check_function_name(name, &format!("{at}.name"))?;
        let schema = (tool.parameters.map(RawValue::get), tool.strict);
        check_parameters(name, schema, &format!("{at}.parameters"))?;
    }
    let choice = request.tool_choice.and_then(|raw| Json::parse(raw.get()));
    let Some(choice) = choice else { return Ok(()) };
    let offered =
        |name: &str| request.tools.iter().flatten().any(|tool| tool.name.as_deref() == Some(name));
    match (&choice, choice.member("type").and_then(Json::as_text)) {
        (Json::Plain("null"), _) => Ok(()),
        (Json::Text(mode), _) if matches!(mode.as_ref(), "none" | "auto" | "required") => Ok(()),
        (Json::Text(mode), _) => {
            Err(invalid_value(mode, &["none", "auto", "required"], "tool_choice"))
        }
        (_, Some("function")) => {
            let name = choice.member("name").and_then(Json::as_text).unwrap_or_default();
            if offered(name) {
                return Ok(());
            }
            let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
            Err(refused(&message, "tool_choice", "invalid_value"))
        }
        (_, Some("allowed_tools")) => Ok(()),
        (_, kind) => {
            let kinds = ["function", "allowed_tools"];
            Err(invalid_value(kind.unwrap_or_default(), &kinds, "tool_choice.type"))
        }
    }
}

fn check_format(format: &Format<'_>) -> Result<(), Reply> {
    match format.kind.as_deref().unwrap_or_default() {
        "text" | "json_object" => Ok(()),
        "json_schema" => {
            let name = format.name.as_deref().unwrap_or_default();
            check_function_name(name, "text.format.name")?;
            let schema = format.schema.map(RawValue::get);
            check_output_schema((name, schema, format.strict), "text.format.schema")
        }
        kind => {
            let kinds = ["json_object", "json_schema", "text"];
            Err(invalid_value(kind, &kinds, "text.format.type"))
        }
    }
}

fn speak(asked: &Asked<'_>, (request, model): (&Request<'_>, &str), history: History) -> Speech {
    let situation = situation(request, history);
    let mut turn = tools::turn(&situation, asked.options.tool_rounds, asked.options.tokens);
    let reasoning = request.reasoning.as_ref();
    let effort = reasoning.and_then(|reasoning| reasoning.effort.as_deref());
    let thinks = reasons(model) && effort != Some("none");
    let limit = request.max_output_tokens.unwrap_or(u32::MAX);
    let thoughts = if thinks { script::THOUGHT_TOKENS.min(limit) } else { 0 };
    let cut = turn.said.limit(limit - thoughts);
    if cut {
        turn.calls.clear();
    }
    let nonce = asked.nonce();
    let name = |prefix: &str, place: u64| seal::call_id(prefix, "item", "", nonce ^ (place << 56));
    let mut items = Vec::new();
    if thinks {
        let wanted =
            |include: &&std::borrow::Cow<'_, str>| *include == "reasoning.encrypted_content";
        let encrypted = request.include.iter().flatten().find(wanted);
        items.push(Item::Reasoning {
            id: name("rs_", 1),
            summary: reasoning.is_some_and(|reasoning| reasoning.summary.is_some()),
            encrypted: encrypted.map(|_| seal::opaque("reasoning", "", nonce)),
        });
    }
    if turn.said.count() > 0 {
        items.push(Item::Message { id: name("msg_", 2), said: turn.said });
    }
    for (call, place) in turn.calls.into_iter().zip(3u64..) {
        let canonical = tools::canonical(&call.arguments);
        let call_id = seal::call_id("call_", &call.name, &canonical, nonce ^ (place << 56));
        items.push(Item::Call { id: name("fc_", place), call_id, call });
    }
    Speech {
        head: head(asked, request, model),
        items,
        incomplete: cut.then_some("max_output_tokens"),
        prompt: script::tokens_of(asked.body.len()),
        thoughts,
    }
}

/// What a response repeats of its request.
fn head(asked: &Asked<'_>, request: &Request<'_>, model: &str) -> String {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    let text = |value: Option<&str>| or_null(value.map(quote));
    let reasoning = request.reasoning.as_ref();
    let tools = request.tools.iter().flatten().map(|tool| {
        format!(
            "{{\"type\":\"function\",\"name\":{},\"description\":{},\"parameters\":{},\"strict\":{}}}",
            text(tool.name.as_deref()),
            text(tool.description.as_deref()),
            tool.parameters.map_or("null", RawValue::get),
            tool.strict.unwrap_or(false)
        )
    });
    let tools: Vec<String> = tools.collect();
    let kind = request.text.as_ref().and_then(|text| text.format.as_ref());
    let format = match kind.filter(|format| format.kind.as_deref() == Some("json_schema")) {
        Some(format) => format!(
            "{{\"type\":\"json_schema\",\"name\":{},\"schema\":{},\"strict\":{}}}",
            text(format.name.as_deref()),
            format.schema.map_or("{}", RawValue::get),
            format.strict.unwrap_or(false)
        ),
        None => format!(
            "{{\"type\":{}}}",
            quote(kind.and_then(|k| k.kind.as_deref()).unwrap_or("text"))
        ),
    };
    format!(
        "\"id\":\"{}\",\"object\":\"response\",\"created_at\":{},\"background\":false,\"instructions\":{},\"max_output_tokens\":{},\"max_tool_calls\":null,\"metadata\":{},\"model\":{},\"parallel_tool_calls\":{},\"previous_response_id\":null,\"reasoning\":{{\"effort\":{},\"summary\":{}}},\"service_tier\":{},\"store\":{},\"temperature\":{:?},\"text\":{{\"format\":{format},\"verbosity\":\"medium\"}},\"tool_choice\":{},\"tools\":[{}],\"top_logprobs\":0,\"top_p\":{:?},\"truncation\":\"disabled\",\"user\":null",
        seal::call_id("resp_", "response", "", asked.nonce()),
        asked.now(),
        text(request.instructions.as_deref()),
        or_null(request.max_output_tokens.map(|limit| limit.to_string())),
        request.metadata.map_or("{}", RawValue::get),
        quote(model),
        request.parallel_tool_calls.unwrap_or(true),
        text(reasoning.and_then(|reasoning| reasoning.effort.as_deref())),
        text(reasoning.and_then(|reasoning| reasoning.summary.as_deref())),
        quote(request.service_tier.as_deref().filter(|tier| *tier != "auto").unwrap_or("default")),
        request.store.unwrap_or(true),
        request.temperature.unwrap_or(1.0),
        request.tool_choice.map_or("\"auto\"", RawValue::get),
        tools.join(","),
        request.top_p.unwrap_or(1.0)
    )
}

fn situation<'r>(request: &'r Request<'_>, history: History) -> Situation<'r> {
    let choice = request.tool_choice.and_then(|raw| Json::parse(raw.get()));
    let named = |tool: &Json<'_>| tool.member("name")?.as_text().map(str::to_owned);
    let kind = choice.as_ref().and_then(|choice| choice.member("type")?.as_text());
    let (mode, allowed): (_, Option<Vec<String>>) = match (&choice, kind) {
        (Some(Json::Text(mode)), _) if mode == "none" => (Choice::Never, None),
        (Some(Json::Text(mode)), _) if mode == "required" => (Choice::Must, None),
        (Some(choice), Some("function")) => {
            (Choice::Must, Some(named(choice).into_iter().collect()))
        }
        (Some(choice), Some("allowed_tools")) => {
            let tools = choice.member("tools").and_then(Json::as_list).unwrap_or_default();
            let must = choice.member("mode").and_then(Json::as_text) == Some("required");
            let mode = if must { Choice::Must } else { Choice::Auto };
            (mode, Some(tools.iter().filter_map(named).collect()))
        }
        _ => (Choice::Auto, None),
    };
    let tools = request.tools.iter().flatten().filter_map(|tool| {
        let name = tool.name.as_deref()?;
        let offered = allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|n| n == name));
        let schema = tool.parameters.map(RawValue::get);
        offered.then(|| Tool { name: name.to_owned(), schema })
    });
    let format = request.text.as_ref().and_then(|text| text.format.as_ref());
    let json = format.filter(|format| format.kind.as_deref() != Some("text"));
    Situation {
        tools: tools.collect(),
        choice: mode,
        one_call: request.parallel_tool_calls == Some(false),
        history,
        output: json.map(|format| format.schema.map_or("", RawValue::get)),
    }
}

/// A refusal in place of an answer, or a filter in the middle of one.
pub(crate) fn refusal(asked: &Asked<'_>, fault: Fault, streamed: bool) -> Option<Reply> {
    let id = seal::call_id("msg_", "refused", "", asked.nonce());
    let (item, incomplete) = match fault {
        Fault::Blocked => {
            let text = "I'm sorry, I can't assist with that.".to_owned();
            (Item::Refusal { id, text }, None)
        }
        Fault::Filtered => (Item::Message { id, said: Said::words(1) }, Some("content_filter")),
        _ => return None,
    };
    let request: Request<'_> = problem::read(asked.body).ok()?;
    let speech = Speech {
        head: head(asked, &request, request.model.as_deref().unwrap_or_default()),
        items: vec![item],
        incomplete,
        prompt: script::tokens_of(asked.body.len()),
        thoughts: 0,
    };
    Some(if streamed { speech.events() } else { speech.whole() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::{Value, json};

    use super::super::super::super::reply::Fields;
    use super::super::super::super::script::Options;
    use super::*;

    /// No two answers have the same.
    static SERIAL: AtomicU64 = AtomicU64::new(1);

    fn with_asked<T>(body: &Value, then: impl FnOnce(&Asked<'_>) -> T) -> T {
        let options = Options { tokens: 3, ..Options::default() };
        let text = body.to_string();
        then(&Asked {
            get: false,
            path: "/v1/responses",
            query: "",
            fields: Fields::default(),
            body: text.as_bytes(),
            options: &options,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            now_ms: 7_000,
        })
    }

    fn ask(body: &Value) -> (u16, String) {
        with_asked(body, |asked| answer(asked).unwrap_or_else(|reply| reply).shown())
    }

    fn served(body: &Value) -> Value {
        let (status, text) = ask(body);
        assert_eq!(status, 200, "{body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn events(text: &str) -> Vec<Value> {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    fn two_tools() -> Value {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        json!([
            {"type": "function", "name": "a", "parameters": schema},
            {"type": "function", "name": "b"},
        ])
    }

    #[test]
    fn a_response_says_what_was_asked() {
        let answer =
            served(&json!({"model": "gpt-4o", "input": "hi", "instructions": "Be brief."}));
        assert_eq!(answer["output"][0]["content"][0]["text"], "Hello from the");
        assert_eq!(
            (&answer["status"], &answer["instructions"]),
            (&"completed".into(), &"Be brief.".into())
        );
        assert_eq!(answer["usage"]["output_tokens"], 3);
        let format = json!({"format": {"type": "json_schema", "name": "x", "schema": {"properties": {"a": {"const": 1}}}}});
        let answer = served(&json!({"model": "gpt-4o", "input": "hi", "text": format}));
        assert_eq!(answer["output"][0]["content"][0]["text"], "{\"a\":1}");
    }

    #[test]
    fn events_build_the_response_that_is_given_whole() {
        let body = json!({"model": "gpt-5", "input": "hi", "tools": two_tools(), "stream": true, "reasoning": {"summary": "auto"}});
        let (_, text) = ask(&body);
        let all = events(&text);
        for (number, event) in all.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
        }
        let last = all.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        for (index, item) in last["response"]["output"].as_array().unwrap().iter().enumerate() {
            let mine = |event: &&Value| event["output_index"] == index;
            let joined = |kind: &str| -> String {
                let deltas = all.iter().filter(mine).filter(|event| event["type"] == kind);
                deltas.map(|event| event["delta"].as_str().unwrap().to_owned()).collect()
            };
            match item["type"].as_str().unwrap() {
                "reasoning" => assert_eq!(
                    joined("response.reasoning_summary_text.delta"),
                    item["summary"][0]["text"]
                ),
                "message" => {
                    assert_eq!(joined("response.output_text.delta"), item["content"][0]["text"]);
                }
                _ => {
                    assert_eq!(joined("response.function_call_arguments.delta"), item["arguments"]);
                }
            }
        }
        assert_eq!(last["response"]["output"].as_array().unwrap().len(), 4);
        assert_eq!(last["response"]["usage"]["output_tokens_details"]["reasoning_tokens"], 7);
    }

    #[test]
    fn a_loop_has_two_rounds_of_calls_and_a_summary() {
        for model in ["gpt-4o", "gpt-5"] {
            let mut input = vec![json!({"role": "user", "content": "go"})];
            for _ in 0..2 {
                let answer = served(
                    &json!({"model": model, "input": input, "tools": two_tools(), "store": false, "include": ["reasoning.encrypted_content"]}),
                );
                let output = answer["output"].as_array().unwrap().clone();
                input.extend(output.iter().cloned());
                let calls = output.iter().filter(|item| item["type"] == "function_call");
                let results = calls.map(|call| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}));
                input.extend(results);
            }
            let answer = served(&json!({"model": model, "input": input, "tools": two_tools()}));
            let last = answer["output"].as_array().unwrap().last().unwrap();
            let print = seal::fingerprint("sunny");
            let expected = format!(
                "I saw 4 tool results in 2 rounds: a={print}, b={print}, a={print}, b={print}. All arguments came back intact."
            );
            assert_eq!(last["content"][0]["text"], expected, "{model}");
        }
    }

    /// Requests, words of their refusal, and the parameter that it names.
    const WRONG: &str = r#"
{"model":"gpt-4o"} => Missing required parameter: 'input'. => input
{"model":"gpt-4o","input":[]} => empty array => input
{"model":"gpt-4o","input":"x","foo":1} => Unknown parameter: 'foo'. => foo
{"model":"gpt-4o","input":"x","messages":[]} => Unknown parameter: 'messages'. => messages
{"model":"gpt-4o","input":[{"role":"tool","content":"x"}]} => Supported values are => input[0].role
{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"text","text":"x"}]}]} => Invalid value: 'text' => input[0].content[0]
{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_text"}]}]} => Missing required => input[0].content[0].text
{"model":"gpt-4o","input":[{"role":"assistant","content":[{"type":"input_text","text":"x"}]}]} => 'output_text', and 'refusal' => input[0].content[0]
{"model":"gpt-4o","input":[{"type":"magic"}]} => Invalid value: 'magic' => input[0].type
{"model":"gpt-4o","input":[{"type":"message","role":"user","content":"x","name":"y"}]} => Unknown parameter => input[0].name
{"model":"gpt-4o","input":[{"type":"item_reference","id":"msg_1"}]} => Item with id 'msg_1' not found => input
{"model":"gpt-4o","input":[{"type":"function_call","call_id":"1","name":"a","arguments":"{}"}]} => No tool output found for function call 1. => input
{"model":"gpt-4o","input":[{"type":"function_call_output","call_id":"1","output":"x"}]} => No tool call found for function call output with call_id 1. => input
{"model":"gpt-4o","input":[{"type":"function_call","name":"a","arguments":"{}"}]} => Missing required => input[0].call_id
{"model":"gpt-5","input":[{"type":"reasoning","id":"rs_1","summary":[]}]} => Items are not persisted => input
{"model":"gpt-5","input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}]} => could not be verified => null
{"model":"gpt-4o","input":"x","previous_response_id":"resp_1"} => not found => previous_response_id
{"model":"gpt-4o","input":"x","max_output_tokens":1} => below minimum value. Expected a value >= 16 => max_output_tokens
{"model":"gpt-4o","input":"x","reasoning":{"effort":"low"}} => not supported with this model => reasoning.effort
{"model":"gpt-5","input":"x","temperature":0.5} => not supported with this model => temperature
{"model":"gpt-4o","input":"x","tools":[{"type":"function"}]} => Missing required => tools[0].name
{"model":"gpt-4o","input":"x","tools":[{"type":"web"}]} => Supported values are => tools[0].type
{"model":"gpt-4o","input":"x","tool_choice":{"type":"function","name":"a"}} => 'a' not found => tool_choice
{"model":"gpt-4o","input":"x","text":{"format":{"type":"json_schema","name":"x","strict":true,"schema":{"type":"object"}}}} => Invalid schema => text.format.schema
"#;

    #[test]
    fn what_is_wrong_is_told() {
        for line in WRONG.trim().lines() {
            let parts: Vec<&str> = line.split(" => ").collect();
            let (status, text) = ask(&serde_json::from_str(parts[0]).expect(line));
            let answer: Value = serde_json::from_str(&text).unwrap();
            let error = &answer["error"];
            assert_eq!(status, 400, "{line}");
            assert!(error["message"].as_str().unwrap().contains(parts[1]), "{line}: {error}");
            assert_eq!(error["param"].as_str().unwrap_or("null"), parts[2], "{line}");
        }
    }

    #[test]
    fn refusals_have_their_own_parts_and_events() {
        let body = json!({"model": "gpt-4o", "input": "hi"});
        let (_, text) =
            with_asked(&body, |asked| refusal(asked, Fault::Blocked, false).unwrap().shown());
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["output"][0]["content"][0]["type"], "refusal");
        let (_, text) =
            with_asked(&body, |asked| refusal(asked, Fault::Blocked, true).unwrap().shown());
        assert!(text.contains("event: response.refusal.delta"), "{text}");
        let (_, text) =
            with_asked(&body, |asked| refusal(asked, Fault::Filtered, true).unwrap().shown());
        let last = events(&text).pop().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], "content_filter");
    }
}
