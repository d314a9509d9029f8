//! What surrounds the process: environment variables, a `.env` file, the configuration file and
//! files with secrets. Everything is read here, once, and handed on as text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use crate::config::limits::FILE_BYTES_MAX;
use crate::config::{Config, ConfigError, FlagValue, Place, Sources};
use crate::credential::Signer;
use crate::rt::allowed_cores;

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "vertex-bridge.toml";

/// Reads everything and checks it.
///
/// # Errors
/// Every mistake that can be found, also files that cannot be read.
pub fn load(named: Option<&str>, flags: &[FlagValue<'_>]) -> Result<Config, Vec<ConfigError>> {
    let environment = std::env::vars_os();
    // Other bytes than text become a replacement character, which the checks refuse.
    let environment = environment.map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    let dotenv = match read_text(".env") {
        Ok(text) => parse_dotenv(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let place = Place::File { path: ".env".to_owned(), line: 1 };
            return Err(vec![unreadable(place, &error)]);
        }
    };
    // The later one of a name stays: the process's own environment wins.
    let merged: BTreeMap<String, String> = dotenv.into_iter().chain(environment).collect();
    let variables: Vec<(String, String)> = merged.into_iter().collect();
    let file = config_file(named, &variables).map_err(|error| vec![error])?;
    let read_file = |path: &str| read_text(path).map_err(|error| reason(&error));
    let file = file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let config =
        Config::load(&Sources { file, flags, variables: &variables, read_file: &read_file })?;
    check_accounts(&config)?;
    check_cores(&config, &allowed_cores())?;
    Ok(config)
}

/// Every core that is named is there, and ours to use.
fn check_cores(config: &Config, allowed: &[usize]) -> Result<(), Vec<ConfigError>> {
    const KEY: &str = "runtime.cores";
    let named = config.runtime.cores.iter().flatten();
    let Some(other) = named.copied().find(|core| !allowed.contains(core)) else { return Ok(()) };
    let place = config.set.iter().find(|listed| listed.key == KEY);
    let place = place.map_or(Place::Nowhere, |listed| listed.place.clone());
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let expected =
        format!("auto, or some of the cores that this process may use: {}", allowed.join(","));
    let found = format!("core {other}, which is not among them");
    Err(vec![ConfigError { key: KEY.to_owned(), place, found, expected }])
}

/// Every private key can sign, or nothing starts.
fn check_accounts(config: &Config) -> Result<(), Vec<ConfigError>> {
    let wrong = config.accounts.iter().filter_map(|account| {
        let found = Signer::new(account).err()?.to_owned();
        let place = Place::File { path: account.path.clone(), line: 1 };
        let expected = "an RSA key of 2048 bits or more, PKCS#8 or PKCS#1 in PEM".to_owned();
        Some(ConfigError { key: "private_key".to_owned(), place, found, expected })
    });
    let wrong: Vec<ConfigError> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Path and text of the configuration file: the named one, else the variable's, else the default
/// one if it exists.
fn config_file(
    named: Option<&str>,
    variables: &[(String, String)],
) -> Result<Option<(String, String)>, ConfigError> {
    const VARIABLE: &str = "VERTEX_BRIDGE_CONFIG";
    let set = variables.iter().find(|(name, value)| name == VARIABLE && !value.is_empty());
    let (path, place) = match (named, set) {
        (Some(path), _) => (path, Place::Flag("--config".to_owned())),
        (None, Some((_, path))) => (path.as_str(), Place::Variable(VARIABLE.to_owned())),
        (None, None) => (DEFAULT_FILE, Place::File { path: DEFAULT_FILE.to_owned(), line: 1 }),
    };
    let optional = matches!(place, Place::File { .. });
    match read_text(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let mut wrong = unreadable(place, &error);
            wrong.found = format!("{path:?}: {}", reason(&error));
            Err(wrong)
        }
    }
}

fn unreadable(place: Place, error: &io::Error) -> ConfigError {
    let expected = "a readable text file".to_owned();
    ConfigError { key: String::new(), place, found: reason(error), expected }
}

/// What the operating system says, without its error number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A file's text; more than the limit is refused instead of cut.
pub(super) fn read_text(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    let fits = u64::try_from(text.len()).is_ok_and(|length| length <= FILE_BYTES_MAX);
    let too_large = || io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes"));
    if fits { Ok(text) } else { Err(too_large()) }
}

/// Reads `NAME=value` lines: `export` before the name, `#` comments, single quotes (as they are)
/// and double quotes (with `\n`, `\t`, `\r`, and any other character escaped as itself). Values
/// are not expanded and end with their line. Messages never show a value.
fn parse_dotenv(text: &str) -> Result<Vec<(String, String)>, Vec<ConfigError>> {
    let mut variables = Vec::new();
    let mut errors = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_assignment(line) {
            Ok(variable) => variables.push(variable),
            Err(found) => errors.push(ConfigError {
                key: String::new(),
                place: Place::File { path: ".env".to_owned(), line: index + 1 },
                found: found.to_owned(),
                expected: "NAME=value".to_owned(),
            }),
        }
    }
    if errors.is_empty() { Ok(variables) } else { Err(errors) }
}

