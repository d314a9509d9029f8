//! What is known of the vendors: names, addresses, the routes that their credentials make, and how
//! Vertex AI is addressed.

use super::account::ServiceAccount;
use super::origin::{Base, Origin};
use super::schema::{
    ApiVersion, Compat, Kind, Responses, StreamUsage, Upstream, VertexPlace, VertexProject,
};
use super::secret::Secret;

/// An upstream that credentials make, with the keys that describe it.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The key that makes it exist.
    pub(super) credential: &'static str,
    pub(super) base_url: &'static str,
    /// The vendor's own origin; empty when it has none.
    pub(super) vendor_url: &'static str,
    pub(super) patterns: &'static [&'static str],
}

pub(super) const GOOGLE_URL: &str = "https://generativelanguage.googleapis.com";
const ANTHROPIC_URL: &str = "https://api.anthropic.com";
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// In the order in which they take a pattern: with both of Google's credentials the API key wins.
pub(super) const KNOWN: &[Known] = &[
    Known {
        name: "google",
        kind: Kind::Gemini,
        credential: "vertex.api_key",
        base_url: "vertex.api_key_base_url",
        vendor_url: GOOGLE_URL,
        patterns: &["gemini-*"],
    },
    Known {
        name: "vertex",
        kind: Kind::Vertex,
        credential: "vertex.credentials_file",
        base_url: "vertex.oauth_base_url",
        vendor_url: "",
        patterns: &["gemini-*"],
    },
    Known {
        name: "anthropic",
        kind: Kind::Anthropic,
        credential: "anthropic.api_key",
        base_url: "anthropic.base_url",
        vendor_url: ANTHROPIC_URL,
        patterns: &["claude-*"],
    },
    Known {
        name: "openai",
        kind: Kind::OpenAi,
        credential: "openai.api_key",
        base_url: "openai.base_url",
        vendor_url: OPENAI_URL,
        patterns: &["gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*"],
    },
    Known {
        name: "deepseek",
        kind: Kind::OpenAi,
        credential: "deepseek.api_key",
        base_url: "deepseek.base_url",
        vendor_url: "https://api.deepseek.com/v1",
        patterns: &["deepseek-*"],
    },
    Known {
        name: "ollama",
        kind: Kind::OpenAi,
        credential: "ollama.base_url",
        base_url: "ollama.base_url",
        vendor_url: "",
        patterns: &["ollama/*"],
    },
];

/// The host whose `/v1/responses` is known to exist.
const OPENAI_HOST: &str = "api.openai.com";

/// The region that `FkLLMProxy` had.
const REGION: &str = "us-central1";

impl Upstream {
    /// An upstream with nothing but a name, a wire format and an address.
    pub(super) fn bare(name: &str, kind: Kind, origin: Origin) -> Self {
        let responses = responses("auto", &origin);
        Self {
            name: name.to_owned(),
            kind,
            origin,
            keys: Vec::new(),
            account: None,
            vertex: None,
            compat: Compat::Exact,
            stream_usage: StreamUsage::Auto,
            responses,
            prefill: matches!(kind, Kind::Anthropic | Kind::Vertex),
            trace_context: false,
        }
    }
}

/// The vendor of a `kind`, what its base URLs may end in, and its own address, if it has one.
pub(super) fn of_kind(kind: &str) -> (Kind, Base, &'static str) {
    match kind {
        "gemini" => (Kind::Gemini, Base::Bare, GOOGLE_URL),
        "vertex" => (Kind::Vertex, Base::Bare, ""),
        "anthropic" => (Kind::Anthropic, Base::Bare, ANTHROPIC_URL),
        _ => (Kind::OpenAi, Base::Versioned, OPENAI_URL),
    }
}

/// How `/v1/responses` is served, by the configuration's word.
pub(super) fn responses(word: &str, origin: &Origin) -> Responses {
    match word {
        "native" => Responses::Native,
        "auto" if origin.host == OPENAI_HOST => Responses::Native,
        _ => Responses::Translated,
    }
}

