//! Who is let in to OpenAI's endpoints, and which of them answers.

use super::super::json::quote;
use super::super::problem;
use super::super::reply::{Asked, Reply};
use super::super::seal;
use super::answer::say;
use super::check::{check, check_model};
use super::error::{Label, error, unreadable};
use super::history::review;
use super::request::Request;
use super::{completions, embed, responses};

/// The answer of OpenAI's API.
pub(crate) fn answer(asked: &Asked<'_>) -> Reply {
    finish(asked, respond(asked).unwrap_or_else(|reply| reply))
}

fn respond(asked: &Asked<'_>) -> Result<Reply, Reply> {
    check_caller(asked)?;
    match (asked.get, asked.path) {
        (false, "/v1/chat/completions") => {
            let request: Request<'_> =
                problem::read(asked.body).map_err(|problem| unreadable(&problem, true))?;
            let model = check_model(request.model.as_deref())?;
            let history = review(&request)?;
            check(&request, model)?;
            Ok(say(asked, (&request, model), history))
        }
        (false, "/v1/responses") => responses::answer(asked),
        (false, "/v1/embeddings") => embed::answer(asked),
        (false, "/v1/completions") => completions::answer(asked),
        (true, "/v1/models") => {
            let entries: Vec<String> = MODELS.iter().map(|id| entry(id)).collect();
            let body = format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(","));
            Ok(Reply::json(200, body).typed("application/json"))
        }
        (true, path) if path.starts_with("/v1/models/") => {
            let name = path.trim_start_matches("/v1/models/");
            check_model(Some(name))?;
            Ok(Reply::json(200, entry(name)).typed("application/json"))
        }
        (get, path) => {
            let method = if get { "GET" } else { "POST" };
            let message = format!("Invalid URL ({method} {path})");
            Err(error(404, &message, Label::default()))
        }
    }
}

const MODELS: [&str; 6] = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-5",
    "o4-mini",
    "text-embedding-3-large",
    "text-embedding-3-small",
];

fn entry(id: &str) -> String {
    format!(
        "{{\"id\":{},\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"system\"}}",
        quote(id)
    )
}

fn check_caller(asked: &Asked<'_>) -> Result<(), Reply> {
    match asked.fields.bearer() {
        None | Some("") => {
            let message = "You didn't provide an API key. You need to provide your API key in an \
                           Authorization header using Bearer auth (i.e. Authorization: Bearer \
                           YOUR_KEY), or as the password field (with blank username) if you're \
                           accessing the API from your browser and are prompted for a username \
                           and password. You can obtain an API key from \
                           https://platform.openai.com/account/api-keys.";
            Err(error(401, message, Label::default()))
        }
        Some(key) if key.starts_with("invalid") => Err(wrong_key()),
        Some(_) => Ok(()),
    }
}

/// The vendor repeats the ends of the key.
pub(super) fn wrong_key() -> Reply {
    let message = "Incorrect API key provided: invalid**********key. You can find your API key at \
                   https://platform.openai.com/account/api-keys.";
    error(401, message, Label { code: "invalid_api_key", ..Label::default() })
}

