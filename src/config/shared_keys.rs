//! Reads `[shared]`.

use std::time::Duration;

use super::limits;
use super::parse::{Notes, Settings};
use super::shared::{Shared, WhenAway};
use super::value::Value;

impl Shared {
    /// Reads `[shared]`; none when no server is named.
    pub(super) fn of(settings: &Settings, notes: &mut Notes) -> Option<Self> {
        let Some(Value::Secrets(servers)) = settings.value("shared.url") else { return None };
        for server in servers {
            let url = server.expose();
            let known = ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
            if !known {
                let expected = "redis://HOST:PORT/DATABASE, or rediss:// for TLS";
                notes.error("shared.url", settings.place_of("shared.url"), "another URL", expected);
            }
        }
        let flag = |key: &str| settings.flag(key, true);
        Some(Self {
            servers: servers.clone(),
            prefix: settings.text("shared.prefix").unwrap_or("vertex-bridge").to_owned(),
            lease: settings.wait("shared.lease", limits::LEASE).unwrap_or(Duration::ZERO),
            when_away: match settings.text("shared.when_away") {
                Some("refuse") => WhenAway::Refuse,
                _ => WhenAway::Serve,
            },
            budgets: flag("shared.budgets"),
            limits: flag("shared.limits"),
            keys: flag("shared.keys"),
            cache: flag("shared.cache"),
            signatures: flag("shared.signatures"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};
    use super::*;

    fn load(lines: &str) -> Result<Option<Shared>, String> {
        let file = format!("[shared]\n{lines}\n");
        let read_file = |path: &str| match path {
            "/url" => Ok("rediss://:canary@store:6380/2\n".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        let file = Some(("vb.toml", file.as_str()));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        let shown = |errors: Vec<super::super::ConfigError>| errors[0].to_string();
        Config::load(&sources).map(|config| config.shared).map_err(shown)
    }

    #[test]
    fn nothing_is_shared_until_a_server_is_named() {
        assert!(load("prefix = \"a\"").expect("it is no mistake").is_none());
        let shared = load("url = \"redis://store\"").expect("a server").expect("shared");
        assert_eq!((shared.prefix.as_str(), shared.lease.as_secs()), ("vertex-bridge", 10));
        assert_eq!(shared.when_away, WhenAway::Serve);
        assert!(shared.budgets && shared.limits && shared.keys);
    }

    #[test]
    fn servers_are_secrets_and_mistakes_are_named() {
        let lines = "url = [\"file:/url\", \"redis://b\"]\nwhen_away = \"refuse\"\nlimits = false";
        let shared = load(lines).expect(lines).expect("shared");
        assert_eq!((shared.servers.len(), shared.when_away), (2, WhenAway::Refuse));
        assert!(!format!("{shared:?}").contains("canary") && !shared.limits);
        for (lines, want) in [
            (
                "url = \"http://store\"",
                "vb.toml:2: shared.url: found another URL, expected redis://",
            ),
            ("lease = \"1ms\"", "vb.toml:2: shared.lease"),
            ("when_away = \"panic\"", "expected one of serve, refuse"),
        ] {
            let found = load(lines).expect_err(lines);
            assert!(found.contains(want), "{found}");
        }
    }
}