fn parse_assignment(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once('=').ok_or("a line without =")?;
    let name = name.trim();
    let spaced = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let name = spaced.map_or(name, str::trim_start);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err("a line whose name has other characters than A-Z a-z 0-9 _ .");
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => unquote(value, quote)?,
        // `a#b` is a value, `a #b` ends in a comment.
        _ => {
            let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
            let whole = if value.starts_with('#') { "" } else { value };
            whole.get(..end).unwrap_or_default().trim_end().to_owned()
        }
    };
    Ok((name.to_owned(), value))
}

fn unquote(value: &str, quote: char) -> Result<String, &'static str> {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        if letter == quote {
            let rest = letters.as_str().trim_start();
            let ends = rest.is_empty() || rest.starts_with('#');
            return if ends { Ok(out) } else { Err("text after the closing quote") };
        }
        if letter != '\\' || quote == '\'' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next().ok_or("a quote without its end")? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            itself => itself,
        });
    }
    Err("a quote without its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_lines() {
        let text = "\u{feff}# comment\r\n\nA=1\nexport B = two words  # why\nC='it is #1 \\n'\n\
                    D=\"a\\n\\\"b\\\" $x\" # y\nE=\nF=a#b=c\nG= #nothing\nexported=1\nH=\"ä\"\n";
        let found = parse_dotenv(text).expect("a right file");
        let want = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it is #1 \\n"),
            ("D", "a\n\"b\" $x"),
            ("E", ""),
            ("F", "a#b=c"),
            ("G", ""),
            ("exported", "1"),
            ("H", "ä"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn dotenv_mistakes_name_their_line_and_hide_the_value() {
        let text =
            "A=1\ncanary\nB='canary\nC=\"canary\\\nD=\"canary\" canary\nE F=canary\n=canary\n";
        let errors = parse_dotenv(text).expect_err("mistakes");
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 6, "{shown:#?}");
        for (line, text) in shown.iter().enumerate() {
            assert!(
                text.starts_with(&format!(".env:{}: found a", line + 2)) || line == 3,
                "{text}"
            );
            assert!(text.ends_with(", expected NAME=value") && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = config_file(Some("/nowhere/x.toml"), &[]).expect_err("no file");
        assert_eq!(
            error.to_string(),
            "--config: found \"/nowhere/x.toml\": No such file or directory, expected a readable \
             text file"
        );
        let variables = [("VERTEX_BRIDGE_CONFIG".to_owned(), "/nowhere/y.toml".to_owned())];
        let error = config_file(None, &variables).expect_err("no file");
        assert!(error.to_string().starts_with("VERTEX_BRIDGE_CONFIG: found \"/nowhere/y.toml\""));
        let named = config_file(Some("Cargo.toml"), &variables).expect("the flag wins");
        assert_eq!(named.expect("a file").0, "Cargo.toml");
        let empty = [("VERTEX_BRIDGE_CONFIG".to_owned(), String::new())];
        assert!(config_file(None, &empty).is_ok(), "the default file may be missing");
    }

    #[test]
    fn files_that_are_too_large_or_no_text_are_refused() {
        assert!(reason(&read_text("/dev/zero").expect_err("endless")).starts_with("larger than"));
        assert!(read_text("/").is_err());
    }
}
