//! Whom a request goes to, and by which rules.

use crate::config::VertexPlace;

/// A vendor's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google AI Studio, `generateContent` in API-key mode.
    Gemini,
    /// `generateContent` of Vertex AI.
    Vertex,
    /// Anthropic's Messages.
    Anthropic,
    /// Anthropic's Messages on Vertex AI.
    Claude,
    /// `OpenAI`'s chat completions, by whomever they are served.
    OpenAi,
}

impl Vendor {
    /// Does it speak Anthropic's Messages, wherever they are served?
    pub const fn speaks_messages(self) -> bool {
        matches!(self, Self::Anthropic | Self::Claude)
    }
}

/// Whom a request goes to, and for which model.
#[derive(Clone, Copy, Debug)]
pub struct Order<'p> {
    /// The wire format.
    pub vendor: Vendor,
    /// The model by the vendor's name.
    pub model: &'p str,
    /// What the operator decided about it.
    pub rules: Rules<'p>,
}

/// What an operator decided about the requests to a vendor.
#[expect(clippy::struct_excessive_bools, reason = "each is one decision of its own")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'p> {
    /// What the paths of Vertex AI name.
    pub place: Option<&'p VertexPlace>,
    /// Sent to Google when the client sends none: a JSON array.
    pub safety_settings: Option<&'p str>,
    /// Schemas are written in the subset of `OpenAPI` that old models of Google's know.
    pub openapi_schemas: bool,
    /// Google's marks on calls stand in the ids of the calls, for clients that drop them.
    pub signature_in_id: bool,
    /// A client that wants no parallel calls gets the first one alone, where the vendor cannot be
    /// told so.
    pub first_call_only: bool,
    /// `OpenAI`'s streams are not asked for usage: some compatible services refuse that.
    pub no_stream_usage: bool,
    /// Sent to Anthropic, which wants a limit, when the client sets none.
    pub max_tokens: Option<u64>,
}
