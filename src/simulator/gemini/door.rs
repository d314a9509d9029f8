//! Who is let in to Google's methods, and which method answers.

use super::super::problem;
use super::super::reply::{Asked, Body, Reply};
use super::super::seal;
use super::answer::{self, Form};
use super::check::check;
use super::embed::{count, embed};
use super::error::{detailed, error, reason, refused, unknown_at, unreadable};
use super::history::review;
use super::path::{Address, Platform};
use super::request::Request;

/// The answer of one of Google's own models.
pub(crate) fn answer(asked: &Asked<'_>, address: &Address<'_>) -> Reply {
    let reply = respond(asked, address).unwrap_or_else(|reply| reply);
    // A stream that is an array has errors in an array, too.
    let array = address.verb == "streamGenerateContent" && !is_sse(asked);
    match reply {
        Reply { status: 400.., body: Body::Whole(body), .. } if array => {
            let wrapped = [b"[", body.trim_ascii_end(), b"\n]\n"].concat();
            Reply { body: Body::Whole(wrapped), ..reply }
        }
        other => other,
    }
}

/// Does the target ask for server-sent events?
pub(super) fn is_sse(asked: &Asked<'_>) -> bool {
    asked.query.split('&').any(|pair| pair == "alt=sse")
}

fn respond(asked: &Asked<'_>, address: &Address<'_>) -> Result<Reply, Reply> {
    authorise(asked, address)?;
    let form = match address.verb {
        "generateContent" => Form::Whole,
        "streamGenerateContent" if is_sse(asked) => Form::Events,
        "streamGenerateContent" => Form::Array,
        "embedContent" | "batchEmbedContents" | "predict" => {
            let known = ["gemini-embedding-", "text-embedding-", "text-multilingual-embedding-"];
            if known.iter().any(|name| address.model.starts_with(name)) {
                return embed(asked, address);
            }
            return Err(no_model(address));
        }
        "countTokens" if address.model.starts_with("gemini-") => return count(asked, address),
        _ => return Err(error(404, "NOT_FOUND", "Requested entity was not found.")),
    };
    if !address.model.starts_with("gemini-") || address.model.contains("embedding") {
        return Err(no_model(address));
    }
    let request: Request<'_> = problem::read(asked.body).map_err(|problem| unreadable(&problem))?;
    if request.model.is_some() {
        return Err(unknown_at(&[], "model"));
    }
    let history = review(&request, address)?;
    check(&request, address)?;
    Ok(answer::say(asked, (&request, address), history, form))
}

/// A model that does not exist, in the words of each service.
pub(super) fn no_model(address: &Address<'_>) -> Reply {
    let Address { platform, version, publisher, model, verb } = address;
    let message = match platform {
        Platform::Studio => format!(
            "models/{model} is not found for API version {version}, or is not supported for \
             {verb}. Call ListModels to see the list of available models and their supported \
             methods."
        ),
        Platform::Vertex { project, location } => format!(
            "Publisher Model `projects/{project}/locations/{location}/publishers/{publisher}/models/{model}` \
             was not found or your project does not have access to it. Please ensure you are \
             using a valid model version."
        ),
        Platform::Express => format!(
            "Publisher Model `publishers/{publisher}/models/{model}` was not found or your \
             project does not have access to it."
        ),
    };
    error(404, "NOT_FOUND", &message)
}

/// Lets a caller in: by key where the service takes keys, below a project by access token.
pub(crate) fn authorise(asked: &Asked<'_>, address: &Address<'_>) -> Result<(), Reply> {
    if asked.query.split('&').any(|pair| pair.starts_with("key=")) {
        return Err(refused("The simulator takes the key in a header."));
    }
    match address.platform {
        Platform::Studio | Platform::Express => check_key(asked),
        Platform::Vertex { project, location } => {
            check_token(asked)?;
            if !project.starts_with("forbidden") {
                return Ok(());
            }
            let Address { publisher, model, .. } = address;
            let message = format!(
                "Permission 'aiplatform.endpoints.predict' denied on resource \
                 '//aiplatform.googleapis.com/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}' \
                 (or it may not exist)."
            );
            Err(detailed(403, "PERMISSION_DENIED", &message, &reason("IAM_PERMISSION_DENIED")))
        }
    }
}

