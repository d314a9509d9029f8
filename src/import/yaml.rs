//! YAML as far as a configuration needs it: names, values and the lines they stand at.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Deeper nesting is no configuration.
const DEPTH_MAX: usize = 32;
/// Nodes that references may bring in, above any real configuration.
const COPIES_MAX: usize = 100_000;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Flag(bool),
    /// As it would be written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A name and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Data::Map(entries) = &self.data else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a table; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Data::Map(entries) = &self.data { entries } else { &[] }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        if let Data::List(items) = &self.data { items } else { &[] }
    }

    /// Text that says something, or a number as it would be written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) | Data::Number(text) => Some(text.trim()).filter(|t| !t.is_empty()),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        self.text()?.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
    }

    /// True and false in all spellings that `LiteLLM`'s reader takes (YAML 1.1).
    pub(super) fn flag(&self) -> Option<bool> {
        match &self.data {
            Data::Flag(flag) => Some(*flag),
            Data::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" => Some(true),
                "no" | "off" | "false" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// How many values it is made of.
    fn count(&self) -> usize {
        match &self.data {
            Data::List(items) => items.iter().map(Self::count).sum::<usize>() + 1,
            Data::Map(entries) => {
                entries.iter().map(|entry| entry.value.count()).sum::<usize>() + 1
            }
            _ => 1,
        }
    }

    /// Does it say nothing?
    pub(super) fn is_empty(&self) -> bool {
        match &self.data {
            Data::Null => true,
            Data::Text(text) => text.trim().is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

/// Reads the first document of `text`.
///
/// # Errors
/// The line and what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            (error.marker().line(), format!("found no valid YAML: {}", error.info()))
        })?;
        let line = span.start.line();
        builder.take(event, line).map_err(|why| (line, why.to_owned()))?;
        if builder.ended {
            break;
        }
    }
    Ok(builder.root.unwrap_or(Node { line: 1, data: Data::Null }))
}

/// Makes a tree of the parser's events, without following nesting on the stack.
#[derive(Default)]
struct Builder {
    /// What is not closed yet, outermost first.
    open: Vec<Open>,
    /// Nodes that may be referred to, by their numbers.
    anchors: BTreeMap<usize, Node>,
    /// Nodes that references have brought in.
    copied: usize,
    root: Option<Node>,
    /// The first document has ended.
    ended: bool,
}

struct Open {
    line: usize,
    anchor: usize,
    held: Held,
}

enum Held {
    List(Vec<Node>),
    /// With a name that waits for what it holds.
    Map(Vec<Entry>, Option<(String, usize)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), &'static str> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let data = if plain { meant(&text) } else { Data::Text(text.into_owned()) };
                self.close(Node { line, data }, anchor)?;
            }
            Event::Alias(number) => {
                let node = self.anchors.get(&number).cloned();
                let node =
                    node.ok_or("found a reference to itself, expected one to what is whole")?;
                self.copied = self.copied.saturating_add(node.count());
                if self.copied > COPIES_MAX {
                    return Err("found too many references, expected a configuration");
                }
                self.close(node, 0)?;
            }
            Event::SequenceStart(anchor, _) => {
                self.open(Open { line, anchor, held: Held::List(Vec::new()) })?;
            }
            Event::MappingStart(anchor, _) => {
                self.open(Open { line, anchor, held: Held::Map(Vec::new(), None) })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { line, anchor, held }) = self.open.pop() else { return Ok(()) };
                let data = match held {
                    Held::List(items) => Data::List(items),
                    Held::Map(entries, _) => Data::Map(merged(entries)),
                };
                self.close(Node { line, data }, anchor)?;
            }
            Event::DocumentEnd => self.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), &'static str> {
        if self.open.len() >= DEPTH_MAX {
            return Err("found more nesting than a configuration has");
        }
        self.open.push(open);
        Ok(())
    }

    /// Puts a node that is whole where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.held) {
            None => self.root = Some(node),
            Some(Held::List(items)) => items.push(node),
            Some(Held::Map(entries, name)) => match name.take() {
                // The line of the name: what it holds may begin further down.
                Some((key, line)) => entries.push(Entry { key, value: Node { line, ..node } }),
                None => {
                    let key = match node.data {
                        Data::Text(text) | Data::Number(text) => text,
                        Data::Flag(flag) => flag.to_string(),
                        Data::Null => String::new(),
                        Data::List(_) | Data::Map(_) => {
                            return Err("found a list or a table, expected a name");
                        }
                    };
                    *name = Some((key, node.line));
                }
            },
        }
        Ok(())
    }
}

/// What a word without quotes means.
fn meant(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Flag(true),
        "false" | "False" | "FALSE" => return Data::Flag(false),
        _ => {}
    }
    // `20_000` is a number to LiteLLM's reader.
    let digits: String = text.chars().filter(|letter| *letter != '_').collect();
    let begins =
        digits.starts_with(|letter: char| letter.is_ascii_digit() || "+-.".contains(letter));
    let number = begins && digits.parse::<f64>().is_ok_and(f64::is_finite);
    if number { Data::Number(digits) } else { Data::Text(text.to_owned()) }
}

/// What `<<` brings in stands behind what a table says itself; of two with a name the last counts.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    let mut all: Vec<Entry> = Vec::with_capacity(own.len());
    for entry in own {
        match all.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => all.push(entry),
        }
    }
    for merge in merges {
        let one = std::slice::from_ref(&merge.value);
        let sources = if merge.value.items().is_empty() { one } else { merge.value.items() };
        for entry in sources.iter().flat_map(Node::entries) {
            if !all.iter().any(|known| known.key == entry.key) {
                all.push(entry.clone());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_lines_and_anchors_are_followed() {
        let text = "a: &base\n  x: 1\n  y: 'two'\nb:\n  <<: *base\n  y: yes\nc: [1.5, ~, true]\n";
        let root = parse(text).expect("YAML");
        let b = root.get("b").expect("b");
        assert_eq!(b.get("x").and_then(Node::text), Some("1"));
        assert_eq!(b.get("y").and_then(Node::flag), Some(true));
        assert_eq!((b.line, b.get("y").map(|y| y.line)), (4, Some(6)));
        let c = root.get("c").expect("c").items();
        assert_eq!((c[0].number(), c[1].is_empty(), c[2].flag()), (Some(1.5), true, Some(true)));
    }

    #[test]
    fn what_is_no_yaml_names_its_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").expect_err("broken");
        assert!((2..=4).contains(&error.0) && error.1.contains("no valid YAML"), "{error:?}");
        assert!(parse(&"[".repeat(100_000)).is_err());
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep).is_err());
        assert!(parse(&"- ".repeat(5000)).is_err());
        assert!(parse("").expect("nothing").is_empty());
        let laughs = (1..9).fold("a0: &a0 [1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, at| {
            let one = format!("*a{}", at - 1);
            format!("{text}a{at}: &a{at} [{}]\n", [one.as_str(); 9].join(","))
        });
        let error = parse(&laughs).expect_err("a billion");
        assert!(error.1.contains("too many references"), "{error:?}");
    }
}
