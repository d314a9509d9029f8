//! Which vendor a request is for, and what that vendor says when it misbehaves.

use std::borrow::Cow;

use serde::Deserialize;

use super::fault::Fault;
use super::gemini::Address;
use super::json::quote;
use super::reply::{Asked, Body, Reply};
use super::{anthropic, gemini, oauth, openai};

/// Whose API a request speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vendor<'r> {
    /// Google's own models, on either service.
    Gemini(Address<'r>),
    /// Claude on Vertex AI: Google's door, Anthropic's words.
    Claude(Address<'r>),
    Anthropic,
    OpenAi,
    /// Google's token endpoint.
    OAuth,
}

impl<'r> Vendor<'r> {
    pub(super) fn of(asked: &Asked<'r>) -> Self {
        if let Some(address) = Address::parse(asked.path) {
            let claude = address.publisher == "anthropic";
            return if claude { Self::Claude(address) } else { Self::Gemini(address) };
        }
        if asked.path == "/token" {
            return Self::OAuth;
        }
        let anthropic = asked.path.starts_with("/v1/messages")
            || asked.fields.api_key.is_some()
            || asked.fields.version.is_some();
        if anthropic { Self::Anthropic } else { Self::OpenAi }
    }

    /// The model that is asked for.
    pub(super) fn model(&self, asked: &Asked<'r>) -> Cow<'r, str> {
        /// All other fields are for later.
        #[derive(Default, Deserialize)]
        struct Named<'n> {
            #[serde(borrow)]
            model: Option<Cow<'n, str>>,
        }
        match self {
            Self::Gemini(address) | Self::Claude(address) => Cow::Borrowed(address.model),
            Self::OAuth => Cow::Borrowed(""),
            Self::Anthropic | Self::OpenAi => {
                let named: Named<'r> = serde_json::from_slice(asked.body).unwrap_or_default();
                named.model.unwrap_or_default()
            }
        }
    }

    fn answer(&self, asked: &Asked<'_>) -> Reply {
        match self {
            Self::Gemini(address) => gemini::answer(asked, address),
            Self::Claude(address) => match gemini::authorise(asked, address) {
                Ok(()) => anthropic::on_vertex(asked, address),
                Err(reply) => reply,
            },
            Self::Anthropic => anthropic::answer(asked),
            Self::OpenAi => openai::answer(asked),
            Self::OAuth => oauth::answer(asked),
        }
    }

    /// The error body of this name.
    fn error(&self, asked: &Asked<'_>, name: &str) -> Option<Reply> {
        let proxied = match name {
            // What stands before a vendor's servers does not speak the vendor's language.
            "html502" => Some(
                Reply::json(
                    502,
                    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
                )
                .typed("text/html"),
            ),
            "text503" => Some(
                Reply::json(
                    503,
                    "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
                )
                .typed("text/plain"),
            ),
            "string500" => Some(Reply::json(500, "{\"error\":\"internal server error\"}")),
            _ => None,
        };
        proxied.or_else(|| match self {
            Self::Gemini(address) => gemini::named_error(name, address),
            Self::Claude(_) | Self::Anthropic => anthropic::named_error(asked, name),
            Self::OpenAi => openai::named_error(asked, name),
            Self::OAuth => None,
        })
    }

    /// An answer to the same question that refuses it, where the vendor has one.
    fn refusal(&self, asked: &Asked<'_>, fault: Fault, streamed: bool) -> Option<Reply> {
        match self {
            Self::Gemini(address) => gemini::refusal(asked, address, fault),
            Self::Claude(_) | Self::Anthropic => anthropic::refusal(asked, fault, streamed),
            Self::OpenAi => openai::refusal(asked, fault, streamed),
            Self::OAuth => None,
        }
    }

    /// The event that ends a stream with an error.
    fn error_event(&self, asked: &Asked<'_>) -> &'static str {
        match self {
            Self::Gemini(_) => gemini::ERROR_EVENT,
            Self::Claude(_) | Self::Anthropic => anthropic::ERROR_EVENT,
            Self::OpenAi | Self::OAuth => openai::error_event(asked),
        }
    }
}

/// The fault that the model's name asks for; the reply that says it does not exist.
pub(super) fn named_fault(model: &str) -> Result<Option<Fault>, Reply> {
    Fault::of_model(model).transpose().map_err(|message| {
        Reply::json(400, format!("{{\"error\":{{\"message\":{}}}}}", quote(&message)))
    })
}

/// The vendor's answer, with what a fault changes in its content.
pub(super) fn answer(asked: &Asked<'_>, vendor: &Vendor<'_>, fault: Option<Fault>) -> Reply {
    if let Some(Fault::Error(name)) = fault
        && let Some(reply) = vendor.error(asked, name)
    {
        return reply;
    }
    let reply = vendor.answer(asked);
    if !reply.is_good() {
        return reply;
    }
    match fault {
        Some(fault @ (Fault::Blocked | Fault::Filtered | Fault::Malformed)) => {
            let streamed = matches!(reply.body, Body::Stream(_));
            vendor.refusal(asked, fault, streamed).unwrap_or(reply)
        }
        Some(Fault::ErrorInStream) => with_error(reply, vendor.error_event(asked)),
        _ => reply,
    }
}

/// The first half of a stream and then the error; a whole answer is the error alone.
fn with_error(reply: Reply, event: &str) -> Reply {
    let data = event.split_once("data: ").map_or(event, |(_, data)| data).trim_end();
    let body = match reply.body {
        Body::Whole(_) => Body::Whole(data.as_bytes().to_vec()),
        Body::Stream(mut events) => {
            events.truncate(events.len() / 2);
            let array = events.first().is_some_and(|event| event.starts_with(b"["));
            let last = if array { format!(",\r\n{data}]") } else { event.to_owned() };
            events.push(last.into_bytes());
            Body::Stream(events)
        }
    };
    Reply { body, ..reply }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fault::ERRORS;
    use super::super::reply::Fields;
    use super::super::script::Options;
    use super::super::seal;
    use super::*;

    const VERTEX: &str = "/v1/projects/p/locations/l/publishers";

    /// A path and a body of every dialect; `MODEL` and `STREAM` are filled in.
    fn dialects() -> [(String, &'static str); 6] {
        let contents = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;
        let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
        let claude = r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":9,"stream":STREAM,"messages":[{"role":"user","content":"hi"}]}"#;
        assert!(claude.contains(messages));
        [
            ("/v1beta/models/gemini-MODEL:METHOD".to_owned(), contents),
            (format!("{VERTEX}/google/models/gemini-MODEL:METHOD"), contents),
            (format!("{VERTEX}/anthropic/models/claude-MODEL:RAW"), claude),
            (
                "/v1/messages".to_owned(),
                r#"{"model":"claude-MODEL","max_tokens":9,"stream":STREAM,"messages":[{"role":"user","content":"hi"}]}"#,
            ),
            (
                "/v1/chat/completions".to_owned(),
                r#"{"model":"gpt-MODEL","stream":STREAM,"messages":[{"role":"user","content":"hi"}]}"#,
            ),
            ("/v1/responses".to_owned(), r#"{"model":"gpt-MODEL","stream":STREAM,"input":"hi"}"#),
        ]
    }

    fn ask(dialect: &(String, &str), model: &str, streamed: bool) -> Reply {
        let (path, body) = dialect;
        let methods = if streamed {
            ("streamGenerateContent", "streamRawPredict")
        } else {
            ("generateContent", "rawPredict")
        };
        let path = path.replace("MODEL", model).replace("METHOD", methods.0);
        let path = path.replace("RAW", methods.1);
        let body = body.replace("MODEL", model).replace("STREAM", &streamed.to_string());
        let token = format!("Bearer {}", seal::token(100, 1));
        let mut fields = Fields { google_key: Some(b"k"), ..Fields::default() };
        if path == "/v1/messages" {
            fields.api_key = Some(b"k");
            fields.version = Some(b"2023-06-01");
        } else if !path.starts_with("/v1beta") {
            fields.authorization = Some(token.as_bytes());
        }
        let options = Options { tokens: 4, ..Options::default() };
        let asked = Asked {
            get: false,
            path: &path,
            query: "alt=sse",
            fields,
            body: body.as_bytes(),
            options: &options,
            serial: 1,
            now_ms: 0,
        };
        let vendor = Vendor::of(&asked);
        match named_fault(&vendor.model(&asked)) {
            Ok(fault) => answer(&asked, &vendor, fault),
            Err(reply) => reply,
        }
    }

    #[test]
    fn every_dialect_answers_and_knows_every_error() {
        for dialect in dialects() {
            for streamed in [false, true] {
                let reply = ask(&dialect, "x", streamed);
                assert_eq!(reply.status, 200, "{dialect:?}");
                assert_eq!(matches!(reply.body, Body::Stream(_)), streamed, "{dialect:?}");
            }
            for name in ERRORS {
                let reply = ask(&dialect, &format!("x-fault-{name}"), true);
                let json = reply.content_type.starts_with("application/json");
                let (status, text) = reply.shown();
                assert!(status >= 400, "{dialect:?} {name}: {text}");
                let body: Option<Value> = serde_json::from_str(&text).ok();
                assert_eq!(body.is_some(), json, "{dialect:?} {name}: {text}");
                assert!(body.is_none_or(|body| !body["error"].is_null()), "{name}: {text}");
            }
            let (status, text) = ask(&dialect, "x-fault-nonsense", false).shown();
            assert!(status == 400 && text.contains("no such fault"), "{text}");
        }
    }

    #[test]
    fn the_usual_errors_have_their_usual_status() {
        for dialect in dialects() {
            for (name, expected) in [("429", 429), ("500", 500), ("504", 504), ("html502", 502)] {
                let reply = ask(&dialect, &format!("x-fault-{name}"), false);
                assert_eq!(reply.status, expected, "{dialect:?} {name}");
            }
            let busy = ask(&dialect, "x-fault-529", false).status;
            let anthropic = dialect.1.contains("max_tokens");
            assert_eq!(busy, if anthropic { 529 } else { 503 }, "{dialect:?}");
        }
    }

    /// A content fault in one dialect must show these words, of Google or of the others.
    fn shows(dialect: &(String, &str), fault: &str, streamed: bool, [google, others]: [&str; 2]) {
        let reply = ask(dialect, &format!("x-fault-{fault}"), streamed);
        assert_eq!(matches!(reply.body, Body::Stream(_)), streamed, "{dialect:?}");
        let (status, text) = reply.shown();
        let words = if dialect.0.contains("gemini") { google } else { others };
        let filtered = fault == "filtered" && text.contains("content_filter");
        assert!(status == 200 && (filtered || text.contains(words)), "{dialect:?} {fault}: {text}");
    }

    #[test]
    fn refusals_and_errors_in_answers_have_the_dialects_shape() {
        for dialect in dialects() {
            for streamed in [false, true] {
                shows(&dialect, "blocked", streamed, ["blockReason", "\"refusal\""]);
                shows(&dialect, "filtered", streamed, ["SAFETY", "refus"]);
                shows(&dialect, "error-in-stream", streamed, ["UNAVAILABLE", "error"]);
            }
        }
        let (_, text) = ask(&dialects()[0], "x-fault-malformed", false).shown();
        assert!(text.contains("MALFORMED_FUNCTION_CALL"), "{text}");
    }
}