fn check_key(asked: &Asked<'_>) -> Result<(), Reply> {
    match asked.fields.google_key {
        None if asked.fields.authorization.is_some() => {
            Err(unauthenticated(NOT_VALID, "ACCESS_TOKEN_TYPE_UNSUPPORTED"))
        }
        None | Some(b"") => {
            let message = "Method doesn't allow unregistered callers (callers without established \
                           identity). Please use API Key or other form of API consumer identity \
                           to call this API.";
            Err(error(403, "PERMISSION_DENIED", message))
        }
        Some(key) if key.starts_with(b"invalid") => {
            Err(bad_key("API key not valid. Please pass a valid API key."))
        }
        Some(key) if key.starts_with(b"expired") => {
            Err(bad_key("API key expired. Please renew the API key."))
        }
        Some(_) => Ok(()),
    }
}

fn bad_key(message: &str) -> Reply {
    detailed(400, "INVALID_ARGUMENT", message, &reason("API_KEY_INVALID"))
}

const NOT_VALID: &str = "Request had invalid authentication credentials. Expected OAuth 2 access \
                         token, login cookie or other valid authentication credential. See \
                         https://developers.google.com/identity/sign-in/web/devconsole-project.";

fn check_token(asked: &Asked<'_>) -> Result<(), Reply> {
    let Some(token) = asked.fields.bearer() else {
        if asked.fields.google_key.is_some() {
            let message = "API keys are not supported by this API. Expected OAuth2 access token or \
                           other authentication credentials that assert a principal. See \
                           https://cloud.google.com/docs/authentication";
            return Err(unauthenticated(message, "CREDENTIALS_MISSING"));
        }
        let message = "Request is missing required authentication credential. Expected OAuth 2 \
                       access token, login cookie or other valid authentication credential. See \
                       https://developers.google.com/identity/sign-in/web/devconsole-project.";
        return Err(unauthenticated(message, "CREDENTIALS_MISSING"));
    };
    match seal::token_expiry(token) {
        Some(expires) if expires > asked.now() => Ok(()),
        Some(_) => Err(unauthenticated(NOT_VALID, "ACCESS_TOKEN_EXPIRED")),
        None => Err(unauthenticated(NOT_VALID, "ACCESS_TOKEN_TYPE_UNSUPPORTED")),
    }
}

fn unauthenticated(message: &str, why: &str) -> Reply {
    let challenge = "www-authenticate: Bearer realm=\"https://accounts.google.com/\"\r\n";
    detailed(401, "UNAUTHENTICATED", message, &reason(why)).with(challenge)
}

#[cfg(test)]
mod tests {
    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    const NOW: u64 = 1_790_000_000;

    /// Asks a path with a body, as a caller with these fields.
    fn ask_as(fields: Fields<'_>, target: &str, body: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let options = Options { tokens: 3, ..Options::default() };
        let asked = Asked {
            get: false,
            path,
            query,
            fields,
            body: body.as_bytes(),
            options: &options,
            serial: 1,
            now_ms: NOW * 1000 + 7,
        };
        answer(&asked, &Address::parse(path).unwrap()).shown()
    }

