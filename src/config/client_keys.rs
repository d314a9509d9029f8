//! Clients' keys: the master key, those of `[[key]]` tables and the administrator's.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::{Budget, Period, nanos_of_usd};
use super::client::ClientKey;
use super::parse::{Notes, Settings};
use super::schema::DEVELOPMENT_KEY;
use super::secret::Secret;
use super::upstreams::secrets;
use super::value::{Scalar, Value};

/// The master key and those of `[[key]]` tables.
pub(super) fn client_keys(settings: &Settings, notes: &mut Notes) -> Vec<ClientKey> {
    let mut keys: Vec<ClientKey> = Vec::new();
    if let Some(secret) = secrets(settings, "auth.master_key").pop() {
        keys.push(ClientKey::plain("master", secret));
    }
    let mut names = BTreeSet::from(["master"]);
    for table in settings.tables("key") {
        let name = table.required(("key", "name"), &Scalar::Name.expected(), notes);
        if !table.is_set("secret") {
            notes.error("key.secret", &table.place, "nothing", Scalar::ClientKey.expected());
        }
        let budgets = budgets(table, notes);
        let (Some(name), Some(secret)) = (name, secrets(table, "secret").pop()) else { continue };
        if !names.insert(name) {
            let found = format!("{name:?} a second time");
            notes.error("key.name", table.place_of("name"), found, "a name of its own");
        }
        let texts = |key| match table.value(key) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        };
        for list in ["models", "routes"] {
            if table.is_set(list) && !table.is_refused(list) && texts(list).is_empty() {
                let expected = "at least one name, or no such key where all are allowed";
                let key = format!("key.{list}");
                notes.error(&key, table.place_of(list), "an empty list", expected);
            }
        }
        let whole = |key| match table.value(key) {
            Some(Value::Whole(number)) => Some(*number),
            _ => None,
        };
        let labels = match table.value("labels") {
            Some(Value::Labels(labels)) => labels.clone(),
            _ => Vec::new(),
        };
        keys.push(ClientKey {
            models: texts("models"),
            requests_per_minute: whole("requests_per_minute"),
            trusted: table.flag("trusted", false),
            concurrency: whole("concurrency").and_then(|most| u32::try_from(most).ok()),
            tokens_per_minute: whole("tokens_per_minute"),
            routes: texts("routes"),
            expires_ms: whole("expires"),
            labels,
            budgets,
            ..ClientKey::plain(name, secret)
        });
    }
    check_secrets(&keys, settings, notes);
    keys
}

/// The budgets of a key, one for each period at most.
fn budgets(table: &Settings, notes: &mut Notes) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    for budget in table.tables("budget") {
        let usd = budget.required(("key.budget", "usd"), &Scalar::Amount.expected(), notes);
        let per = budget.required(("key.budget", "per"), &Scalar::PERIOD.expected(), notes);
        let (Some(nanos), Some(per)) = (usd.and_then(nanos_of_usd), per.and_then(Period::of))
        else {
            continue;
        };
        if budgets.iter().any(|budget| budget.per == per) {
            let found = format!("\"{}\" a second time", per.as_str());
            notes.error("key.budget.per", budget.place_of("per"), found, "one budget per period");
        }
        budgets.push(Budget { nanos, per });
    }
    budgets
}

/// The administrator's key, which no client may have.
pub(super) fn admin_key(
    keys: &[ClientKey],
    settings: &Settings,
    notes: &mut Notes,
) -> Option<Secret> {
    const KEY: &str = "auth.admin_key";
    let secret = secrets(settings, KEY).pop()?;
    if let Some(same) = keys.iter().find(|key| key.secret.expose() == secret.expose()) {
        let found = format!("the secret of the key {:?}", same.name);
        notes.error(KEY, settings.place_of(KEY), found, "a secret that no client has");
    }
    if secret.expose() == DEVELOPMENT_KEY {
        let found = "the development key, which everybody knows";
        notes.error(KEY, settings.place_of(KEY), found, "a secret of its own");
    }
    Some(secret)
}

