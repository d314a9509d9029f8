//! From file text and variables to understood settings: who set what, and every mistake.
//!
//! Flags beat variables, variables beat the file. A value that is beaten is checked all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, nearest, quote};
use super::keys::{self, KEYS, Key, Shape};
use super::limits::TABLES_MAX;
use super::value::{Outside, Raw, Scalar, Value};

/// Everything that a configuration is made from. Nothing else is read.
#[derive(Clone, Copy)]
pub struct Sources<'s> {
    /// Path and text of the configuration file.
    pub file: Option<(&'s str, &'s str)>,
    /// Options of the command line.
    pub flags: &'s [FlagValue<'s>],
    /// The environment, merged over a `.env` file. An empty value counts as not set.
    pub variables: &'s [(String, String)],
    /// Reads a secret's file; the error is the reason in words.
    pub read_file: &'s dyn Fn(&str) -> Result<String, String>,
}

/// One option of the command line that sets a key.
#[derive(Clone, Copy, Debug)]
pub struct FlagValue<'s> {
    /// As the user wrote it: `--cores`.
    pub flag: &'s str,
    /// The key: `runtime.cores`.
    pub key: &'s str,
    /// Its value.
    pub value: &'s str,
}

impl std::fmt::Debug for Sources<'_> {
    /// Values may be secrets: only their number is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (file, variables) = (self.file.map(|(path, _)| path), self.variables.len());
        write!(f, "Sources {{ file: {file:?}, variables: {variables} }}")
    }
}

/// What is said of a configuration beside its values.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl Notes {
    pub(super) fn error(
        &mut self,
        key: &str,
        place: &Place,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (key, place) = (key.to_owned(), place.clone());
        self.errors.push(ConfigError {
            key,
            place,
            found: found.into(),
            expected: expected.into(),
        });
    }
}

/// One key's value and where it came from.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) content: Content,
    pub(super) place: Place,
    /// As it is written; nothing for tables, `***` for secrets.
    pub(super) shown: String,
}

#[derive(Debug)]
pub(super) enum Content {
    One(Value),
    Tables(Vec<Settings>),
}

/// The keys of the whole configuration, or of one table in it.
#[derive(Debug)]
pub(super) struct Settings {
    entries: BTreeMap<&'static str, Setting>,
    /// Keys that are set, but to nothing that could be understood: already reported.
    refused: Vec<&'static str>,
    /// Where the table begins.
    pub(super) place: Place,
}

/// Reads everything that is set.
pub(super) fn read(sources: &Sources<'_>, notes: &mut Notes) -> Settings {
    let named = sources.variables.iter().filter(|(_, value)| !value.is_empty());
    let variables: BTreeMap<&str, &str> = named.map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let outside = Outside { variables: &variables, read_file: sources.read_file };
    let mut settings = match sources.file {
        Some((path, text)) => Reader { path, text, outside: &outside, notes }.file(),
        None => Settings::new(Place::Nowhere),
    };
    check_variables(&variables, notes);
    for key in KEYS {
        let Shape::One(scalar) = key.shape else { continue };
        // From the weakest to the strongest, so that the last one stays.
        for name in keys::variables_of(key).into_iter().rev() {
            if let Some(text) = variables.get(name.as_str()) {
                settings.set_word(key.name, scalar, (text, Place::Variable(name)), &outside, notes);
            }
        }
        for flag in sources.flags.iter().filter(|flag| flag.key == key.name) {
            let place = Place::Flag(flag.flag.to_owned());
            settings.set_word(key.name, scalar, (flag.value, place), &outside, notes);
        }
    }
    settings
}

/// Old variables are accepted with a warning, unknown ones of ours are refused.
fn check_variables(variables: &BTreeMap<&str, &str>, notes: &mut Notes) {
    let known: Vec<String> = KEYS.iter().filter_map(keys::variable_of).collect();
    for name in variables.keys() {
        let old = keys::OLD_VARIABLES.iter().find(|(pattern, _)| keys::matches(pattern, name));
        if let Some((_, instead)) = old {
            notes.warnings.push(format!("{name} has no effect; use {instead}"));
        } else if name.starts_with("APP_") && !known.iter().any(|known| known == name) {
            let hint = nearest(name, known.iter().map(String::as_str));
            let place = Place::Variable((*name).to_owned());
            notes.error("", &place, "an unknown variable", known_name("variable", hint));
        }
    }
}

fn known_name(what: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!(" (did you mean {hint}?)"));
    format!("a known {what}{}", hint.unwrap_or_default())
}

/// Reads the file.
struct Reader<'r, 's> {
    path: &'r str,
    text: &'r str,
    outside: &'r Outside<'s>,
    notes: &'r mut Notes,
}

/// Which keys a table may hold.
#[derive(Clone, Copy)]
struct Scope<'k> {
    /// Precedes names in messages: `upstream.`.
    section: &'k str,
    /// Precedes names in the list of keys: the section's name at the top, nothing in tables.
    listed: &'k str,
    keys: &'static [Key],
}

impl Scope<'_> {
    /// What a misspelt name may have meant.
    fn names(self) -> impl Iterator<Item = &'static str> {
        let at_top = self.section.is_empty();
        self.keys.iter().map(move |key| match key.name.split_once('.') {
            Some((section, _)) if at_top => section,
            _ => key.name,
        })
    }
}

