//! What `generateContent` takes, field by field; any other name is refused. Google reads every
//! name in camel case and in snake case.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A request, for both services; `check` tells their fields apart.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Request<'r> {
    #[serde(borrow)]
    pub(super) contents: Option<Vec<Content<'r>>>,
    #[serde(borrow, alias = "system_instruction")]
    pub(super) system_instruction: Option<Content<'r>>,
    #[serde(borrow, alias = "generation_config")]
    pub(super) generation_config: Option<Box<GenerationConfig<'r>>>,
    #[serde(borrow, alias = "safety_settings")]
    pub(super) safety_settings: Option<Vec<Safety<'r>>>,
    #[serde(borrow)]
    pub(super) tools: Option<Vec<Tool<'r>>>,
    #[serde(borrow, alias = "tool_config")]
    pub(super) tool_config: Option<Box<ToolConfig<'r>>>,
    #[serde(borrow, alias = "cached_content")]
    pub(super) cached_content: Option<Cow<'r, str>>,
    /// Only inside `countTokens`; elsewhere the path names the model.
    #[serde(borrow)]
    pub(super) model: Option<Cow<'r, str>>,
    /// Only AI Studio.
    #[serde(borrow, alias = "service_tier")]
    pub(super) service_tier: Option<Cow<'r, str>>,
    /// Only Vertex, like the next one.
    #[serde(borrow)]
    pub(super) labels: Option<BTreeMap<Cow<'r, str>, Cow<'r, str>>>,
    #[serde(alias = "model_armor_config")]
    pub(super) model_armor_config: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content<'r> {
    #[serde(borrow)]
    pub(super) role: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) parts: Option<Vec<Part<'r>>>,
}

impl<'r> Content<'r> {
    pub(super) fn parts(&self) -> &[Part<'r>] {
        self.parts.as_deref().unwrap_or_default()
    }

    pub(super) fn is_model(&self) -> bool {
        self.role.as_deref() == Some("model")
    }
}

