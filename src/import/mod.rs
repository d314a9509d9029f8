//! The configuration of another gateway, rewritten as ours: text in, text and notes out.
//!
//! `LiteLLM`'s `config.yaml` (<https://docs.litellm.ai/docs/proxy/configs>): models become
//! upstreams and routes, settings become keys, and what has no counterpart is told with its place
//! and the reason. Nothing is guessed silently, and no secret is written down: a key becomes
//! `env:NAME`.

mod chain;
mod connection;
mod model;
mod note;
mod provider;
mod quote;
mod settings;
mod shares;
mod upstreams;
mod write;
mod yaml;

use model::Deployment;
pub use note::Note;
use note::Notes;
use settings::Settings;
use upstreams::Upstreams;
use yaml::{Data, Node};

/// What became of a configuration.
#[derive(Debug)]
pub struct Imported {
    /// Our configuration file, with comments.
    pub text: String,
    /// What was not carried over, or not as it stood, in the order of the lines.
    pub notes: Vec<Note>,
    /// How many models clients may ask for; with none there is nothing to run.
    pub routes: usize,
}

/// Rewrites the text of a `LiteLLM` configuration; `name` is that of its file, for comments.
///
/// # Errors
/// Where the text is no YAML, or no table.
pub fn litellm(name: &str, text: &str) -> Result<Imported, Note> {
    let wrong = |(line, why)| Note { line, path: String::new(), why };
    let root = yaml::parse(text).map_err(wrong)?;
    let Data::Map(sections) = &root.data else {
        let why = "found no table, expected a LiteLLM configuration with a model_list".to_owned();
        return Err(Note { line: root.line, path: String::new(), why });
    };
    let mut notes = Notes::default();
    let mut deployments = Vec::new();
    let mut settings = Settings::default();
    // What the router says stands above what the library says.
    for known in settings::SECTIONS {
        if let Some(section) = sections.iter().find(|section| section.key == known) {
            settings.read(&section.key, &section.value, &mut notes);
        }
    }
    for section in sections {
        match section.key.as_str() {
            "model_list" => deployments = model::list(&section.value, &mut notes),
            "environment_variables" => variables(&section.value, &mut notes),
            known if settings::SECTIONS.contains(&known) => {}
            other => notes.add(&section.value, other, settings::section_without(other)),
        }
    }
    let upstreams = Upstreams::name_all(&deployments, &mut notes);
    let deployments: Vec<Deployment> = deployments
        .into_iter()
        .filter(|deployment| upstreams.reach(deployment, &mut notes))
        .collect();
    let routes = chain::routes(&deployments, &upstreams, &settings, &mut notes);
    let notes = notes.in_order();
    let text = write::file(name, (&upstreams, &routes, &settings), &notes);
    Ok(Imported { text, notes, routes: routes.len() })
}

