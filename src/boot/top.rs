//! The command `top`: where the gateway is, the key to it, and the signals that end the screen.

use std::env;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::config::{Config, DEVELOPMENT_KEY, Secret};
use crate::top::{self, Gateway};

use super::args::{CommandLine, Top};
use super::env as sources;
use super::out::{complain, fail, print};
use super::report;
use super::security::Material;

/// How long the screen has to end after a signal. It needs a moment, unless its terminal is gone or
/// takes nothing more: crossterm reads one that was hung up for ever.
const GRACE: Duration = Duration::from_secs(1);

/// Shows a gateway: the one of the configuration, unless another one is named.
pub(super) fn run(line: &CommandLine, options: &Top) -> ExitCode {
    let loaded = sources::load(line.options.config.as_deref(), &line.flags());
    let loaded = loaded.and_then(|config| Ok((client(&config)?, config)));
    let (material, config) = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&report::errors_text(&errors)),
    };
    let key = match key(options, &config) {
        Ok(key) => key,
        Err(wrong) => return complain(&format!("vertex-bridge: {wrong}\n")),
    };
    let url = options.url.clone().unwrap_or_else(|| of_config(&config));
    let trust = material.trust().map_err(|error| error.to_string());
    let shown = trust.and_then(|trust| show(Gateway::new(&url, key, &trust), options));
    shown.unwrap_or_else(|why| fail(&why))
}

/// Whom we trust. What only the gateway needs is left aside: its private keys are for its own user
/// to read.
fn client(config: &Config) -> Result<Material, Vec<crate::config::ConfigError>> {
    let mut client = config.clone();
    client.server.tls = None;
    client.tls.client = None;
    Material::load(&client)
}

fn show(gateway: Gateway, options: &Top) -> Result<ExitCode, String> {
    if options.once {
        return Ok(print(top::once(&gateway, options.json)?.as_bytes()));
    }
    let signal = heard().map_err(|error| error.to_string())?;
    top::watch(gateway, || signal.load(Ordering::Relaxed) != 0)?;
    match signal.load(Ordering::Relaxed) {
        0 => Ok(ExitCode::SUCCESS),
        signal => {
            // The terminal is as it was; now the process ends as whoever sent the signal expects.
            low_level::emulate_default_handler(signal).map_err(|error| error.to_string())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The number of the signal that is to end us; 0 before.
fn heard() -> io::Result<Arc<AtomicI32>> {
    let last = Arc::new(AtomicI32::new(0));
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let told = Arc::clone(&last);
    let hearing = move || {
        let Some(signal) = signals.forever().next() else { return };
        told.store(signal, Ordering::Relaxed);
        thread::park_timeout(GRACE);
        top::let_go();
        // There is nobody left to tell if even this fails.
        let _ended = low_level::emulate_default_handler(signal);
    };
    thread::Builder::new().name("vb-signals".to_owned()).spawn(hearing)?;
    Ok(last)
}

fn key(options: &Top, config: &Config) -> Result<Secret, String> {
    match &options.key {
        Some(source) => secret(source),
        None => Ok(match &config.auth.admin {
            Some(key) => key.clone(),
            None => Secret::new(DEVELOPMENT_KEY.to_owned()),
        }),
    }
}

/// Where a gateway with this configuration is reached from this machine.
fn of_config(config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    if let Some(listen) = config.admin_listen {
        return format!("{scheme}://{}:{}", reached(&listen.ip().to_string()), listen.port());
    }
    format!("{scheme}://{}:{}", reached(&config.server.host), config.server.port)
}

/// The host of a URL for an address that is listened on.
fn reached(host: &str) -> String {
    match host {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    }
}

/// A key is never given itself: the command line is everybody's to see. So no message repeats what
/// was given either.
fn secret(source: &str) -> Result<Secret, String> {
    let text = if let Some(name) = source.strip_prefix("env:") {
        let found = env::var_os(name).and_then(|value| value.into_string().ok());
        found.ok_or_else(|| format!("--key: the variable {name} is not set"))?
    } else if let Some(path) = source.strip_prefix("file:") {
        let read = sources::read_text(path);
        read.map_err(|error| format!("--key: {path}: {}", sources::reason(&error)))?
    } else {
        return Err("--key: expected env:NAME or file:PATH, not a key".to_owned());
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("--key: what is there cannot be a key".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_given_on_the_command_line() {
        let literal = secret("sk-admin-0123456789").expect_err("it is for everybody to see");
        assert!(!literal.contains("sk-admin"), "{literal}");
        assert!(secret("env:VB_NO_SUCH_NAME").unwrap_err().contains("VB_NO_SUCH_NAME"));
        let missing = secret("file:/no/such/file").unwrap_err();
        assert_eq!(missing, "--key: /no/such/file: No such file or directory");
        assert!(secret("file:/dev/null").unwrap_err().contains("cannot be a key"));
    }

    #[test]
    fn an_address_for_all_is_reached_on_this_machine() {
        for (host, want) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "[::1]"),
            ("fe80::1", "[fe80::1]"),
            ("gateway.example", "gateway.example"),
        ] {
            assert_eq!(reached(host), want);
        }
    }
}