/// The stand-ins until [`super::Config::simulate_at`] knows the address, with their patterns.
pub(super) fn simulated() -> Vec<(Upstream, &'static [&'static str])> {
    let stand_in = |known: &Known| {
        let path = if known.kind == Kind::OpenAi { "/v1" } else { "" };
        let origin = Origin { path: path.to_owned(), ..Origin::local(([127, 0, 0, 1], 0).into()) };
        let mut upstream = Upstream::bare(known.name, known.kind, origin);
        upstream.keys.push(Secret::new("simulated".to_owned()));
        (upstream, known.patterns)
    };
    let names = ["google", "anthropic", "openai"];
    KNOWN.iter().filter(|known| names.contains(&known.name)).map(stand_in).collect()
}

/// What is said of an upstream on Vertex AI.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VertexWords<'s> {
    pub(super) project: Option<&'s str>,
    pub(super) region: Option<&'s str>,
    pub(super) api_version: Option<&'s str>,
    pub(super) account: Option<&'s ServiceAccount>,
    /// An API key takes the place of account, project and region.
    pub(super) express: bool,
}

impl VertexWords<'_> {
    /// What paths name; `None` when no project is known.
    pub(super) fn place(self) -> Option<VertexPlace> {
        let api_version = match self.api_version {
            Some("v1beta1") => ApiVersion::V1Beta1,
            _ => ApiVersion::V1,
        };
        if self.express {
            return Some(VertexPlace { api_version, project: None });
        }
        let own = self.account.and_then(|account| account.project_id.as_deref());
        let id = self.project.or(own)?.to_owned();
        let location = self.region.unwrap_or(REGION).to_owned();
        Some(VertexPlace { api_version, project: Some(VertexProject { id, location }) })
    }

    /// Google's host. Regions have hosts of their own; `global` and the multi-regions have others
    /// (<https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>).
    pub(super) fn origin(self) -> Option<Origin> {
        let region = if self.express { "global" } else { self.region.unwrap_or(REGION) };
        let url = match region {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            multi @ ("us" | "eu") => format!("https://aiplatform.{multi}.rep.googleapis.com"),
            region => format!("https://{region}-aiplatform.googleapis.com"),
        };
        Origin::parse(&url, Base::Bare).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_vertex_has_its_host_and_path() {
        for (region, host, location) in [
            (None, "us-central1-aiplatform.googleapis.com", "us-central1"),
            (Some("europe-west4"), "europe-west4-aiplatform.googleapis.com", "europe-west4"),
            (Some("global"), "aiplatform.googleapis.com", "global"),
            (Some("us"), "aiplatform.us.rep.googleapis.com", "us"),
            (Some("eu"), "aiplatform.eu.rep.googleapis.com", "eu"),
        ] {
            let words = VertexWords { project: Some("p"), region, ..VertexWords::default() };
            let origin = words.origin().expect("a host");
            assert_eq!((origin.host.as_str(), origin.tls), (host, true));
            let place = words.place().expect("a place");
            assert_eq!(place.api_version, ApiVersion::V1);
            let project = place.project.expect("a project");
            assert_eq!((project.id.as_str(), project.location.as_str()), ("p", location));
        }
        let express =
            VertexWords { express: true, api_version: Some("v1beta1"), ..VertexWords::default() };
        assert_eq!(express.origin().expect("a host").host, "aiplatform.googleapis.com");
        let place = VertexPlace { api_version: ApiVersion::V1Beta1, project: None };
        assert_eq!(express.place(), Some(place));
        assert_eq!(VertexWords::default().place(), None, "a project is needed");
    }

    #[test]
    fn only_the_vendor_itself_is_known_to_have_responses() {
        let at = |url| Origin::parse(url, Base::Versioned).expect(url);
        let vendor = at("https://api.openai.com/v1");
        let other = at("http://localhost:11434/v1");
        assert_eq!(responses("auto", &vendor), Responses::Native);
        assert_eq!(responses("auto", &other), Responses::Translated);
        assert_eq!(responses("native", &other), Responses::Native);
        assert_eq!(responses("translated", &vendor), Responses::Translated);
    }
}
