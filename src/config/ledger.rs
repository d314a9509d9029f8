//! What is kept of every exchange, and what happens when it cannot be kept.

use std::path::PathBuf;

use super::limits;
use super::parse::Settings;
use super::schema::{Ledger, WhenFull};
use super::value::Value;

impl Ledger {
    /// A gateway that only shows itself (`showing`: the embedded simulator, no key) keeps nothing
    /// unless it is told where.
    pub(super) fn of(settings: &Settings, showing: bool) -> Self {
        let path = settings.text("ledger.path").map(PathBuf::from);
        let told = match settings.value("ledger.enabled") {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        };
        Self {
            enabled: told.unwrap_or_else(|| !showing || path.is_some()),
            required: told.unwrap_or_else(|| path.is_some()),
            path,
            retention: settings.wait("ledger.retention", limits::RETENTION),
            when_full: match settings.text("ledger.when_full") {
                Some("refuse") => WhenFull::Refuse,
                _ => WhenFull::Serve,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Config, Sources};
    use super::*;

    fn load(file: &str) -> Result<Ledger, String> {
        let read_file = |_: &str| Err("no such file".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        let loaded = Config::load(&sources);
        let shown = |errors: Vec<super::super::ConfigError>| errors[0].to_string();
        loaded.map(|config| config.ledger).map_err(shown)
    }

    #[test]
    fn it_is_on_unless_the_gateway_only_shows_itself() {
        let key = "[auth]\nmaster_key = \"0123456789abcdef\"\n";
        let google = "[vertex]\napi_key = \"k\"\n";
        for (file, enabled) in [
            (String::new(), false),
            (key.to_owned(), true),
            (google.to_owned(), true),
            ("[ledger]\npath = \"/var/lib/vb\"".to_owned(), true),
            ("[ledger]\nenabled = true".to_owned(), true),
            ("[ledger]\nenabled = \"auto\"".to_owned(), false),
            (format!("{key}[ledger]\nenabled = \"auto\""), true),
            (format!("{key}[ledger]\nenabled = false"), false),
        ] {
            assert_eq!(load(&file).expect(&file).enabled, enabled, "{file}");
        }
    }

    #[test]
    fn its_keys_mean_what_they_say() {
        let ledger = load("").expect("defaults");
        assert_eq!((ledger.path, ledger.retention), (None, None));
        assert_eq!(ledger.when_full, WhenFull::Serve);
        let file = "[ledger]\npath = \"/x y\"\nretention = \"2400h\"\nwhen_full = \"refuse\"";
        let ledger = load(file).expect(file);
        assert_eq!(ledger.path, Some(PathBuf::from("/x y")));
        assert_eq!(ledger.retention, Some(Duration::from_secs(100 * 24 * 3600)));
        assert_eq!(ledger.when_full, WhenFull::Refuse);
        for (line, want) in [
            ("enabled = \"sometimes\"", "expected \"auto\", true or false"),
            ("when_full = \"panic\"", "expected one of serve, refuse"),
            ("retention = \"1s\"", "expected \"off\" or a duration"),
            ("path = \"\"", "expected text without control characters"),
        ] {
            let found = load(&format!("[ledger]\n{line}")).expect_err(line);
            assert!(found.starts_with("vb.toml:2: ledger.") && found.contains(want), "{found}");
        }
    }
}
