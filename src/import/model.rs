//! One entry of `model_list`: what clients ask for, and which model of which upstream serves it.

use super::connection::Connection;
use super::note::Notes;
use super::provider::{self, Provider};
use super::yaml::{Data, Node};

/// The most characters of a model's name, as everywhere in our configuration.
const NAME_CHARS_MAX: usize = 128;

/// Kinds of requests (`model_info.mode`) that are served.
const MODES: &[&str] = &["chat", "completion", "embedding", "responses"];

/// A model at an upstream, under the name that clients use.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    /// What clients ask for; may end in `*`.
    pub(super) group: String,
    pub(super) line: usize,
    /// `model_list[3]`.
    pub(super) path: String,
    pub(super) connection: Connection,
    /// The upstream's name of the model; what is to stand for the client's `*` ends in `*`.
    pub(super) model: String,
    pub(super) share: Share,
    /// Those of the lowest order are asked first.
    pub(super) order: u64,
}

/// How much of a group's traffic goes to a deployment, as far as something is said of that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) weight: Option<f64>,
    pub(super) requests: Option<f64>,
    pub(super) tokens: Option<f64>,
}

/// All entries that can be served.
pub(super) fn list(node: &Node, notes: &mut Notes) -> Vec<Deployment> {
    if node.items().is_empty() {
        notes.add(node, "model_list", "holds no models");
    }
    let items = node.items().iter().enumerate();
    items.filter_map(|(at, item)| deployment(item, format!("model_list[{at}]"), notes)).collect()
}

fn deployment(item: &Node, path: String, notes: &mut Notes) -> Option<Deployment> {
    let group = item.get("model_name").and_then(Node::text);
    let params = item.get("litellm_params");
    let model = params.and_then(|params| params.get("model")).and_then(Node::text);
    let (Some(group), Some(params), Some(model)) = (group, params, model) else {
        notes.add(item, &path, "has no model_name or no litellm_params.model");
        return None;
    };
    let said = params.get("custom_llm_provider").and_then(Node::text);
    let mode = item.get("model_info").and_then(|info| info.get("mode")).and_then(Node::text);
    let found = provider::of(model, said).and_then(|(provider, rest)| {
        let name = upstream_name(provider, rest);
        check_names(group, &name)?;
        if let Some(mode) = mode.filter(|mode| !MODES.contains(mode)) {
            return Err(format!("requests of the mode {mode} are not served"));
        }
        check_vertex(provider, &name)?;
        Ok((provider, name))
    });
    let found = found.and_then(|(provider, name)| {
        let connection = Connection::read(provider, params, &path, notes)?;
        Ok((connection, name))
    });
    match found {
        Ok((connection, model)) => {
            let order = params.get("order").and_then(Node::text).and_then(|text| text.parse().ok());
            let share = share(params);
            tell_the_rest(item, params, &path, notes);
            Some(Deployment {
                group: group.to_owned(),
                line: item.line,
                path,
                connection,
                model,
                share,
                order: order.unwrap_or(u64::MAX),
            })
        }
        Err(why) => {
            notes.add(item, &format!("{path} ({group})"), why);
            None
        }
    }
}

/// What the upstream calls the model that `LiteLLM` calls so.
fn upstream_name(provider: &Provider, name: &str) -> String {
    // Names of one's own are short there.
    if provider.name == "fireworks_ai" && !name.starts_with("accounts/") {
        return format!("accounts/fireworks/models/{name}");
    }
    name.to_owned()
}

fn check_names(group: &str, model: &str) -> Result<(), String> {
    let fits = |name: &str| {
        let bare = name.strip_suffix('*').unwrap_or(name);
        let known = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
        name.len() <= NAME_CHARS_MAX && bare.bytes().all(known)
    };
    if !fits(group) {
        return Err(format!(
            "{group:?} is no name that a route can have: A-Z a-z 0-9 . _ : / @ - and one * at its \
             end"
        ));
    }
    if model.starts_with("responses/") {
        return Err("chat completions are not sent on as responses".to_owned());
    }
    let other = ["dall-e", "gpt-image", "tts-", "whisper", "sora", "omni-moderation"];
    if other.iter().any(|start| model.starts_with(start)) {
        return Err("only chat, completions and embeddings are served".to_owned());
    }
    if model.is_empty() || !fits(model) || (model.ends_with('*') && !group.ends_with('*')) {
        return Err(format!("the upstream's name {model:?} cannot be asked for"));
    }
    Ok(())
}

