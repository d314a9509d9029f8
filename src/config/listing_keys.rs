//! From settings to the list of all that is set.

use super::listing::Listed;
use super::parse::{Content, Settings};
use super::value::Value;

/// All keys that are set, tables by their name or model.
pub(super) fn list(settings: &Settings) -> Vec<Listed> {
    let mut listed = Vec::new();
    push(settings, "", &mut listed);
    listed
}

fn push(settings: &Settings, prefix: &str, listed: &mut Vec<Listed>) {
    for (name, setting) in settings.iter() {
        let key = format!("{prefix}{name}");
        match &setting.content {
            Content::One(value) => listed.push(Listed {
                key,
                shown: setting.shown.clone(),
                place: setting.place.clone(),
                hidden: match value {
                    Value::Secrets(secrets) => secrets.clone(),
                    _ => Vec::new(),
                },
            }),
            Content::Tables(tables) => {
                for (place, table) in (1..).zip(tables) {
                    let label = label(table).filter(|label| is_only(label, tables));
                    let label = label.map_or_else(|| place.to_string(), str::to_owned);
                    push(table, &format!("{key}[{label}]."), listed);
                }
            }
        }
    }
}

/// What a table is called.
fn label(table: &Settings) -> Option<&str> {
    table.text("name").or_else(|| table.text("model"))
}

fn is_only(wanted: &str, tables: &[Settings]) -> bool {
    tables.iter().filter(|table| label(table) == Some(wanted)).count() == 1
}

#[cfg(test)]
mod tests {
    use super::super::error::Place;
    use super::super::listing::differences;
    use super::super::parse::Sources;
    use super::super::schema::Config;
    use super::*;

    fn set(file: &str, variables: &[(&str, &str)]) -> Vec<Listed> {
        let variables: Vec<_> =
            variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let sources = Sources {
            file: Some(("vb.toml", file)),
            flags: &[],
            variables: &variables,
            read_file: &|_| Err("no files".to_owned()),
        };
        Config::load(&sources).expect("a configuration").set
    }

    const FILE: &str = r#"
        [server]
        port = 4001
        [timeouts]
        idle = "30s"
        [[upstream]]
        name = "a"
        kind = "openai"
        base_url = "http://127.0.0.1:1/v1"
        api_key = ["k1", "k2"]
        [[route]]
        model = "fast"
        targets = [{ upstream = "a", weight = 3 }, { upstream = "a", model = "m" }]
        [[key]]
        name = "team"
        secret = "sk-canary-0123456789"
        models = ["fast", "g*"]
        labels = { team = "x" }
    "#;

    #[test]
    fn all_that_is_set_is_listed_and_no_secret_is_shown() {
        let listed = set(FILE, &[("APP_SERVER__PORT", "4002")]);
        let shown: Vec<String> =
            listed.iter().map(|one| format!("{} = {}", one.key, one.shown)).collect();
        assert_eq!(
            shown,
            [
                "key[team].labels = { team = x }",
                "key[team].models = [fast, g*]",
                "key[team].name = team",
                "key[team].secret = ***",
                "route[fast].model = fast",
                "route[fast].targets[1].upstream = a",
                "route[fast].targets[1].weight = 3",
                "route[fast].targets[m].model = m",
                "route[fast].targets[m].upstream = a",
                "server.port = 4002",
                "timeouts.idle = 30s",
                "upstream[a].api_key = ***",
                "upstream[a].base_url = http://127.0.0.1:1/v1",
                "upstream[a].kind = openai",
                "upstream[a].name = a",
            ]
        );
        assert!(!format!("{listed:?}").contains("canary"));
        let port = listed.iter().find(|one| one.key == "server.port").expect("it is set");
        assert!(matches!(&port.place, Place::Variable(name) if name == "APP_SERVER__PORT"));
    }

    #[test]
    fn differences_name_keys_and_never_secrets() {
        let before = set(FILE, &[]);
        assert!(differences(&before, &before).is_empty());
        let moved = format!("# another line\n{FILE}");
        assert!(differences(&before, &set(&moved, &[])).is_empty());
        let changed = FILE
            .replace("weight = 3", "weight = 4")
            .replace("idle = \"30s\"", "first_byte = \"9s\"")
            .replace("\"k2\"", "\"k3\"");
        assert_eq!(
            differences(&before, &set(&changed, &[])),
            [
                "route[fast].targets[1].weight: 3 -> 4",
                "timeouts.first_byte: set to 9s",
                "timeouts.idle: no longer 30s",
                "upstream[a].api_key: another ***",
            ]
        );
    }
}
