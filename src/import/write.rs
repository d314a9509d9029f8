//! Our configuration file, in the order of its documentation.

use std::collections::BTreeSet;

use super::chain::{Route, Target};
use super::note::Note;
use super::quote::quoted;
use super::settings::{Setting, Settings};
use super::upstreams::{Upstream, Upstreams};

/// Sections in their order.
const SECTIONS: [&str; 8] =
    ["server", "auth", "log", "timeouts", "limits", "retry", "circuit_breaker", "cache"];

/// The file.
pub(super) fn file(
    name: &str,
    (upstreams, routes, settings): (&Upstreams, &[Route], &Settings),
    notes: &[Note],
) -> String {
    let used = |upstream: &&Upstream| {
        let all = routes.iter().flat_map(|route| route.targets.iter().chain(&route.fallbacks));
        all.into_iter().any(|target| target.upstream == upstream.name)
    };
    let upstreams: Vec<&Upstream> = upstreams.0.iter().filter(used).collect();
    let mut body = String::new();
    for section in SECTIONS {
        let keys = settings.keys.iter().filter(|setting| setting.section == section);
        push_section(section, &keys.collect::<Vec<_>>(), &mut body);
    }
    if upstreams.iter().any(|upstream| upstream.is_plain()) {
        body.push_str(
            "\n# Keys and prompts go to http:// addresses unencrypted.\n[tls]\nallow_http = true\n",
        );
    }
    for upstream in &upstreams {
        push_upstream(upstream, &mut body);
    }
    for route in routes {
        push_route(route, &mut body);
    }
    let mut out = head(name, &body, notes);
    out.push_str(&body);
    out
}

/// What a reader must know: variables, differences, what was left behind.
fn head(name: &str, body: &str, notes: &[Note]) -> String {
    let name = comment(name);
    let mut out = format!(
        "# Made from {name} by `vertex-bridge import litellm`; see docs/configuration.md.\n\
         # LiteLLM listens on all addresses: here with server.host = \"0.0.0.0\" and a key.\n"
    );
    let variables = variables(body);
    if !variables.is_empty() {
        out.push_str("#\n# It takes these from the environment:\n");
        for variable in &variables {
            line(&mut out, &format!("#   {variable}"));
        }
        out.push_str(
            "# A vendor's own variable, such as OPENAI_API_KEY, also makes the routes that\n\
             # docs/configuration.md names (gpt-* and so on), where none here takes the model.\n",
        );
    }
    if !notes.is_empty() {
        out.push_str("#\n# Not carried over as it stood:\n");
        for note in notes {
            line(&mut out, &format!("#   line {}", comment(&note.to_string())));
        }
    }
    out
}

/// Everything that stands in the file as `"env:NAME"`.
fn variables(body: &str) -> BTreeSet<&str> {
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let found = lines.flat_map(|line| line.split("\"env:").skip(1));
    found.filter_map(|rest| rest.split('"').next()).collect()
}

/// No text may end a comment.
fn comment(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn push_section(section: &str, keys: &[&Setting], out: &mut String) {
    if !keys.is_empty() {
        line(out, &format!("\n[{section}]"));
    }
    for Setting { key, value, path, .. } in keys {
        line(out, &format!("{key} = {value} # {}", comment(path)));
    }
}

fn push_upstream(upstream: &Upstream, out: &mut String) {
    let connection = &upstream.connection;
    line(out, "\n[[upstream]]");
    push_key("name", &upstream.name, out);
    push_key("kind", connection.provider.kind.word(), out);
    let key = upstream.key.as_ref().map(|variable| format!("env:{variable}"));
    let words = [
        ("base_url", connection.base_url.as_ref()),
        ("api_key", key.as_ref()),
        ("credentials_file", connection.credentials.as_ref()),
        ("project_id", connection.project.as_ref()),
        ("region", connection.region.as_ref()),
    ];
    for (key, word) in words {
        if let Some(word) = word {
            push_key(key, word, out);
        }
    }
}

fn push_key(key: &str, text: &str, out: &mut String) {
    line(out, &format!("{key} = {}", quoted(text)));
}

fn push_route(route: &Route, out: &mut String) {
    line(out, &format!("\n[[route]] # {}", comment(&route.from)));
    push_key("model", &route.pattern, out);
    push_targets("targets", &route.targets, out);
    if !route.fallbacks.is_empty() {
        push_targets("fallbacks", &route.fallbacks, out);
    }
    if route.by_latency {
        push_key("balance", "latency", out);
    }
}

fn push_targets(list: &str, targets: &[Target], out: &mut String) {
    let weighted = targets.iter().any(|target| target.weight != 1);
    let one = |target: &Target| {
        let upstream = quoted(&target.upstream);
        let named = |model| format!(", model = {}", quoted(model));
        let model = target.model.as_deref().map_or_else(String::new, named);
        let weight = if weighted { format!(", weight = {}", target.weight) } else { String::new() };
        format!("{{ upstream = {upstream}{model}{weight} }}")
    };
    let all: Vec<String> = targets.iter().map(one).collect();
    match &all[..] {
        [only] => line(out, &format!("{list} = [{only}]")),
        all => {
            line(out, &format!("{list} = ["));
            for target in all {
                line(out, &format!("    {target},"));
            }
            line(out, "]");
        }
    }
}
