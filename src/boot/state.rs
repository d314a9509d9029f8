//! Where the program keeps what outlives it.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::config::Config;
use crate::store::db::FILE;

/// The folder's name among other programs'.
const NAME: &str = "vertex-bridge";

/// The folder of the store and the journal: `ledger.path`, else what systemd made for the service,
/// else where the user's programs keep their state.
///
/// # Errors
/// Nothing says where; the text says what would.
pub fn folder(config: &Config) -> Result<PathBuf, String> {
    choose(config.ledger.path.clone(), |name| std::env::var_os(name))
}

/// Where the store's file is, or would be.
///
/// # Errors
/// As [`folder`] has them.
pub fn store_file(config: &Config) -> Result<PathBuf, String> {
    folder(config).map(|folder| folder.join(FILE))
}

/// The store's file in [`folder`]; the folder is made where there is none, for nobody else to see.
///
/// # Errors
/// There is no folder, and none can be made; the text says why.
pub fn make_store(config: &Config) -> Result<PathBuf, String> {
    let folder = folder(config)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| wrong(&folder, &error))?;
    Ok(folder.join(FILE))
}

/// The store's file, which must be there.
///
/// # Errors
/// There is none, or it cannot be reached; the text says where it was looked for.
pub fn find_store(config: &Config) -> Result<PathBuf, String> {
    let file = store_file(config)?;
    match file.metadata() {
        Ok(_) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "{}: there is no store here; the gateway makes it when it starts, and `ledger.path` \
             says where",
            file.display()
        )),
        Err(error) => Err(wrong(&file, &error)),
    }
}

fn wrong(path: &std::path::Path, error: &io::Error) -> String {
    format!("{}: {}", path.display(), super::env::reason(error))
}

fn choose(
    configured: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, String> {
    if let Some(path) = configured {
        return Ok(path);
    }
    let absolute = |name| {
        let path = variable(name).map(PathBuf::from)?;
        path.is_absolute().then_some(path)
    };
    // systemd separates several folders by colons; the first is the service's own.
    let of_service = variable("STATE_DIRECTORY").and_then(|all| {
        let first = all.to_str()?.split(':').next()?;
        (!first.is_empty()).then(|| PathBuf::from(first))
    });
    let of_user = || {
        let home = || Some(absolute("HOME")?.join(".local/state"));
        Some(absolute("XDG_STATE_HOME").or_else(home)?.join(NAME))
    };
    of_service.or_else(of_user).ok_or_else(|| {
        "no folder for the store: set ledger.path (APP_LEDGER__PATH), or one of STATE_DIRECTORY, \
         XDG_STATE_HOME and HOME"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_to_say_where_is_believed() {
        let find = |path: Option<&str>, variables: &[(&str, &str)]| {
            let found = choose(path.map(PathBuf::from), |name| {
                let value = variables.iter().find(|(known, _)| *known == name);
                value.map(|(_, value)| OsString::from(value))
            });
            found.map(|path| path.to_str().unwrap().to_owned())
        };
        let home = ("HOME", "/home/a");
        let xdg = ("XDG_STATE_HOME", "/state");
        let systemd = ("STATE_DIRECTORY", "/var/lib/vb:/var/lib/other");
        let ok = |path: &str| Ok(path.to_owned());
        assert_eq!(find(Some("here"), &[home, xdg, systemd]), ok("here"));
        assert_eq!(find(None, &[home, xdg, systemd]), ok("/var/lib/vb"));
        assert_eq!(find(None, &[home, xdg]), ok("/state/vertex-bridge"));
        assert_eq!(find(None, &[home]), ok("/home/a/.local/state/vertex-bridge"));
        let useless = [("XDG_STATE_HOME", "state"), ("STATE_DIRECTORY", ""), home];
        assert_eq!(find(None, &useless), ok("/home/a/.local/state/vertex-bridge"));
        let lost = find(None, &[("HOME", "")]).unwrap_err();
        assert!(lost.contains("APP_LEDGER__PATH"), "{lost}");
    }
}