    fn key() -> Fields<'static> {
        Fields { google_key: Some(b"AIza"), ..Fields::default() }
    }

    fn ask(model: &str, method: &str, body: &str) -> (u16, String) {
        ask_as(key(), &format!("/v1beta/models/{model}:{method}"), body)
    }

    fn whole(model: &str, body: &str) -> serde_json::Value {
        let (status, text) = ask(model, "generateContent", body);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn refusal(model: &str, body: &str) -> String {
        let (status, text) = ask(model, "generateContent", body);
        assert_eq!(status, 400, "{text}");
        let error: serde_json::Value = serde_json::from_str(&text).unwrap();
        error["error"]["message"].as_str().unwrap().to_owned()
    }

    const HI: &str = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;
    const TOOLS: &str = r#""tools":[{"functionDeclarations":[{"name":"a","parametersJsonSchema":{"properties":{"n":{"type":"integer"}}}},{"name":"b"}]}]"#;

    #[test]
    fn whole_and_streamed_answers_are_googles() {
        let answer = whole("gemini-2.5-flash", &format!("{{{HI}}}"));
        assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], "Hello from the");
        assert_eq!(answer["usageMetadata"]["candidatesTokenCount"], 3);
        let stream = "streamGenerateContent?alt=sse";
        let (_, events) = ask("gemini-2.5-flash", stream, &format!("{{{HI}}}"));
        assert_eq!(events.matches("\r\n\r\n").count(), 3);
        assert_eq!(events.matches("finishReason").count(), 1);
        let (_, array) = ask("gemini-2.5-flash", "streamGenerateContent", &format!("{{{HI}}}"));
        let chunks: Vec<serde_json::Value> = serde_json::from_str(&array).unwrap();
        assert_eq!(chunks.len(), 3);
        let (status, array) = ask("gemini-2.5-flash", "streamGenerateContent", "{}");
        let errors: Vec<serde_json::Value> = serde_json::from_str(&array).unwrap();
        assert_eq!((status, &errors[0]["error"]["code"]), (400, &400.into()));
        let short =
            format!(r#"{{{HI},"generationConfig":{{"maxOutputTokens":2,"candidateCount":2}}}}"#);
        let answer = whole("gemini-2.5-flash", &short);
        assert_eq!(answer["candidates"][1]["index"], 1);
        assert_eq!(answer["candidates"][1]["finishReason"], "MAX_TOKENS");
    }

    #[test]
    fn thoughts_count_and_are_shown_on_request() {
        let config = |inner: &str| {
            format!(
                r#"{{{HI},"generationConfig":{{"thinkingConfig":{{"includeThoughts":true}}{inner}}}}}"#
            )
        };
        let answer = whole("gemini-2.5-pro", &config(""));
        let parts = &answer["candidates"][0]["content"]["parts"];
        assert_eq!(
            (&parts[0]["thought"], &parts[1]["text"]),
            (&true.into(), &"Hello from the".into())
        );
        assert_eq!(answer["usageMetadata"]["thoughtsTokenCount"], 7);
        assert_eq!(answer["usageMetadata"]["totalTokenCount"], 1 + 3 + 7);
        let answer = whole("gemini-2.5-pro", &config(r#","maxOutputTokens":5"#));
        assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
        assert_eq!(answer["usageMetadata"]["thoughtsTokenCount"], 5);
        assert_eq!(answer["usageMetadata"]["candidatesTokenCount"], serde_json::Value::Null);
        let logs = r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"responseLogprobs":true,"logprobs":2,"stopSequences":["the"]}}"#;
        let answer = whole("gemini-2.5-flash", logs);
        let logs = &answer["candidates"][0]["logprobsResult"];
        assert_eq!(logs["chosenCandidates"].as_array().map(Vec::len), Some(3));
        assert_eq!(logs["topCandidates"][0]["candidates"].as_array().map(Vec::len), Some(2));
        assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], "Hello from ");
    }

    /// A conversation in which each of the model's turns is answered.
    fn play(model: &str, results: &str) -> Vec<serde_json::Value> {
        let mut contents = vec![serde_json::json!({"role":"user","parts":[{"text":"go"}]})];
        let mut answers = Vec::new();
        for _ in 0..3 {
            let body = format!("{{\"contents\":{},{TOOLS}}}", serde_json::json!(contents));
            let answer = whole(model, &body);
            let content = answer["candidates"][0]["content"].clone();
            let calls = content["parts"].as_array().unwrap().iter();
            let results: Vec<_> = calls
                .filter_map(|part| part.get("functionCall"))
                .map(|call| {
                    let result: serde_json::Value = serde_json::from_str(results).unwrap();
                    serde_json::json!({"functionResponse":{"name":call["name"],"response":result}})
                })
                .collect();
            contents.push(content);
            contents.push(serde_json::json!({"role":"user","parts":results}));
            answers.push(answer);
        }
        answers
    }

    #[test]
    fn a_loop_has_two_rounds_of_calls_and_a_summary() {
        for model in ["gemini-2.5-flash", "gemini-3-pro-preview"] {
            let answers = play(model, r#"{"output":"sunny"}"#);
            let parts = |turn: usize| &answers[turn]["candidates"][0]["content"]["parts"];
            assert_eq!(parts(0)[1]["functionCall"]["name"], "a", "{model}");
            assert_eq!(parts(0)[1]["functionCall"]["args"]["n"], 9_007_199_254_740_993u64);
            assert_eq!(parts(0)[2]["functionCall"]["name"], "b");
            assert_eq!(parts(1)[1]["functionCall"]["name"], "b");
            let text = parts(2)[0]["text"].as_str().unwrap();
            let print = seal::fingerprint("sunny");
            let expected = format!(
                "I saw 4 tool results in 2 rounds: a={print}, b={print}, a={print}, b={print}. All arguments came back intact."
            );
            assert_eq!(text, expected);
            let signed = parts(0)[1].get("thoughtSignature").is_some();
            assert_eq!(signed, model.contains('3'));
            assert!(parts(0)[2].get("thoughtSignature").is_none());
            assert_eq!(parts(2)[0].get("thoughtSignature").is_some(), model.contains('3'));
        }
    }

    #[test]
    fn gemini_3_wants_its_signatures_back() {
        let model = "gemini-3-flash-preview";
        let first = whole(model, &format!("{{{HI},{TOOLS}}}"));
        let made = first["candidates"][0]["content"]["parts"][1].clone();
        let signature = made["thoughtSignature"].as_str().unwrap().to_owned();
        let turn = |first: &str, name: &str, more: &str| {
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"go"}}]}},{{"role":"model","parts":[{{"functionCall":{{"name":"{name}","args":{{"n":9007199254740993}}}}{first}}},{{"functionCall":{{"name":"b"}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"name":"{name}","response":{{}}}}}},{{"functionResponse":{{"name":"b","response":{{}}}}}}]}}{more}]}}"#
            )
        };
        let signed = |text: &str| format!(r#","thoughtSignature":"{text}""#);
        assert!(refusal(model, &turn("", "a", "")).contains("missing a thought_signature"));
        assert!(refusal(model, &turn(&signed("AAAA"), "a", "")).contains("not valid"));
        assert!(refusal(model, &turn(&signed("%"), "a", "")).contains("TYPE_BYTES"));
        assert!(refusal(model, &turn(&signed(&signature), "other", "")).contains("not valid"));
        whole(model, &turn(&signed("skip_thought_signature_validator"), "a", ""));
        let last = whole(model, &turn(&signed(&signature), "a", ""));
        let text = last["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
        assert!(text.contains("arguments came back intact"), "{text}");
        let changed = turn(&signed(&signature), "a", "").replace("740993", "740992");
        let last = whole(model, &changed);
        let text = last["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
        assert!(text.contains("Changed arguments: a."), "{text}");
        // Before the user's last text, and before Gemini 3, none is missed.
        let older = r#",{"role":"model","parts":[{"text":"ok"}]},{"role":"user","parts":[{"text":"more"}]}"#;
        whole(model, &turn("", "a", older));
        whole("gemini-2.5-flash", &turn("", "a", ""));
    }

    #[test]
    fn turns_must_fit_together() {
        let call = r#"{"functionCall":{"name":"a"}}"#;
        let result = r#"{"functionResponse":{"name":"a","response":{}}}"#;
        let user = |parts: &str| format!(r#"{{"role":"user","parts":[{parts}]}}"#);
        let model = |parts: &str| format!(r#"{{"role":"model","parts":[{parts}]}}"#);
        let text = r#"{"text":"x"}"#;
        let two = format!("{call},{call}");
        for (contents, words) in [
            (vec![user(text), user(text)], "alternate"),
            (vec![user(text), model(text), model(text)], "alternate"),
            (vec![model(call), user(result)], "function call turn comes immediately"),
            (vec![user(text), model(call)], "number of function response parts"),
            (vec![user(text), model(&two), user(result)], "number of function response parts"),
            (vec![user(text), model(call), user(text)], "number of function response parts"),
            (vec![user(text), user(result)], "function response turn comes immediately"),
            (vec![user(text), model(result)], "function response turn comes immediately"),
            (
                vec![user(text), model(call), user(&result.replace("\"a\"", "\"b\""))],
                "does not match any function call",
            ),
            (vec![user(r#"{"text":"x","functionCall":{"name":"a"}}"#)], "oneof field"),
            (vec![user(r#"{"functionCall":{}}"#)], "Name cannot be empty"),
            (vec![user(r#"{"functionResponse":{"name":"a"}}"#)], "must be set"),
            (vec![user(r#"{"functionCall":{"name":"a","args":[]}}"#)], "protobuf.Struct"),
            (vec![user(r#"{"inlineData":{"mimeType":"image/png","data":"%"}}"#)], "Base64"),
            (vec![user(r#"{"inlineData":{"mimeType":"x/y","data":"AA=="}}"#)], "MIME"),
            (vec![user(r#"{"fileData":{}}"#)], "file_uri"),
        ] {
            let body = format!("{{\"contents\":[{}]}}", contents.join(","));
            let message = refusal("gemini-2.5-flash", &body);
            assert!(message.contains(words), "{body}: {message}");
        }
        let mixed = [user(text), model(call), user(&format!("{result},{text}"))].join(",");
        let mixed = format!("{{\"contents\":[{mixed}]}}");
        assert_eq!(ask("gemini-2.5-flash", "generateContent", &mixed).0, 200);
        let signed = mixed.replace(
            call,
            r#"{"functionCall":{"name":"a"},"thoughtSignature":"skip_thought_signature_validator"}"#,
        );
        let message = refusal("gemini-3-pro-preview", &signed);
        assert!(message.contains("mixed"), "{message}");
        let ends = format!("{{\"contents\":[{},{}]}}", user(text), model(text));
        assert!(refusal("gemini-3-pro-preview", &ends).contains("end with a user role"));
        let follow = [user(text), model(call), user(result), user(text)].join(",");
        let follow = format!("{{\"contents\":[{follow}]}}");
        assert_eq!(
            ask("gemini-2.5-flash", "generateContent", &follow).0,
            200,
            "text after results"
        );
    }

    #[test]
    fn what_google_refuses_is_refused_in_its_words() {
        for (body, words) in [
            ("{", "Invalid JSON payload"),
            (r#"{"model":"x"}"#, r#"Unknown name "model""#),
            ("{}", "contents is not specified"),
            (r#"{"contents":[{"role":"king","parts":[{"text":"x"}]}]}"#, "valid role"),
            (r#"{"contents":[{"parts":[]}]}"#, "must not be empty"),
            (
                r#"{"contents":[{"parts":[{"txt":"x"}]}]}"#,
                r#"Unknown name "txt" at 'contents[0].parts[0]'"#,
            ),
            (
                &format!(r#"{{{HI},"generationConfig":{{"max_tokens":1}}}}"#),
                "at 'generation_config'",
            ),
        ] {
            let message = refusal("gemini-2.5-flash", body);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn callers_and_models_are_checked_first() {
        let path = "/v1beta/models/gemini-x:generateContent";
        let status = |fields, path: &str| ask_as(fields, path, "{}").0;
        assert_eq!(status(Fields::default(), path), 403);
        let wrong = Fields { google_key: Some(b"invalid-key"), ..Fields::default() };
        let (code, body) = ask_as(wrong, path, "{}");
        assert!(code == 400 && body.contains("API_KEY_INVALID"), "{body}");
        let bearer = Fields { authorization: Some(b"Bearer x"), ..Fields::default() };
        assert_eq!(status(bearer, path), 401);
        assert_eq!(status(key(), "/v1beta/models/gpt-4:generateContent"), 404);
        assert_eq!(status(key(), "/v1beta/models/gemini-x:dance"), 404);
        assert_eq!(status(key(), &format!("{path}?key=abc")), 400);
        let vertex = "/v1/projects/p/locations/l/publishers/google/models/gemini-x:generateContent";
        let token = |expires| format!("Bearer {}", seal::token(expires, 1));
        let (good, old) = (token(NOW + 1), token(NOW));
        let with = |text: &'static str| Fields { authorization: Some(text.as_bytes()), ..key() };
        for (fields, words) in [
            (Fields::default(), "missing required authentication"),
            (key(), "API keys are not supported"),
            (with("Bearer ya29.a0"), "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
            (Fields { authorization: Some(old.as_bytes()), ..key() }, "ACCESS_TOKEN_EXPIRED"),
        ] {
            let (code, body) = ask_as(fields, vertex, "{}");
            assert!(code == 401 && body.contains(words), "{body}");
        }
        let good = Fields { authorization: Some(good.as_bytes()), ..Fields::default() };
        let (code, body) = ask_as(good, vertex, &format!("{{{HI}}}"));
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, &answer["candidates"][0]["index"]), (200, &serde_json::Value::Null));
        assert_eq!(answer["usageMetadata"]["trafficType"], "ON_DEMAND");
        assert!(answer["createTime"].as_str().unwrap().ends_with(".007000Z"), "{body}");
        assert_eq!(status(good, &vertex.replace("/p/", "/forbidden/")), 403);
        assert_eq!(status(good, &vertex.replace("gemini-x", "nope")), 404);
        let express = "/v1/publishers/google/models/gemini-x:generateContent";
        assert_eq!(ask_as(key(), express, &format!("{{{HI}}}")).0, 200);
    }
}
