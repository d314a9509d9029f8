//! Reads `[proxy]`.

use super::parse::{Notes, Settings};
use super::tunnel::Tunnel;
use super::value::Value;

impl Tunnel {
    /// Reads `[proxy]`; none when no proxy is named.
    pub(super) fn of(settings: &Settings, notes: &mut Notes) -> Option<Self> {
        const KEY: &str = "proxy.https";
        let Some(Value::Secrets(urls)) = settings.value(KEY) else { return None };
        let tunnel = match urls.as_slice() {
            [url] => Self::parse(url.expose()),
            _ => None,
        };
        if tunnel.is_none() {
            let expected = "one proxy, such as http://proxy.example.com:3128, with USER:PASSWORD@ in \
                            front of its name if it wants them";
            notes.error(KEY, settings.place_of(KEY), "something else", expected);
        }
        Some(tunnel?.except(settings.text("proxy.except").unwrap_or_default()))
    }
}
