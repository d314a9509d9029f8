//! One small exchange of each vendor in the shape of real traffic. The counts of instructions
//! (`benches/icount`) and of allocations (`tests/alloc`) are taken from the same bytes.

use vertex_bridge::chat::{Door, ReplyMeta};
use vertex_bridge::provider::decode::AnswerLimits;
use vertex_bridge::provider::{Order, Rules, Vendor};

/// What a client asks: a system text, a short conversation, a few wishes.
pub(crate) const REQUEST: &str = concat!(
    r#"{"model":"fast","messages":[{"role":"system","content":"You are a helpful assistant. Answer in one sentence."},"#,
    r#"{"role":"user","content":"What is the capital of France?"},{"role":"assistant","content":"Paris."},"#,
    r#"{"role":"user","content":"And \"what\" about Italy?\nPlease be brief."}],"#,
    r#""temperature":0.7,"max_tokens":256,"stop":["END"],"stream":true,"stream_options":{"include_usage":true}}"#
);

/// The small one: a question as most programs ask it.
pub(crate) const SMALL: &str = concat!(
    r#"{"model":"fast","messages":[{"role":"system","content":"You are a helpful assistant."},"#,
    r#"{"role":"user","content":"What is the capital of Italy? Answer in one sentence."}],"#,
    r#""temperature":0.7,"max_tokens":256}"#
);

/// The same two of a client that speaks Anthropic's API.
const MESSAGES_REQUEST: &str = concat!(
    r#"{"model":"fast","system":"You are a helpful assistant. Answer in one sentence.","messages":["#,
    r#"{"role":"user","content":"What is the capital of France?"},{"role":"assistant","content":"#,
    r#"[{"type":"text","text":"Paris."}]},{"role":"user","content":[{"type":"text","text":"And \"what\" "#,
    r#"about Italy?\nPlease be brief."}]}],"temperature":0.7,"max_tokens":256,"stop_sequences":["END"],"#,
    r#""stream":true}"#
);
const MESSAGES_SMALL: &str = concat!(
    r#"{"model":"fast","system":"You are a helpful assistant.","messages":["#,
    r#"{"role":"user","content":"What is the capital of Italy? Answer in one sentence."}],"#,
    r#""temperature":0.7,"max_tokens":256}"#
);

/// 200 bytes of a model's words as they stand in JSON, with escapes and characters of two bytes.
pub(crate) const TEXT: &str = concat!(
    "Rome is the capital of Italy, and it has been \\\"the Eternal City\\\" for a very long time.\\n\\n",
    "It lies on the Tiber, some 25 km from the sea; è una città di quasi tre milioni di abitanti, ",
    "or so they\\n."
);

/// One vendor's side, and the client's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Which API the client speaks: for OpenAI another one, since its own needs no translation.
    pub(crate) door: Door,
    /// What the client asks, in that API, and the small one.
    pub(crate) request: &'static str,
    pub(crate) small: &'static str,
    /// Who answers.
    pub(crate) vendor: Vendor,
    /// By the vendor's name.
    pub(crate) model: &'static str,
    /// An answer in one piece.
    pub(crate) whole: &'static str,
    /// What a stream begins with.
    opening: &'static str,
    /// What stands before and behind [`TEXT`] in one event.
    event: [&'static str; 2],
    /// What a stream ends with.
    closing: &'static str,
}

/// Google AI Studio.
pub(crate) const GEMINI: Traffic = Traffic {
    door: Door::Chat,
    request: REQUEST,
    small: SMALL,
    vendor: Vendor::Gemini,
    model: "gemini-2.5-flash",
    whole: r#"{
  "candidates": [
    {
      "content": {
        "parts": [
          {
            "text": "The capital of Italy is Rome."
          }
        ],
        "role": "model"
      },
      "finishReason": "STOP",
      "index": 0
    }
  ],
  "usageMetadata": {
    "promptTokenCount": 31,
    "candidatesTokenCount": 7,
    "totalTokenCount": 38,
    "promptTokensDetails": [
      {
        "modality": "TEXT",
        "tokenCount": 31
      }
    ]
  },
  "modelVersion": "gemini-2.5-flash",
  "responseId": "vEkkaZHQKrKjvdIP5s6LgAM"
}
"#,
    opening: "",
    event: [
        r#"data: {"candidates": [{"content": {"parts": [{"text": ""#,
        concat!(
            r#""}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 31,"#,
            r#""candidatesTokenCount": 55,"totalTokenCount": 86,"promptTokensDetails": "#,
            r#"[{"modality": "TEXT","tokenCount": 31}]},"modelVersion": "gemini-2.5-flash","#,
            r#""responseId": "vEkkaZHQKrKjvdIP5s6LgAM"}"#,
            "\r\n\r\n"
        ),
    ],
    closing: concat!(
        r#"data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"#,
        r#""finishReason": "STOP","index": 0}],"usageMetadata": {"promptTokenCount": 31,"#,
        r#""candidatesTokenCount": 5500,"totalTokenCount": 5531},"modelVersion": "#,
        r#""gemini-2.5-flash","responseId": "vEkkaZHQKrKjvdIP5s6LgAM"}"#,
        "\r\n\r\n"
    ),
};