/// On Vertex AI we speak to the models of two vendors.
fn check_vertex(provider: &Provider, model: &str) -> Result<(), String> {
    let served = ["gemini", "claude", "text-embedding", "*"];
    if provider.name != "vertex_ai" || served.iter().any(|start| model.starts_with(start)) {
        return Ok(());
    }
    Err("of Vertex AI, only Gemini and Claude are reached".to_owned())
}

fn share(params: &Node) -> Share {
    let number = |key| params.get(key).and_then(Node::number);
    Share { weight: number("weight"), requests: number("rpm"), tokens: number("tpm") }
}

/// Names everything about a deployment that has no counterpart.
fn tell_the_rest(item: &Node, params: &Node, path: &str, notes: &mut Notes) {
    for entry in params.entries().iter().filter(|entry| !entry.value.is_empty()) {
        if let Some(why) = param_without(&entry.key) {
            notes.add(&entry.value, &format!("{path}.litellm_params.{}", entry.key), why);
        }
    }
    for entry in item.entries().iter().filter(|entry| !entry.value.is_empty()) {
        match entry.key.as_str() {
            "model_name" | "litellm_params" => {}
            "rpm" | "tpm" => notes.add(&entry.value, &format!("{path}.{}", entry.key), PER_MINUTE),
            "model_info" => tell_info(&entry.value, path, notes),
            other => notes.add(&entry.value, &format!("{path}.{other}"), "has no counterpart"),
        }
    }
}

fn tell_info(info: &Node, path: &str, notes: &mut Notes) {
    let Data::Map(entries) = &info.data else { return };
    let (costs, rest): (Vec<_>, Vec<_>) =
        entries.iter().filter(|entry| entry.key != "mode").partition(|e| e.key.contains("cost"));
    for entry in costs {
        notes.add(&entry.value, &format!("{path}.model_info.{}", entry.key), PRICE);
    }
    let names: Vec<&str> = rest.iter().map(|entry| entry.key.as_str()).collect();
    if !names.is_empty() {
        let why = format!("describes the model to LiteLLM: {}", names.join(", "));
        notes.add(info, &format!("{path}.model_info"), why);
    }
}

const PER_MINUTE: &str = "upstreams have no limit per minute; keys have";

const PER_MINUTE_SHARED: &str = "upstreams have no limit per minute, keys have; where there is no \
                                 weight it is the share of traffic";

const PRICE: &str = "prices are those of the built-in table; others go into [[price]]";

/// Why a parameter of a deployment is not carried over; `None` for those that are.
fn param_without(key: &str) -> Option<&'static str> {
    Some(match key {
        "model"
        | "custom_llm_provider"
        | "api_key"
        | "api_base"
        | "base_url"
        | "weight"
        | "order"
        | "vertex_project"
        | "vertex_location"
        | "vertex_credentials" => {
            return None;
        }
        // What a vendor does not know is left out and named in every case.
        "drop_params" => return None,
        "rpm" | "tpm" => PER_MINUTE_SHARED,
        "api_version" => "Azure's version 1 takes the place of dated ones",
        "timeout" | "stream_timeout" | "max_retries" | "num_retries" => {
            "times and repeats are the same for all models: timeouts.*, retry.attempts"
        }
        "max_parallel_requests" => "limits.upstream_concurrency is the same for all upstreams",
        "tags" => "routes do not look at tags; a key can be limited to models",
        "extra_headers" | "headers" | "organization" => "no fields of one's own are sent upstream",
        "temperature"
        | "top_p"
        | "top_k"
        | "max_tokens"
        | "max_completion_tokens"
        | "stop"
        | "seed"
        | "extra_body"
        | "presence_penalty"
        | "frequency_penalty"
        | "thinking"
        | "reasoning_effort"
        | "response_format"
        | "tools"
        | "user"
        | "metadata" => "requests go out as clients write them: nothing is added",
        key if key.contains("cost_per") => PRICE,
        _ => "has no counterpart",
    })
}