/// Variables belong into the environment of the process: their values may be secrets.
fn variables(node: &Node, notes: &mut Notes) {
    let Data::Map(entries) = &node.data else { return };
    for entry in entries {
        let path = format!("environment_variables.{}", entry.key);
        notes.add(&entry.value, &path, "set it in the environment of vertex-bridge, or in .env");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RICH: &str = r#"
x-common: &common
  api_key: os.environ/SHARED_KEY
  temperature: 0.2
model_list:
  - model_name: fast
    litellm_params: { <<: *common, model: openai/gpt-4o-mini, weight: 0.75, order: 1 }
  - model_name: fast
    litellm_params: { model: groq/llama-3, weight: 0.25, rpm: 30, order: 1 }
  - model_name: fast
    litellm_params: { model: ollama/llama3, api_base: "http://gpu-box:11434", order: 2 }
  - model_name: big
    litellm_params: { model: anthropic/claude-opus, api_key: canary-one, order: 1 }
  - model_name: big
    litellm_params: { model: azure/dep, api_key: canary-two, api_base: "https://r.openai.azure.com/" }
  - model_name: huge
    litellm_params: { model: gemini/gemini-pro, api_base: "https://user:canary@host/" }
  - model_name: huge
    litellm_params: { model: vertex_ai/gemini-pro, vertex_location: eu, vertex_credentials: /a }
  - model_name: "gpt 4 (new)"
    litellm_params: { model: openai/gpt-4 }
  - model_name: pictures
    litellm_params: { model: openai/x }
    model_info: { mode: image_generation }
  - model_name: "my-*"
    litellm_params: { model: openai/* }
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 30
  timeout: 12.5
  allowed_fails: 0
  cooldown_time: 0
  fallbacks: [{ fast: [big] }, { big: [huge, missing] }, { gone: [fast] }]
  model_group_alias: { swift: fast, hidden: { model: big, hidden: true }, lost: nothing }
litellm_settings:
  num_retries: 1
  default_fallbacks: [fast]
  cache: true
  cache_params: { type: redis, ttl: 60, password: canary-three }
  success_callback: [prometheus, langfuse]
general_settings:
  master_key: canary-4
  alerting: [slack]
environment_variables:
  TOKEN: canary-five
surprise: { a: 1 }
"#;

    fn rich() -> Imported {
        litellm("rich.yaml", RICH).expect("YAML")
    }

    fn tables<'t>(text: &'t str, what: &str) -> Vec<&'t str> {
        text.split("\n\n").filter(|table| table.starts_with(what)).collect()
    }

    #[test]
    fn shares_orders_and_fallbacks_become_targets_in_their_order() {
        let text = rich().text;
        let routes = tables(&text, "[[route]]");
        assert_eq!(rich().routes, 5, "{text}");
        let fast = "model = \"fast\"\ntargets = [\n    \
             { upstream = \"openai\", model = \"gpt-4o-mini\", weight = 3 },\n    \
             { upstream = \"groq\", model = \"llama-3\", weight = 1 },\n]\nfallbacks = [\n    \
             { upstream = \"ollama\", model = \"llama3\" },\n    \
             { upstream = \"anthropic\", model = \"claude-opus\" },\n    \
             { upstream = \"azure\", model = \"dep\" },\n    \
             { upstream = \"vertex_ai\", model = \"gemini-pro\" },\n]\nbalance = \"latency\"";
        assert!(routes[0].ends_with(fast), "{}", routes[0]);
        assert!(routes[3].ends_with(&fast.replace("\"fast\"", "\"swift\"")), "{}", routes[3]);
        let big = "model = \"big\"\n\
             targets = [{ upstream = \"anthropic\", model = \"claude-opus\" }]\nfallbacks = [\n    \
             { upstream = \"azure\", model = \"dep\" },\n    \
             { upstream = \"vertex_ai\", model = \"gemini-pro\" },\n    \
             { upstream = \"openai\", model = \"gpt-4o-mini\" },";
        assert!(routes[1].contains(big), "{}", routes[1]);
        let huge = "fallbacks = [\n    { upstream = \"openai\", model = \"gpt-4o-mini\" },";
        assert!(routes[2].contains(huge), "the default fallbacks: {}", routes[2]);
    }

    #[test]
    fn upstreams_have_what_their_deployments_say() {
        let text = rich().text;
        for want in [
            "name = \"openai\"\nkind = \"openai\"\napi_key = \"env:SHARED_KEY\"",
            "name = \"groq\"\nkind = \"openai\"\nbase_url = \"https://api.groq.com/openai/v1\"",
            "name = \"ollama\"\nkind = \"openai\"\nbase_url = \"http://gpu-box:11434/v1\"",
            "kind = \"anthropic\"\napi_key = \"env:ANTHROPIC_API_KEY\"",
            "base_url = \"https://r.openai.azure.com/openai/v1\"\napi_key = \"env:AZURE_API_KEY\"",
            "kind = \"vertex\"\ncredentials_file = \"/a\"\nregion = \"eu\"",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
        assert_eq!(tables(&text, "[[upstream]]").len(), 6, "{text}");
        assert!(text.contains("[tls]\nallow_http = true"), "{text}");
    }

    #[test]
    fn settings_become_keys_where_there_are_such() {
        let text = rich().text;
        for want in [
            "[auth]\nmaster_key = \"env:LITELLM_MASTER_KEY\"",
            "[timeouts]\ntotal = \"12500ms\"",
            "[retry]\nattempts = 10 # router_settings.num_retries",
            "[circuit_breaker]\nfailure_threshold = 1 #",
            "[cache]\nenabled = true # litellm_settings.cache\ndefault_ttl_secs = 60 #",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_carried_over_is_listed_with_its_place() {
        let imported = rich();
        let told: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
        for want in [
            "4: model_list[0].litellm_params.temperature: requests go out",
            "9: model_list[1].litellm_params.rpm: upstreams have no limit per minute",
            "13: model_list[3].litellm_params.api_key: the key is not written down again: set \
             ANTHROPIC_API_KEY to it",
            "15: model_list[4].litellm_params.api_key: ",
            "16: model_list[5] (huge): its api_base is no plain",
            "20: model_list[7] (gpt 4 (new)): \"gpt 4 (new)\" is no name that a route can have",
            "22: model_list[8] (pictures): requests of the mode image_generation are not served",
            "25: model_list[9] (my-*): names that begin with \"my-\" cannot be turned",
            "32: router_settings.cooldown_time: must be from 1",
            "33: router_settings.fallbacks.big: missing is no model that was carried over",
            "33: router_settings.fallbacks.gone: gone is no model",
            "34: router_settings.model_group_alias.hidden: every route is listed",
            "34: router_settings.model_group_alias.lost: leads to no model",
            "39: litellm_settings.cache_params.type: answers are kept in memory only",
            "40: litellm_settings.success_callback: langfuse: there are no callbacks",
            "42: general_settings.master_key: the key is not written down again: set \
             LITELLM_MASTER_KEY to it; ours need 16",
            "43: general_settings.alerting: alerts are made of the metrics",
            "45: environment_variables.TOKEN: set it in the environment",
            "46: surprise: has no counterpart",
        ] {
            assert!(told.iter().any(|note| note.starts_with(want)), "{want}\n{told:#?}");
            assert!(imported.text.contains(&format!("#   line {want}")), "{}", imported.text);
        }
    }

    #[test]
    fn secrets_are_written_nowhere() {
        let imported = rich();
        let all = format!("{imported:?}{}", imported.text);
        assert!(!all.contains("canary"), "{all}");
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        let error = litellm("x", "model_list:\n  - [\n").expect_err("broken");
        assert!(error.to_string().contains("found no valid YAML"), "{error}");
        let error = litellm("x", "- a\n- b\n").expect_err("a list");
        assert_eq!(error.line, 1);
        let empty = litellm("x", "model_list: []\n").expect("YAML");
        assert_eq!((empty.routes, empty.notes.len()), (0, 1));
    }
}
