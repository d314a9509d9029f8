//! Which vendor a request is for, and what that vendor says when it misbehaves.

use std::borrow::Cow;

use serde::Deserialize;

use super::fault::Fault;
use super::gemini::Address;
use super::json::quote;
use super::reply::{Asked, Body, Reply};
use super::{anthropic, gemini, openai};

/// Whose API a request speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vendor<'r> {
    /// Google's own models, on either service.
    Gemini(Address<'r>),
    /// Claude on Vertex AI: Google's door, Anthropic's words.
    Claude(Address<'r>),
    Anthropic,
    OpenAi,
}

impl<'r> Vendor<'r> {
    pub(super) fn of(asked: &Asked<'r>) -> Self {
        if let Some(address) = Address::parse(asked.path) {
            let claude = address.publisher == "anthropic";
            return if claude { Self::Claude(address) } else { Self::Gemini(address) };
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
        })
    }

    /// An answer to the same question that refuses it, where the vendor has one.
    fn refusal(&self, asked: &Asked<'_>, fault: Fault, streamed: bool) -> Option<Reply> {
        match self {
            Self::Gemini(address) => gemini::refusal(asked, address, fault),
            Self::Claude(_) | Self::Anthropic => anthropic::refusal(asked, fault, streamed),
            Self::OpenAi => openai::refusal(asked, fault, streamed),
        }
    }

    /// The event that ends a stream with an error.
    fn error_event(&self) -> &'static str {
        match self {
            Self::Gemini(_) => gemini::ERROR_EVENT,
            Self::Claude(_) | Self::Anthropic => anthropic::ERROR_EVENT,
            Self::OpenAi => openai::ERROR_EVENT,
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
        Some(Fault::ErrorInStream) => with_error(reply, vendor.error_event()),
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
