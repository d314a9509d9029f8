//! Reads the keys that name files for TLS.

use super::parse::{Notes, Settings};
use super::tls::{Roots, ServerTls, Tls, TlsFile, TlsPair};

/// Reads `tls.*`.
pub(super) fn towards_upstreams(settings: &Settings, notes: &mut Notes) -> Tls {
    Tls {
        roots: match settings.text("tls.roots") {
            Some("system") => Roots::System(settings.place_of("tls.roots").clone()),
            _ => Roots::Bundled,
        },
        allow_link_local: settings.flag("tls.allow_link_local", false),
        extra_ca: file(settings, "tls.extra_ca"),
        client: pair(settings, ["tls.client_cert", "tls.client_key"], notes),
    }
}

/// Reads `server.tls_*`.
pub(super) fn towards_clients(settings: &Settings, notes: &mut Notes) -> Option<ServerTls> {
    const CLIENT_CA: &str = "server.tls_client_ca";
    let pair = pair(settings, ["server.tls_cert", "server.tls_key"], notes);
    if settings.is_set(CLIENT_CA) && !settings.is_set("server.tls_cert") {
        let expected = format!("a file, because {CLIENT_CA} names one");
        notes.error("server.tls_cert", settings.place_of(CLIENT_CA), "nothing", expected);
    }
    Some(ServerTls { pair: pair?, client_ca: file(settings, CLIENT_CA) })
}

fn file(settings: &Settings, key: &'static str) -> Option<TlsFile> {
    let path = settings.text(key)?.to_owned();
    Some(TlsFile { key, path, place: settings.place_of(key).clone() })
}

/// Two files that make sense only together.
fn pair(settings: &Settings, keys: [&'static str; 2], notes: &mut Notes) -> Option<TlsPair> {
    for (set, missing) in [(keys[0], keys[1]), (keys[1], keys[0])] {
        if settings.is_set(set) && !settings.is_set(missing) {
            let expected = format!("a file, because {set} names one");
            notes.error(missing, settings.place_of(set), "nothing", expected);
        }
    }
    Some(TlsPair { cert: file(settings, keys[0])?, key: file(settings, keys[1])? })
}

#[cfg(test)]
mod tests {
    use super::super::error::Place;
    use super::super::parse::Sources;
    use super::super::schema::Config;
    use super::*;

    fn load(file: &str) -> Result<Config, Vec<String>> {
        let read_file = |_: &str| Err("no files here".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_said_means_the_bundled_authorities() {
        let tls = load("").expect("defaults").tls;
        assert_eq!((tls.roots, tls.extra_ca, tls.client), (Roots::Bundled, None, None));
    }

    #[test]
    fn files_keep_their_places() {
        let text = "[tls]\nroots = \"system\"\nextra_ca = \"/ca\"\nclient_cert = \"/c\"\n\
                    client_key = \"/k\"\n";
        let tls = load(text).expect("a configuration").tls;
        let place = |line| Place::File { path: "vb.toml".to_owned(), line };
        assert_eq!(tls.roots, Roots::System(place(2)));
        let extra = tls.extra_ca.expect("a file");
        assert_eq!((extra.path.as_str(), extra.place), ("/ca", place(3)));
        let pair = tls.client.expect("a pair");
        assert_eq!((pair.cert.path.as_str(), pair.key.path.as_str()), ("/c", "/k"));
        assert_eq!((pair.key.key, pair.key.place), ("tls.client_key", place(5)));
    }

    #[test]
    fn clients_get_tls_when_there_is_a_certificate() {
        let text = "[server]\ntls_cert = \"/c\"\ntls_key = \"/k\"\ntls_client_ca = \"/ca\"\n";
        let tls = load(text).expect("a configuration").server.tls.expect("TLS");
        let paths: Vec<&str> = tls.files().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/c", "/k", "/ca"]);
        assert_eq!(load("").expect("defaults").server.tls, None);
    }

    #[test]
    fn half_a_pair_is_refused() {
        for (text, want) in [
            (
                "tls.client_cert = \"/c\"",
                "vb.toml:1: tls.client_key: found nothing, expected a file, because \
                 tls.client_cert names one",
            ),
            (
                "tls.client_key = \"/k\"",
                "vb.toml:1: tls.client_cert: found nothing, expected a file, because \
                 tls.client_key names one",
            ),
            (
                "server.tls_client_ca = \"/ca\"",
                "vb.toml:1: server.tls_cert: found nothing, expected a file, because \
                 server.tls_client_ca names one",
            ),
            (
                "tls.roots = \"mine\"",
                "vb.toml:1: tls.roots: found \"mine\", expected one of bundled, system",
            ),
        ] {
            assert_eq!(load(text).expect_err(want), [want]);
        }
    }
}