impl Reader<'_, '_> {
    fn file(mut self) -> Settings {
        let text = self.text;
        let (document, broken) = DeTable::parse_recoverable(text);
        let mut settings = Settings::new(self.place(0));
        for error in &broken {
            let place = self.place(error.span().map_or(0, |span| span.start));
            self.notes.error("", &place, error.message(), "valid TOML");
        }
        // What follows a broken line may have landed in the wrong table.
        if !broken.is_empty() {
            return settings;
        }
        for entry in document.get_ref() {
            let (name, value) = (entry.0.get_ref(), entry.1.get_ref());
            let section = format!("{name}.");
            if !KEYS.iter().any(|key| key.name.starts_with(&section)) {
                self.entry(Scope { section: "", listed: "", keys: KEYS }, entry, &mut settings);
            } else if let DeValue::Table(table) = value {
                let scope = Scope { section: &section, listed: &section, keys: KEYS };
                self.entries(scope, table, &mut settings);
            } else {
                let place = self.place(entry.0.span().start);
                self.notes.error(name, &place, Raw::Toml(value).found(), "a table");
            }
        }
        settings
    }

    fn entries(&mut self, scope: Scope<'_>, table: &DeTable<'_>, settings: &mut Settings) {
        for entry in table {
            self.entry(scope, entry, settings);
        }
    }

    fn entry(
        &mut self,
        scope: Scope<'_>,
        (name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>),
        settings: &mut Settings,
    ) {
        let place = self.place(name.span().start);
        let full = format!("{}{}", scope.section, name.get_ref());
        let listed = format!("{}{}", scope.listed, name.get_ref());
        let Some(key) = scope.keys.iter().find(|key| key.name == listed) else {
            let hint = nearest(&listed, scope.names());
            self.notes.error(&full, &place, "an unknown key", known_name("key", hint));
            return;
        };
        let (content, shown) = match key.shape {
            Shape::One(scalar) => {
                let shown = scalar.shown(Raw::Toml(value.get_ref()));
                (self.scalar(&full, scalar, value.get_ref(), &place), shown)
            }
            Shape::Tables(keys) => (self.tables(&full, keys, value, &place), String::new()),
        };
        match content {
            Some(content) => {
                settings.entries.insert(key.name, Setting { content, place, shown });
            }
            None => settings.refused.push(key.name),
        }
    }

    fn scalar(
        &mut self,
        key: &str,
        scalar: Scalar,
        value: &DeValue<'_>,
        place: &Place,
    ) -> Option<Content> {
        match scalar.read(Raw::Toml(value), self.outside) {
            Ok(value) => Some(Content::One(value)),
            Err(found) => {
                self.notes.error(key, place, found, scalar.expected());
                None
            }
        }
    }

    fn tables(
        &mut self,
        full: &str,
        keys: &'static [Key],
        value: &Spanned<DeValue<'_>>,
        place: &Place,
    ) -> Option<Content> {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Table(_) => vec![value],
            DeValue::Array(array) => array.iter().collect(),
            other => {
                self.notes.error(full, place, Raw::Toml(other).found(), "a table");
                return None;
            }
        };
        if items.len() > TABLES_MAX {
            let found = format!("{} tables", items.len());
            self.notes.error(full, place, found, format!("at most {TABLES_MAX}"));
            return None;
        }
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let place = self.place(item.span().start);
            let Some(table) = item.get_ref().as_table() else {
                let other = Raw::Toml(item.get_ref()).found();
                self.notes.error(full, &place, other, "a table");
                return None;
            };
            let mut settings = Settings::new(place);
            let scope = Scope { section: &format!("{full}."), listed: "", keys };
            self.entries(scope, table, &mut settings);
            found.push(settings);
        }
        Some(Content::Tables(found))
    }

    /// The line of a byte offset; an offset outside the text is the last line.
    fn place(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Place::File { path: self.path.to_owned(), line }
    }
}

impl Settings {
    fn new(place: Place) -> Self {
        Self { entries: BTreeMap::new(), refused: Vec::new(), place }
    }

    fn set_word(
        &mut self,
        key: &'static str,
        scalar: Scalar,
        (text, place): (&str, Place),
        outside: &Outside<'_>,
        notes: &mut Notes,
    ) {
        match scalar.read(Raw::Word(text), outside) {
            Ok(value) => {
                let (content, shown) = (Content::One(value), scalar.shown(Raw::Word(text)));
                self.entries.insert(key, Setting { content, place, shown });
            }
            Err(found) => {
                self.refused.push(key);
                notes.error(key, &place, found, scalar.expected());
            }
        }
    }

    /// All keys that are set to something right, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.entries.iter().map(|(name, setting)| (*name, setting))
    }

    /// True when `key` is set, to a right value or a wrong one.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.entries.contains_key(key) || self.is_refused(key)
    }

    /// True when `key` is set to something wrong, which has been reported.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(&key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        match &self.entries.get(key)?.content {
            Content::One(value) => Some(value),
            Content::Tables(_) => None,
        }
    }

    /// The tables of `key`; empty when there is none.
    pub(super) fn tables(&self, key: &str) -> &[Self] {
        match self.entries.get(key).map(|setting| &setting.content) {
            Some(Content::Tables(tables)) => tables,
            _ => &[],
        }
    }

    /// Where `key` was set; the table itself when it was not.
    pub(super) fn place_of(&self, key: &str) -> &Place {
        self.entries.get(key).map_or(&self.place, |setting| &setting.place)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that a table must have; reports when it is missing.
    pub(super) fn required(
        &self,
        (section, key): (&str, &str),
        expected: &str,
        notes: &mut Notes,
    ) -> Option<&str> {
        let found = self.text(key);
        if found.is_none() && !self.is_refused(key) {
            notes.error(&format!("{section}.{key}"), &self.place, "nothing", expected);
        }
        found
    }
}

/// An error's quotation of a name that refers to nothing.
pub(super) fn unknown_name(name: &str, known: &[&str]) -> (String, String) {
    let hint = nearest(name, known.iter().copied());
    let all = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
    let hint = hint.map_or(all, |hint| format!("did you mean {hint}?"));
    (quote(name), format!("the name of an upstream ({hint})"))
}
