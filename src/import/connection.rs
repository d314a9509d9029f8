//! Where a deployment is and with which credential it is asked; deployments that have that in
//! common become one upstream.

use crate::config::Secret;

use super::note::Notes;
use super::provider::{Kind, Provider};
use super::yaml::Node;

/// What makes an upstream.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) provider: &'static Provider,
    pub(super) base_url: Option<String>,
    pub(super) key: Key,
    /// Where a key that stands in the file stands: its place and its line.
    pub(super) inline_at: Option<(String, usize)>,
    pub(super) credentials: Option<String>,
    pub(super) project: Option<String>,
    pub(super) region: Option<String>,
}

/// The key of an upstream.
#[derive(Clone, Debug)]
pub(super) enum Key {
    None,
    /// In this variable.
    Variable(String),
    /// It stands in the file.
    Inline(Secret),
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        let same_key = match (&self.key, &other.key) {
            (Key::None, Key::None) => true,
            (Key::Variable(one), Key::Variable(two)) => one == two,
            (Key::Inline(one), Key::Inline(two)) => one.expose() == two.expose(),
            _ => false,
        };
        same_key
            && self.provider == other.provider
            && self.base_url == other.base_url
            && self.credentials == other.credentials
            && self.project == other.project
            && self.region == other.region
    }
}

impl Connection {
    /// Reads what `litellm_params` say; the error is why there is no such upstream.
    pub(super) fn read(
        provider: &'static Provider,
        params: &Node,
        path: &str,
        notes: &mut Notes,
    ) -> Result<Self, String> {
        let word = |key: &str| params.get(key).and_then(Node::text).map(reference);
        let base_key = if params.get("api_base").is_some() { "api_base" } else { "base_url" };
        let base = params.get(base_key).filter(|node| node.text().is_some());
        let base_path = format!("{path}.litellm_params.{base_key}");
        let base_url = match base {
            Some(node) => Some(base_url(provider.kind, node, &base_path, notes)?),
            None if provider.kind == Kind::Azure => {
                return Err("without api_base it is not known which resource is meant".to_owned());
            }
            None if provider.base_url.is_empty() && is_local(provider) => {
                return Err("without api_base it is not known where it is".to_owned());
            }
            None => Some(provider.base_url.to_owned()).filter(|url| !url.is_empty()),
        };
        let vertex = provider.kind == Kind::Vertex;
        let key_node = params.get("api_key").filter(|node| node.text().is_some() && !vertex);
        let (key, inline_at) = match key_node.map(|node| (node, node.text().map(reference))) {
            Some((_, Some(Word::Variable(name)))) => (Key::Variable(name), None),
            Some((node, Some(Word::Literal(text)))) => {
                let place = format!("{path}.litellm_params.api_key");
                (Key::Inline(Secret::new(text)), Some((place, node.line)))
            }
            // LiteLLM would send the vendor's key to whoever is at that address.
            _ if provider.key.is_empty() || (base.is_some() && provider.kind != Kind::Azure) => {
                (Key::None, None)
            }
            _ => (Key::Variable(provider.key.to_owned()), None),
        };
        let credentials = vertex.then(|| {
            let named = word("vertex_credentials").map(Word::written);
            named.unwrap_or_else(|| "env:GOOGLE_APPLICATION_CREDENTIALS".to_owned())
        });
        if credentials.as_deref().is_some_and(|text| text.starts_with('{')) {
            return Err(
                "its credentials stand in the file: write them to a file of their own and \
                        name that"
                    .to_owned(),
            );
        }
        Ok(Self {
            provider,
            base_url,
            key,
            inline_at,
            credentials,
            project: word("vertex_project").filter(|_| vertex).map(Word::written),
            region: word("vertex_location").filter(|_| vertex).map(Word::written),
        })
    }
}

/// Is it something that stands wherever one has put it?
fn is_local(provider: &Provider) -> bool {
    matches!(provider.name, "hosted_vllm" | "lm_studio" | "litellm_proxy")
}

/// What a word in the file is.
pub(super) enum Word {
    Literal(String),
    /// The name of a variable.
    Variable(String),
}

impl Word {
    /// As our configuration has it.
    pub(super) fn written(self) -> String {
        match self {
            Self::Literal(text) => text,
            Self::Variable(name) => format!("env:{name}"),
        }
    }
}

/// `os.environ/NAME`, or `${NAME}` for tools that fill that in before.
pub(super) fn reference(text: &str) -> Word {
    let braced = || text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let name = text.strip_prefix("os.environ/").or_else(braced);
    name.map_or_else(
        || Word::Literal(text.to_owned()),
        |name| Word::Variable(name.split(":-").next().unwrap_or(name).to_owned()),
    )
}

/// Our `base_url` for their `api_base`.
fn base_url(kind: Kind, node: &Node, path: &str, notes: &mut Notes) -> Result<String, String> {
    let url = match reference(node.text().unwrap_or_default()) {
        Word::Literal(url) => url,
        Word::Variable(name) => {
            let must = match kind {
                Kind::Azure => "https://RESOURCE.openai.azure.com/openai/v1",
                Kind::Ollama => "the address with /v1 at its end",
                _ => return Ok(format!("env:{name}")),
            };
            notes.add(node, path, format!("{name} must now hold {must}"));
            return Ok(format!("env:{name}"));
        }
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    let wrong = rest.is_empty() || rest.contains(['@', '?', '#', ' ', '<', '$', '{']);
    if wrong || !matches!(scheme, "http" | "https") {
        return Err("its api_base is no plain http:// or https:// address".to_owned());
    }
    let trimmed = url.trim_end_matches('/');
    let bare = rest.trim_end_matches('/').find('/').is_none();
    Ok(match kind {
        Kind::Azure => {
            let host = rest.split('/').next().unwrap_or(rest);
            format!("{scheme}://{host}/openai/v1")
        }
        Kind::Ollama if bare => format!("{trimmed}/v1"),
        Kind::Anthropic => trimmed.trim_end_matches("/v1/messages").to_owned(),
        _ => trimmed.to_owned(),
    })
}
