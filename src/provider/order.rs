//! Whom a request goes to, and by which rules.

use crate::config::VertexPlace;

/// A vendor's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google AI Studio, `generateContent` in API-key mode.
    Gemini,
    /// `generateContent` of Vertex AI.
    Vertex,
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
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'p> {
    /// What the paths of Vertex AI name.
    pub place: Option<&'p VertexPlace>,
    /// Sent to Google when the client sends none: a JSON array.
    pub safety_settings: Option<&'p str>,
    /// Schemas are written in the subset of `OpenAPI` that old models of Google's know.
    pub openapi_schemas: bool,
    /// Sent to Anthropic, which wants a limit, when the client sets none.
    pub max_tokens: Option<u64>,
}