/// What is rare is boxed, so that a text is not moved about with room for everything else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Part<'r> {
    #[serde(borrow)]
    pub(super) text: Option<Cow<'r, str>>,
    pub(super) thought: Option<bool>,
    #[serde(borrow, alias = "thought_signature")]
    pub(super) thought_signature: Option<Cow<'r, str>>,
    #[serde(borrow, alias = "inline_data")]
    pub(super) inline_data: Option<Box<Blob<'r>>>,
    #[serde(borrow, alias = "file_data")]
    pub(super) file_data: Option<Box<FileData<'r>>>,
    #[serde(borrow, alias = "function_call")]
    pub(super) function_call: Option<Box<FunctionCall<'r>>>,
    #[serde(borrow, alias = "function_response")]
    pub(super) function_response: Option<Box<FunctionResponse<'r>>>,
    #[serde(alias = "executable_code")]
    pub(super) executable_code: Option<IgnoredAny>,
    #[serde(alias = "code_execution_result")]
    pub(super) code_execution_result: Option<IgnoredAny>,
    #[serde(rename = "videoMetadata", alias = "video_metadata")]
    _video_metadata: Option<IgnoredAny>,
    #[serde(rename = "mediaResolution", alias = "media_resolution")]
    _media_resolution: Option<IgnoredAny>,
    /// Only AI Studio.
    #[serde(alias = "part_metadata")]
    pub(super) part_metadata: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Blob<'r> {
    #[serde(borrow, alias = "mime_type")]
    pub(super) mime_type: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) data: Option<Cow<'r, str>>,
    /// Only Vertex.
    #[serde(alias = "display_name")]
    pub(super) display_name: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct FileData<'r> {
    #[serde(borrow, rename = "mimeType", alias = "mime_type")]
    _mime_type: Option<Cow<'r, str>>,
    #[serde(borrow, alias = "file_uri")]
    pub(super) file_uri: Option<Cow<'r, str>>,
    /// Only Vertex.
    #[serde(alias = "display_name")]
    pub(super) display_name: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionCall<'r> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) args: Option<&'r RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionResponse<'r> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) response: Option<&'r RawValue>,
    #[serde(rename = "parts")]
    _parts: Option<Vec<IgnoredAny>>,
    #[serde(rename = "willContinue", alias = "will_continue")]
    _will_continue: Option<bool>,
    #[serde(rename = "scheduling")]
    _scheduling: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct GenerationConfig<'r> {
    pub(super) temperature: Option<f64>,
    #[serde(alias = "top_p")]
    pub(super) top_p: Option<f64>,
    #[serde(alias = "top_k")]
    pub(super) top_k: Option<f64>,
    #[serde(alias = "max_output_tokens")]
    pub(super) max_output_tokens: Option<u32>,
    #[serde(alias = "candidate_count")]
    pub(super) candidate_count: Option<u32>,
    #[serde(borrow, alias = "stop_sequences")]
    pub(super) stop_sequences: Option<Vec<Cow<'r, str>>>,
    #[serde(rename = "seed")]
    _seed: Option<i32>,
    #[serde(alias = "presence_penalty")]
    pub(super) presence_penalty: Option<f64>,
    #[serde(alias = "frequency_penalty")]
    pub(super) frequency_penalty: Option<f64>,
    #[serde(borrow, alias = "response_mime_type")]
    pub(super) response_mime_type: Option<Cow<'r, str>>,
    #[serde(borrow, alias = "response_json_schema", alias = "_responseJsonSchema")]
    pub(super) response_json_schema: Option<&'r RawValue>,
    #[serde(borrow, alias = "response_schema")]
    pub(super) response_schema: Option<&'r RawValue>,
    #[serde(borrow, alias = "response_modalities")]
    pub(super) response_modalities: Option<Vec<Cow<'r, str>>>,
    #[serde(alias = "response_logprobs")]
    pub(super) response_logprobs: Option<bool>,
    pub(super) logprobs: Option<u32>,
    #[serde(borrow, alias = "thinking_config")]
    pub(super) thinking_config: Option<Box<ThinkingConfig<'r>>>,
    #[serde(rename = "mediaResolution", alias = "media_resolution")]
    _media_resolution: Option<IgnoredAny>,
    #[serde(rename = "speechConfig", alias = "speech_config")]
    _speech_config: Option<IgnoredAny>,
    #[serde(rename = "imageConfig", alias = "image_config")]
    _image_config: Option<IgnoredAny>,
    /// Only Vertex, like the next one.
    #[serde(alias = "audio_timestamp")]
    pub(super) audio_timestamp: Option<bool>,
    #[serde(alias = "routing_config")]
    pub(super) routing_config: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ThinkingConfig<'r> {
    #[serde(alias = "thinking_budget")]
    pub(super) thinking_budget: Option<i32>,
    #[serde(borrow, alias = "thinking_level")]
    pub(super) thinking_level: Option<Cow<'r, str>>,
    #[serde(alias = "include_thoughts")]
    pub(super) include_thoughts: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Safety<'r> {
    #[serde(borrow)]
    pub(super) category: Cow<'r, str>,
    #[serde(borrow)]
    pub(super) threshold: Cow<'r, str>,
    #[serde(rename = "method")]
    _method: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tool<'r> {
    #[serde(borrow, alias = "function_declarations")]
    pub(super) function_declarations: Option<Vec<Declaration<'r>>>,
    #[serde(rename = "googleSearch", alias = "google_search")]
    _google_search: Option<IgnoredAny>,
    #[serde(rename = "codeExecution", alias = "code_execution")]
    _code_execution: Option<IgnoredAny>,
    #[serde(rename = "urlContext", alias = "url_context")]
    _url_context: Option<IgnoredAny>,
    #[serde(rename = "googleMaps", alias = "google_maps")]
    _google_maps: Option<IgnoredAny>,
    /// Only AI Studio.
    #[serde(alias = "file_search")]
    pub(super) file_search: Option<IgnoredAny>,
    /// Only Vertex.
    #[serde(alias = "enterprise_web_search")]
    pub(super) enterprise_web_search: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Declaration<'r> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "description")]
    _description: Option<Cow<'r, str>>,
    /// Google's own kind of schema.
    #[serde(borrow)]
    pub(super) parameters: Option<&'r RawValue>,
    #[serde(borrow, alias = "parameters_json_schema")]
    pub(super) parameters_json_schema: Option<&'r RawValue>,
    #[serde(rename = "response")]
    _response: Option<IgnoredAny>,
    #[serde(rename = "responseJsonSchema", alias = "response_json_schema")]
    _response_json_schema: Option<IgnoredAny>,
    #[serde(rename = "behavior")]
    _behavior: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ToolConfig<'r> {
    #[serde(borrow, alias = "function_calling_config")]
    pub(super) function_calling_config: Option<CallingConfig<'r>>,
    #[serde(rename = "retrievalConfig", alias = "retrieval_config")]
    _retrieval_config: Option<IgnoredAny>,
    /// Only AI Studio.
    #[serde(alias = "include_server_side_tool_invocations")]
    pub(super) include_server_side_tool_invocations: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CallingConfig<'r> {
    #[serde(borrow)]
    pub(super) mode: Option<Cow<'r, str>>,
    #[serde(borrow, alias = "allowed_function_names")]
    pub(super) allowed_function_names: Option<Vec<Cow<'r, str>>>,
    /// Only Vertex.
    #[serde(alias = "stream_function_call_arguments")]
    pub(super) stream_function_call_arguments: Option<bool>,
}