/// Anthropic's Messages.
pub(crate) const ANTHROPIC: Traffic = Traffic {
    door: Door::Chat,
    request: REQUEST,
    small: SMALL,
    vendor: Vendor::Anthropic,
    model: "claude-sonnet-4-5",
    whole: concat!(
        r#"{"model":"claude-sonnet-4-5-20250929","id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"#,
        r#""message","role":"assistant","content":[{"type":"text","text":"The capital of Italy "#,
        r#"is Rome."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":31,"#,
        r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"#,
        r#""ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":10,"#,
        r#""service_tier":"standard"}}"#
    ),
    opening: concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"model":"claude-sonnet-4-5-20250929","id":"#,
        r#""msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","content":[],"#,
        r#""stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":31,"#,
        r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"#,
        r#""service_tier":"standard"}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"
    ),
    event: [
        concat!(
            "event: content_block_delta\n",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""#
        ),
        "\"}}\n\n",
    ],
    closing: concat!(
        "event: content_block_stop\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n\nevent: message_delta\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"#,
        r#""usage":{"output_tokens":5500}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    ),
};

/// The same on Vertex AI.
pub(crate) const CLAUDE: Traffic = Traffic { vendor: Vendor::Claude, ..ANTHROPIC };

/// OpenAI's chat completions.
pub(crate) const OPENAI: Traffic = Traffic {
    door: Door::Messages,
    request: MESSAGES_REQUEST,
    small: MESSAGES_SMALL,
    vendor: Vendor::OpenAi,
    model: "gpt-4o",
    whole: r#"{
  "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
  "object": "chat.completion",
  "created": 1741570283,
  "model": "gpt-4o-2024-08-06",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "The capital of Italy is Rome.",
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 31,
    "completion_tokens": 7,
    "total_tokens": 38,
    "prompt_tokens_details": {
      "cached_tokens": 0,
      "audio_tokens": 0
    },
    "completion_tokens_details": {
      "reasoning_tokens": 0,
      "audio_tokens": 0,
      "accepted_prediction_tokens": 0,
      "rejected_prediction_tokens": 0
    }
  },
  "service_tier": "default",
  "system_fingerprint": "fp_fc9f1d7035"
}
"#,
    opening: concat!(
        r#"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","#,
        r#""created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","#,
        r#""system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"role":"assistant","#,
        r#""content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"#,
        r#""obfuscation":"4AVTQ"}"#,
        "\n\n"
    ),
    event: [
        concat!(
            r#"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","#,
            r#""created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","#,
            r#""system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{"content":""#
        ),
        concat!(
            r#""},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"Qm7xP0a"}"#,
            "\n\n"
        ),
    ],
    closing: concat!(
        r#"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","#,
        r#""created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","#,
        r#""system_fingerprint":"fp_fc9f1d7035","choices":[{"index":0,"delta":{},"logprobs":null,"#,
        r#""finish_reason":"stop"}],"usage":null,"obfuscation":"a"}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","#,
        r#""created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","#,
        r#""system_fingerprint":"fp_fc9f1d7035","choices":[],"usage":{"prompt_tokens":31,"#,
        r#""completion_tokens":5500,"total_tokens":5531},"obfuscation":""}"#,
        "\n\ndata: [DONE]\n\n"
    ),
};

impl Traffic {
    /// The order that leads to this answer.
    pub(crate) fn order(&self) -> Order<'static> {
        Order { vendor: self.vendor, model: self.model, rules: Rules::default() }
    }

    /// The bytes that begin a stream.
    pub(crate) fn opening(&self) -> &'static [u8] {
        self.opening.as_bytes()
    }

    /// One event with [`TEXT`].
    pub(crate) fn event(&self) -> Vec<u8> {
        self.event.join(TEXT).into_bytes()
    }

    /// A whole stream with so many events.
    pub(crate) fn stream(&self, events: usize) -> Vec<u8> {
        [self.opening(), &self.event().repeat(events), self.closing.as_bytes()].concat()
    }
}

/// What an answer has that does not come from the vendor.
pub(crate) fn meta() -> ReplyMeta {
    ReplyMeta { fallback_id: 1, created: 1_764_000_000, model: "fast".to_owned() }
}

/// Wide enough for all of it.
pub(crate) const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 1 << 20 };
