//! `LiteLLM`'s names of providers: whose API each speaks and where it is, as of version 1.110
//! (`litellm_core_utils/get_llm_provider_logic.py`).

/// What our upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gemini,
    Vertex,
    Anthropic,
    OpenAi,
    /// Azure's version 1 of `OpenAI`'s API, which takes a deployment's name as the model.
    Azure,
    /// As `OpenAi`, at an address without `/v1`.
    Ollama,
}

impl Kind {
    /// The word of our `kind`.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Anthropic => "anthropic",
            Self::OpenAi | Self::Azure | Self::Ollama => "openai",
        }
    }
}

/// A provider that we reach.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provider {
    /// What stands before the slash in a model's name.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Where it is when nothing is said; empty where it must be said, or is ours to know.
    pub(super) base_url: &'static str,
    /// The variable with its key when none is said; empty where none is needed.
    pub(super) key: &'static str,
}

const fn compatible(name: &'static str, base_url: &'static str, key: &'static str) -> Provider {
    Provider { name, kind: Kind::OpenAi, base_url, key }
}

const PROVIDERS: &[Provider] = &[
    compatible("openai", "", "OPENAI_API_KEY"),
    Provider { name: "anthropic", kind: Kind::Anthropic, base_url: "", key: "ANTHROPIC_API_KEY" },
    Provider { name: "gemini", kind: Kind::Gemini, base_url: "", key: "GEMINI_API_KEY" },
    Provider { name: "vertex_ai", kind: Kind::Vertex, base_url: "", key: "" },
    Provider { name: "azure", kind: Kind::Azure, base_url: "", key: "AZURE_API_KEY" },
    Provider { name: "ollama", kind: Kind::Ollama, base_url: "http://localhost:11434/v1", key: "" },
    compatible("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    compatible(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
    ),
    compatible("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    compatible("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    compatible("fireworks_ai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    compatible("github", "https://models.inference.ai.azure.com", "GITHUB_API_KEY"),
    compatible("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    compatible("hosted_vllm", "", ""),
    compatible("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    compatible("lambda_ai", "https://api.lambda.ai/v1", "LAMBDA_API_KEY"),
    compatible("litellm_proxy", "", "LITELLM_PROXY_API_KEY"),
    compatible("llamafile", "http://127.0.0.1:8080/v1", ""),
    compatible("lm_studio", "", ""),
    compatible("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    compatible("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    compatible("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    compatible("nebius", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    compatible("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    compatible("nvidia_nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    compatible("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    compatible("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    compatible("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    compatible("together_ai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    compatible("volcengine", "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
    compatible("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    compatible("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
];

/// Other names of the same.
const ALIASES: &[(&str, &str)] = &[
    ("aiohttp_openai", "openai"),
    ("custom_openai", "openai"),
    ("openai_like", "openai"),
    ("text-completion-openai", "openai"),
    ("ollama_chat", "ollama"),
    ("vertex_ai_beta", "vertex_ai"),
];

/// Names without a provider that `LiteLLM` knows, by their beginnings.
const KNOWN_MODELS: &[(&str, &str)] = &[
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("ft:", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "vertex_ai"),
    ("command-", "cohere"),
];

/// The provider of a model's name and the name that it gets; the error is why there is none.
pub(super) fn of<'m>(
    model: &'m str,
    said: Option<&str>,
) -> Result<(&'static Provider, &'m str), String> {
    let (prefix, rest) = model.split_once('/').unwrap_or(("", model));
    if let Some(said) = said {
        let rest = if prefix == said { rest } else { model };
        return named(said).map(|provider| (provider, rest)).ok_or_else(|| not_reached(said));
    }
    if let Some(provider) = named(prefix) {
        return Ok((provider, rest));
    }
    if !prefix.is_empty() {
        return Err(not_reached(prefix));
    }
    let known = KNOWN_MODELS.iter().find(|(start, _)| model.starts_with(start));
    let (_, name) = known.ok_or_else(|| {
        format!("no provider stands before {model:?}, and none is known for that name")
    })?;
    named(name).map(|provider| (provider, model)).ok_or_else(|| not_reached(name))
}

fn named(name: &str) -> Option<&'static Provider> {
    let alias = ALIASES.iter().find(|(other, _)| *other == name).map(|(_, name)| *name);
    let name = alias.unwrap_or(name);
    PROVIDERS.iter().find(|provider| provider.name == name)
}

fn not_reached(provider: &str) -> String {
    let more = match provider {
        "bedrock" | "sagemaker" | "sagemaker_chat" => ": Amazon's signed API is not spoken",
        "azure_ai" => ": an upstream of kind openai or anthropic with its base_url may do",
        "auto_router" => ": routes do not choose by what a request says",
        _ => "; if it speaks OpenAI's API, an upstream of kind openai with its base_url will do",
    };
    format!("the provider `{provider}` is not reached{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_found_by_prefix_by_word_and_by_name() {
        for (model, said, provider, rest) in [
            ("openai/gpt-4o", None, "openai", "gpt-4o"),
            ("openrouter/meta-llama/llama-3", None, "openrouter", "meta-llama/llama-3"),
            ("gpt-4o", None, "openai", "gpt-4o"),
            ("claude-3-opus", None, "anthropic", "claude-3-opus"),
            ("gemini-1.5-pro", None, "vertex_ai", "gemini-1.5-pro"),
            ("meta/llama", Some("openai"), "openai", "meta/llama"),
            ("openai/x", Some("openai"), "openai", "x"),
            ("ollama_chat/llama3", None, "ollama", "llama3"),
        ] {
            let (found, name) = of(model, said).expect(model);
            assert_eq!((found.name, name), (provider, rest), "{model}");
        }
        for (model, said) in [("bedrock/x", None), ("command-r", None), ("llama", None)] {
            assert!(of(model, said).is_err(), "{model}");
        }
        assert!(of("x", Some("watsonx")).is_err());
    }

    #[test]
    fn no_provider_is_listed_twice() {
        for (at, provider) in PROVIDERS.iter().enumerate() {
            assert!(named(provider.name).is_some_and(|found| found == provider), "{at}");
        }
    }
}
