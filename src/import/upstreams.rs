//! The upstreams that deployments need, each once and with a name.

use std::collections::BTreeSet;

use super::connection::{Connection, Key};
use super::model::Deployment;
use super::note::Notes;
use super::provider::Kind;

/// An upstream of our configuration.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) connection: Connection,
    /// The variable that holds its key.
    pub(super) key: Option<String>,
    /// Where it was first seen.
    pub(super) line: usize,
}

impl Upstream {
    /// Is it reached without TLS, over a network?
    pub(super) fn is_plain(&self) -> bool {
        let rest = self.connection.base_url.as_deref().and_then(|url| url.strip_prefix("http://"));
        let local = ["127.", "localhost", "[::1]"];
        rest.is_some_and(|rest| !local.iter().any(|start| rest.starts_with(start)))
    }

    /// What of a client's `asked` is sent when a target has no model of its own; the rule is that
    /// of [`crate::config::Config::upstream_model`].
    pub(super) fn sent<'a>(&self, asked: &'a str) -> &'a str {
        let own = asked.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let known: &[&str] = match self.connection.provider.kind {
            Kind::Gemini | Kind::Vertex => &["gemini/", "google/", "models/", "vertex_ai/"],
            Kind::Anthropic => &["anthropic/"],
            Kind::OpenAi | Kind::Azure | Kind::Ollama => &[],
        };
        own.or_else(|| known.iter().find_map(|prefix| asked.strip_prefix(prefix))).unwrap_or(asked)
    }
}

/// All upstreams, each once.
#[derive(Debug, Default)]
pub(super) struct Upstreams(pub(super) Vec<Upstream>);

impl Upstreams {
    pub(super) fn find(&self, connection: &Connection) -> Option<&Upstream> {
        self.0.iter().find(|upstream| upstream.connection == *connection)
    }

    /// Can our upstream be asked for what the client's `*` stands for? Says so where it cannot.
    pub(super) fn reach(&self, deployment: &Deployment, notes: &mut Notes) -> bool {
        let Deployment { group, model, connection, path, line, .. } = deployment;
        let (Some(asked), Some(wanted)) = (group.strip_suffix('*'), model.strip_suffix('*')) else {
            return true;
        };
        let sent = self.find(connection).map(|upstream| upstream.sent(asked));
        let fits = sent == Some(wanted);
        if !fits {
            let why = format!(
                "names that begin with {asked:?} cannot be turned into such with {wanted:?}"
            );
            notes.at(*line, &format!("{path} ({group})"), why);
        }
        fits
    }

    /// Gives every connection a name: the provider's, and a number where there are several. Those
    /// that whole families such as `groq/*` lead to come first, because the name is what is cut off
    /// there.
    pub(super) fn name_all(deployments: &[Deployment], notes: &mut Notes) -> Self {
        let mut upstreams = Self::default();
        let mut variables: BTreeSet<String> = deployments
            .iter()
            .filter_map(|deployment| match &deployment.connection.key {
                Key::Variable(name) => Some(name.clone()),
                Key::None | Key::Inline(_) => None,
            })
            .collect();
        let is_family = |deployment: &&Deployment| {
            let rest = deployment.group.strip_prefix(deployment.connection.provider.name);
            rest.is_some_and(|rest| rest.starts_with('/') && rest.ends_with('*'))
        };
        let families = deployments.iter().filter(is_family);
        for Deployment { connection, line, .. } in families.chain(deployments) {
            if upstreams.find(connection).is_some() {
                continue;
            }
            let of_provider =
                |upstream: &&Upstream| upstream.connection.provider == connection.provider;
            let provider = connection.provider.name;
            let name = match upstreams.0.iter().filter(of_provider).count() {
                0 => provider.to_owned(),
                others => format!("{provider}-{}", others + 1),
            };
            let key = match &connection.key {
                Key::None => None,
                Key::Variable(name) => Some(name.clone()),
                Key::Inline(_) => Some(new_variable(&name, &mut variables)),
            };
            if let (Some((path, line)), Some(variable)) = (&connection.inline_at, &key) {
                notes.at(
                    *line,
                    path,
                    format!("the key is not written down again: set {variable} to it"),
                );
            }
            let connection = connection.clone();
            upstreams.0.push(Upstream { name, connection, key, line: *line });
        }
        upstreams.0.sort_by_key(|upstream| upstream.line);
        upstreams
    }
}

/// A variable that nothing else uses.
fn new_variable(upstream: &str, taken: &mut BTreeSet<String>) -> String {
    let stem = upstream.to_ascii_uppercase().replace('-', "_");
    let plain = format!("{stem}_API_KEY");
    let others = (1..).map(|number| format!("{stem}_API_KEY_{number}"));
    let mut all = std::iter::once(plain.clone()).chain(others);
    let free = all.find(|name| !taken.contains(name)).unwrap_or(plain);
    taken.insert(free.clone());
    free
}
