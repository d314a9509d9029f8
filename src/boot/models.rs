//! The command `models`: what the routes serve, and who is asked for it.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::{Config, Target};

use super::args::CommandLine;
use super::out::{complain, print};
use super::{env, report};

/// Lists the routes.
pub(super) fn run(line: &CommandLine, json: bool) -> ExitCode {
    let config = match env::load(line.options.config.as_deref(), &line.flags()) {
        Ok(config) => config,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let text = if json { format!("{:#}\n", list(&config)) } else { table(&config) };
    print(text.as_bytes())
}

/// A list as `/v1/models` gives it, with the candidates of each route.
fn list(config: &Config) -> Value {
    let candidate = |target: &Target| {
        let upstream = config.upstreams.get(target.upstream).map(|upstream| &upstream.name);
        json!({ "upstream": upstream, "model": target.model, "weight": target.weight })
    };
    let all = |targets: &[Target]| targets.iter().map(candidate).collect::<Vec<_>>();
    let routes = config.routes.as_slice().iter().map(|route| {
        json!({
            "id": route.pattern,
            "targets": all(&route.targets),
            "fallbacks": all(&route.fallbacks),
        })
    });
    json!({ "object": "list", "data": routes.collect::<Vec<_>>() })
}

fn table(config: &Config) -> String {
    let routes = config.routes.as_slice();
    let width = routes.iter().map(|route| route.pattern.len()).max().unwrap_or(0);
    let line = |route: &crate::config::Route| {
        let targets = report::names(config, &route.targets).join(", ");
        let fallbacks = report::names(config, &route.fallbacks).join(", ");
        let then = if fallbacks.is_empty() { "" } else { ", then " };
        format!("{:width$}  {targets}{then}{fallbacks}\n", route.pattern)
    };
    routes.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn every_route_is_listed_with_its_candidates() {
        let file = "[[upstream]]\nname = \"a\"\nkind = \"openai\"\nbase_url = \"http://[::1]:1/v1\"\n\
                    [[route]]\nmodel = \"fast\"\ntargets = [{ upstream = \"a\", model = \"m\" }]\n\
                    fallbacks = [{ upstream = \"a\" }]\n[[route]]\nmodel = \"x-*\"\n\
                    targets = [{ upstream = \"a\" }]\n";
        let read_file = |_: &str| Err("nothing".to_owned());
        let file = Some(("f", file));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        let config = Config::load(&sources).expect("a configuration");
        assert_eq!(table(&config), "fast  a/m, then a/*\nx-*   a/*\n");
        let listed = list(&config);
        assert_eq!(listed["data"][0]["id"], "fast");
        let target = json!({ "upstream": "a", "model": "m", "weight": 1 });
        assert_eq!(listed["data"][0]["targets"][0], target);
        assert_eq!(listed["data"][1]["targets"][0]["model"], Value::Null);
    }
}