fn check_secrets(keys: &[ClientKey], settings: &Settings, notes: &mut Notes) {
    let mut seen = BTreeMap::new();
    for key in keys {
        if let Some(first) = seen.insert(key.secret.expose(), &key.name) {
            let found = format!("one secret for the keys {first:?} and {:?}", key.name);
            notes.error("key.secret", settings.place_of("key"), found, "a secret for each key");
        }
        if key.secret.expose() == DEVELOPMENT_KEY {
            let name = &key.name;
            notes
                .warnings
                .push(format!("the key {name} is the development key: everybody knows it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::Sources;
    use super::super::schema::Config;
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let read_file = |_: &str| Err("no such file".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &variables, read_file: &read_file };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn client_keys_come_from_the_master_key_and_the_tables() {
        let file = "[[key]]\nname = \"team\"\nsecret = \"0123456789abcdef\"\n\
                    models = [\"fast\", \"gemini-*\"]\nrequests_per_minute = 5\n\
                    routes = [\"gemini-*\"]\nexpires = 2027-01-01\n\
                    labels = { owner = \"Ms. K\" }\n\
                    budget = { usd = \"25.00\", per = \"month\" }\n";
        let master = ("APP_AUTH__MASTER_KEY", "sk-vertex-bridge-dev");
        let config = load(file, &[master]).expect("a configuration");
        let [master, team] = config.auth.keys.as_slice() else { panic!("{:?}", config.auth) };
        assert_eq!((&*master.name, &*team.name), ("master", "team"));
        assert_eq!(team.models, ["fast", "gemini-*"]);
        assert_eq!((team.requests_per_minute, team.tokens_per_minute), (Some(5), None));
        assert_eq!(
            (&*team.routes, team.expires_ms),
            (&["gemini-*".to_owned()][..], Some(1_798_761_600_000))
        );
        assert_eq!(team.labels, [("owner".to_owned(), "Ms. K".to_owned())]);
        assert_eq!(team.budgets, [Budget { nanos: 25_000_000_000, per: Period::Month }]);
        assert!(config.auth.required);
        assert!(config.warnings[0].contains("everybody knows it"), "{:?}", config.warnings);
        let twice = load(file, &[("APP_AUTH__MASTER_KEY", "0123456789abcdef")]);
        assert!(twice.expect_err("a refusal")[0].contains("one secret for the keys"));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said() {
        let key =
            |more: &str| format!("[[key]]\nname = \"t\"\nsecret = \"0123456789abcdef\"\n{more}");
        for (more, want) in [
            ("expires = \"tomorrow\"", "4: key.expires: found \"tomorrow\", expected a date"),
            ("expires = 2027-01-01T00:00:00", "4: key.expires: found a date, expected a date"),
            ("labels = { a = 1 }", "4: key.labels: found a table, expected a table of texts"),
            (
                "budget = { usd = \"0\", per = \"day\" }",
                "4: key.budget.usd: found \"0\", expected an amount",
            ),
            ("budget = { usd = \"1\" }", "4: key.budget.per: found nothing, expected one of day"),
            (
                "budget = [{ usd = \"1\", per = \"day\" }, { usd = \"2\", per = \"day\" }]",
                "4: key.budget.per: found \"day\" a second time",
            ),
        ] {
            let errors = load(&key(more), &[]).expect_err(more);
            assert!(errors[0].starts_with(&format!("vb.toml:{want}")), "{errors:?}");
        }
        let two = "budget = [{ usd = \"1\", per = \"day\" }, { usd = \"9\", per = \"total\" }]";
        assert_eq!(load(&key(two), &[]).expect("two budgets").auth.keys[0].budgets.len(), 2);
    }

    #[test]
    fn the_administrators_key_is_nobody_elses() {
        let file = "[[key]]\nname = \"t\"\nsecret = \"0123456789abcdef\"\n";
        let config = load(file, &[("APP_AUTH__ADMIN_KEY", "fedcba9876543210")]).expect("two keys");
        assert_eq!((config.auth.keys.len(), config.auth.admin.is_some()), (1, true));
        for same in ["0123456789abcdef", "sk-vertex-bridge-dev"] {
            let errors = load(file, &[("APP_AUTH__ADMIN_KEY", same)]).expect_err(same);
            assert!(errors[0].starts_with("APP_AUTH__ADMIN_KEY (auth.admin_key): found the"));
        }
    }
}