/// The fields that every answer has.
pub(super) fn finish(asked: &Asked<'_>, reply: Reply) -> Reply {
    let id = seal::call_id("req_", "request", "", asked.nonce());
    let limits = if reply.is_good() {
        "x-ratelimit-limit-requests: 10000\r\n\
         x-ratelimit-remaining-requests: 9999\r\n\
         x-ratelimit-reset-requests: 6ms\r\n\
         x-ratelimit-limit-tokens: 30000000\r\n\
         x-ratelimit-remaining-tokens: 29999990\r\n\
         x-ratelimit-reset-tokens: 0s\r\n"
    } else {
        ""
    };
    reply.with(&format!(
        "x-request-id: {id}\r\n\
         openai-processing-ms: 12\r\n\
         openai-version: 2020-10-01\r\n\
         openai-organization: simulated\r\n{limits}"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::{Value, json};

    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    /// No two answers have the same.
    static SERIAL: AtomicU64 = AtomicU64::new(1);

    fn ask_as(key: Option<&[u8]>, get: bool, path: &str, body: &str) -> Reply {
        let options = Options { tokens: 3, ..Options::default() };
        let asked = Asked {
            get,
            path,
            query: "",
            fields: Fields { authorization: key, ..Fields::default() },
            body: body.as_bytes(),
            options: &options,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            now_ms: 7_000,
        };
        answer(&asked)
    }

    fn ask(body: &Value) -> (u16, String) {
        ask_as(Some(b"Bearer k"), false, "/v1/chat/completions", &body.to_string()).shown()
    }

    fn with(fields: &Value) -> Value {
        let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    fn served(body: &Value) -> Value {
        let (status, text) = ask(body);
        assert_eq!(status, 200, "{body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn chunks(body: &Value) -> Vec<Value> {
        let (status, text) = ask(body);
        assert!(status == 200 && text.ends_with("data: [DONE]\n\n"), "{text}");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    fn two_tools() -> Value {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        json!([
            {"type": "function", "function": {"name": "a", "parameters": schema}},
            {"type": "function", "function": {"name": "b"}},
        ])
    }

    #[test]
    fn whole_answers_and_chunks() {
        let answer = served(&with(&json!({"max_tokens": 2, "n": 2})));
        assert_eq!(answer["choices"][1]["message"]["content"], "Hello from");
        assert_eq!(answer["choices"][1]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 4);
        let stream = json!({"stream": true, "stream_options": {"include_usage": true}, "logprobs": true, "top_logprobs": 2});
        let all = chunks(&with(&stream));
        assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(
            all[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert_eq!(all[all.len() - 2]["choices"][0]["finish_reason"], "stop");
        assert_eq!(all[all.len() - 1]["usage"]["completion_tokens"], 3);
        assert!(all[0].get("usage").is_some_and(Value::is_null));
        assert!(chunks(&with(&json!({"stream": true})))[0].get("usage").is_none());
        let reasoned = served(&with(&json!({"model": "o4-mini", "reasoning_effort": "low"})));
        assert_eq!(reasoned["usage"]["completion_tokens_details"]["reasoning_tokens"], 7);
        assert_eq!(
            served(&with(&json!({"stop": "from"})))["choices"][0]["message"]["content"],
            "Hello "
        );
    }

    #[test]
    fn a_loop_has_two_rounds_of_calls_and_a_summary() {
        let mut messages = vec![json!({"role": "user", "content": "go"})];
        for round in 0..2 {
            let answer = served(&with(&json!({"messages": messages, "tools": two_tools()})));
            let message = answer["choices"][0]["message"].clone();
            assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
            assert_eq!(message["content"].is_null(), round == 1);
            let calls = message["tool_calls"].as_array().unwrap().clone();
            assert_eq!(calls.len(), 2);
            assert!(
                calls[0]["function"]["arguments"].as_str().unwrap().contains("900719925474099")
            );
            messages.push(message);
            messages.extend(calls.iter().map(
                |call| json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}),
            ));
        }
        let answer = served(&with(&json!({"messages": messages, "tools": two_tools()})));
        let print = seal::fingerprint("sunny");
        let expected = format!(
            "I saw 4 tool results in 2 rounds: a={print}, b={print}, a={print}, b={print}. All arguments came back intact."
        );
        assert_eq!(answer["choices"][0]["message"]["content"], expected);
        messages[1]["tool_calls"][0]["function"]["arguments"] = json!("{\"n\":9007199254740992}");
        let answer = served(&with(&json!({"messages": messages, "tools": two_tools()})));
        assert!(
            answer["choices"][0]["message"]["content"]
                .as_str()
                .unwrap()
                .ends_with("Changed arguments: a.")
        );
    }

    #[test]
    fn streamed_calls_come_in_pieces_that_make_up_the_whole() {
        let fields = json!({"tools": two_tools()});
        let whole = served(&with(&fields))["choices"][0]["message"]["tool_calls"].clone();
        let mut calls: Vec<Value> = Vec::new();
        for chunk in chunks(&with(&json!({"tools": two_tools(), "stream": true}))) {
            let Some(delta) = chunk["choices"][0]["delta"]["tool_calls"].get(0) else { continue };
            let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                let mut call = delta.clone();
                call.as_object_mut().unwrap().remove("index");
                calls.push(call);
            } else {
                let so_far = calls[index]["function"]["arguments"].as_str().unwrap().to_owned();
                let piece = delta["function"]["arguments"].as_str().unwrap();
                calls[index]["function"]["arguments"] = json!(so_far + piece);
            }
        }
        let calls = calls.iter_mut().zip(whole.as_array().unwrap());
        for (call, expected) in calls {
            // Ids differ from answer to answer.
            assert_eq!(call["id"].as_str().map(str::len), expected["id"].as_str().map(str::len));
            call["id"] = expected["id"].clone();
            assert_eq!(call, expected);
        }
    }

    #[test]
    fn choices_narrow_the_tools() {
        let names = |fields: Value| -> Vec<String> {
            let mut all = json!({"tools": two_tools()});
            for (name, value) in fields.as_object().unwrap() {
                all[name] = value.clone();
            }
            let calls = served(&with(&all))["choices"][0]["message"]["tool_calls"].clone();
            let calls = calls.as_array().cloned().unwrap_or_default();
            calls.iter().map(|call| call["function"]["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(json!({"tool_choice": "none"})).len(), 0);
        assert_eq!(names(json!({"tool_choice": "required"})), ["a", "b"]);
        assert_eq!(names(json!({"parallel_tool_calls": false})), ["a"]);
        assert_eq!(
            names(json!({"tool_choice": {"type": "function", "function": {"name": "b"}}})),
            ["b"]
        );
        let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "b"}}]}});
        assert_eq!(names(json!({"tool_choice": allowed})), ["b"]);
        let schema = json!({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": false});
        let format = json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}});
        let answer = served(&with(&json!({"response_format": format})));
        assert_eq!(answer["choices"][0]["message"]["content"], "{\"a\":1}");
    }

    fn refusal(fields: &Value) -> (String, Value) {
        let (status, text) = ask(&with(fields));
        let body: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(
            (status, &body["error"]["type"]),
            (400, &"invalid_request_error".into()),
            "{fields}"
        );
        let error = &body["error"];
        (error["message"].as_str().unwrap().to_owned(), error["param"].clone())
    }

    /// Fields of a request, words of its refusal, and the parameter that it names.
    const AT_THE_TOP: &str = r#"
{"foo":1} => Unrecognized request argument supplied: foo => null
{"model":null} => must provide a model => null
{"temperature":9} => decimal above maximum value => temperature
{"n":0} => integer below minimum value => n
{"top_logprobs":2} => only allowed when 'logprobs' => top_logprobs
{"stop":["1","2","3","4","5"]} => maximum length 4 => stop
{"stop":5} => Invalid type for 'stop' => stop
{"max_tokens":"x"} => expected an integer, but got a string => max_tokens
{"max_tokens":1,"max_completion_tokens":1} => at the same time => max_tokens
{"model":"o3","max_tokens":1} => Use 'max_completion_tokens' instead => max_tokens
{"model":"gpt-5","temperature":0.5} => Only the default (1) => temperature
{"reasoning_effort":"low"} => supplied: reasoning_effort => null
{"model":"o3","reasoning_effort":"huge"} => Supported values are => reasoning_effort
{"service_tier":"slow"} => Supported values are => service_tier
{"stream_options":{}} => only allowed when 'stream' => stream_options
{"tools":[]} => empty array => tools
{"tools":[{"type":"magic"}]} => 'function', and 'custom' => tools[0].type
{"tools":[F{"name":"a b"}}]} => does not match pattern => tools[0].function.name
{"tools":[F{"name":"a","parameters":{"type":"array"}}}]} => got 'type: "array"' => tools[0].function.parameters
{"tools":[F{"name":"a","strict":true,"parameters":{"type":"object"}}}]} => 'additionalProperties' is required => tools[0].function.parameters
{"tools":[F{"name":"a","x":1}}]} => Unknown parameter: 'tools[0].function.x'. => tools[0].function.x
{"tool_choice":"auto"} => only allowed when 'tools' => tool_choice
{"parallel_tool_calls":true} => only allowed when 'tools' => parallel_tool_calls
{"tools":[F{"name":"a"}}],"tool_choice":"maybe"} => 'maybe' => tool_choice
{"tools":[F{"name":"a"}}],"tool_choice":F{"name":"z"}}} => 'z' not found => tool_choice
{"response_format":{"type":"xml"}} => Supported values are => response_format.type
{"response_format":{"type":"json_object"}} => must contain the word 'json' => messages
{"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"type":"object"}}}} => Invalid schema for response_format 'x' => response_format
"#;

    /// Messages, words of their refusal, and the parameter that it names.
    const IN_MESSAGES: &str = r#"
[] => empty array => messages
[{"content":"x"}] => Missing required parameter => messages[0].role
[{"role":"king","content":"x"}] => Supported values are: 'system' => messages[0].role
[{"role":"user"}] => expected a string, got null => messages[0].content
[{"role":"user","content":[]}] => empty array => messages[0].content
[{"role":"user","content":"x","y":1}] => Unknown parameter: 'messages[0].y'. => messages[0].y
[P{"type":"smell"}]}] => Supported values are => messages[0].content[0].type
[P{"type":"text"}]}] => Missing required => messages[0].content[0].text
[P{"type":"image_url","image_url":{"url":"x"}}]}] => Invalid image_url => messages[0].content[0].image_url
[P{"type":"input_audio","input_audio":{"format":"ogg","data":""}}]}] => 'wav', and 'mp3' => messages[0].content[0].input_audio.format
[{"role":"system","content":[{"type":"refusal","refusal":"x"}]}] => Supported values are: 'text' => messages[0].content[0].type
[USER,{"role":"assistant"}] => got null => messages[1].content
[USER,{"role":"assistant","content":"x","tool_calls":[]}] => empty array => messages[1].tool_calls
[USER,C[CALL1,CALL2]},RESULT1] => did not have response messages: 2 => messages.[2].role
[USER,C[CALL1]},USER] => did not have response messages: 1 => messages.[2].role
[USER,RESULT1] => must be a response to a preceeding message => messages.[1].role
[USER,C[CALL1]},RESULT2] => '2' not found in 'tool_calls' => messages.[2].tool_call_id
[USER,C[CALL1]},{"role":"tool","content":"x"}] => must have a 'tool_call_id' => messages[2].tool_call_id
[USER,C[CALLLONG]},RESULT1] => maximum length 64 => messages[1].tool_calls[0].id
"#;

    /// Spells out the short words of the tables.
    fn spelled(short: &str) -> Value {
        let call = |id: &str| {
            format!(
                r#"{{"id":"{id}","type":"function","function":{{"name":"a","arguments":"{{}}"}}}}"#
            )
        };
        let result = |id| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#);
        let long = short
            .replace("F{", r#"{"type":"function","function":{"#)
            .replace("P{", r#"{"role":"user","content":[{"#)
            .replace("C[", r#"{"role":"assistant","content":null,"tool_calls":["#)
            .replace("USER", r#"{"role":"user","content":"x"}"#)
            .replace("CALL1", &call("1"))
            .replace("CALL2", &call("2"))
            .replace("CALLLONG", &call(&"x".repeat(65)))
            .replace("RESULT1", &result("1"))
            .replace("RESULT2", &result("2"));
        serde_json::from_str(&long).expect(&long)
    }

    #[test]
    fn what_is_wrong_is_told() {
        let check = |fields: &Value, words: &str, param: &str| {
            let (message, found) = refusal(fields);
            assert!(message.contains(words), "{fields}: {message}");
            assert_eq!(found.as_str().unwrap_or("null"), param, "{fields}");
        };
        for (table, messages) in [(AT_THE_TOP, false), (IN_MESSAGES, true)] {
            for line in table.trim().lines() {
                let parts: Vec<&str> = line.split(" => ").collect();
                let body = spelled(parts[0]);
                let fields = if messages { json!({"messages": body}) } else { body };
                check(&fields, parts[1], parts[2]);
            }
        }
        served(&with(&json!({"messages": spelled("[USER,C[CALL1,CALL2]},RESULT2,RESULT1,USER]")})));
    }

    #[test]
    fn doors_are_guarded_and_others_are_there() {
        let chat = "/v1/chat/completions";
        let body = with(&json!({})).to_string();
        let (code, text) = ask_as(None, false, chat, &body).shown();
        assert!(code == 401 && text.contains("You didn't provide an API key"), "{text}");
        let (code, text) = ask_as(Some(b"Bearer invalid"), false, chat, &body).shown();
        assert!(code == 401 && text.contains("invalid_api_key"), "{text}");
        assert_eq!(ask(&with(&json!({"model": "claude-x"}))).0, 404);
        let key = Some(&b"Bearer k"[..]);
        let reply = ask_as(key, false, chat, &body);
        for field in
            ["x-request-id: req_", "openai-processing-ms: ", "x-ratelimit-remaining-requests: "]
        {
            assert!(reply.fields.contains(field), "{}", reply.fields);
        }
        assert!(ask_as(key, false, chat, "{").shown().1.contains("parse the JSON body"));
        assert_eq!(ask_as(key, true, "/v1/models", "").status, 200);
        assert_eq!(ask_as(key, true, "/v1/models/gpt-4o", "").status, 200);
        assert_eq!(ask_as(key, false, "/v1/nowhere", "").status, 404);
    }
}