/// Google's own kind of schema, a part of `OpenAPI` 3.0; anything else in it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Schema<'r> {
    #[serde(borrow, rename = "type")]
    _type: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "items")]
    _items: Option<Box<Self>>,
    #[serde(borrow, rename = "properties")]
    _properties: Option<BTreeMap<Cow<'r, str>, Self>>,
    #[serde(borrow, rename = "anyOf", alias = "any_of")]
    _any_of: Option<Vec<Self>>,
    #[serde(rename = "format")]
    _format: Option<IgnoredAny>,
    #[serde(rename = "title")]
    _title: Option<IgnoredAny>,
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(rename = "nullable")]
    _nullable: Option<bool>,
    #[serde(rename = "enum")]
    _enum: Option<Vec<String>>,
    #[serde(rename = "required")]
    _required: Option<Vec<String>>,
    #[serde(rename = "default")]
    _default: Option<IgnoredAny>,
    #[serde(rename = "example")]
    _example: Option<IgnoredAny>,
    #[serde(rename = "pattern")]
    _pattern: Option<IgnoredAny>,
    #[serde(rename = "minimum")]
    _minimum: Option<IgnoredAny>,
    #[serde(rename = "maximum")]
    _maximum: Option<IgnoredAny>,
    #[serde(rename = "minLength", alias = "min_length")]
    _min_length: Option<IgnoredAny>,
    #[serde(rename = "maxLength", alias = "max_length")]
    _max_length: Option<IgnoredAny>,
    #[serde(rename = "minItems", alias = "min_items")]
    _min_items: Option<IgnoredAny>,
    #[serde(rename = "maxItems", alias = "max_items")]
    _max_items: Option<IgnoredAny>,
    #[serde(rename = "minProperties", alias = "min_properties")]
    _min_properties: Option<IgnoredAny>,
    #[serde(rename = "maxProperties", alias = "max_properties")]
    _max_properties: Option<IgnoredAny>,
    #[serde(rename = "propertyOrdering", alias = "property_ordering")]
    _property_ordering: Option<IgnoredAny>,
}
