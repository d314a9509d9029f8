//! Arguments of a call that Vertex AI streams piece by piece, each with its JSON path
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling>).
//!
//! We never ask for them in pieces; a request that another gateway has prepared may. They are put
//! together and given on whole.

use crate::wire::json::{JsonError, JsonText, Kind, Reader};

/// Containers in containers; the same limit as for any JSON.
const DEPTH_MAX: usize = 128;

/// Arrays grow one by one. A path may name a place far behind, but so many elements that nothing
/// has been said of are enough: a few bytes must not make a long array.
const HOLES_MAX: usize = 1000;

/// A value that is being put together; texts are as in JSON strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Node {
    #[default]
    Unset,
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Text(String),
    /// A number, a boolean or null as it was spelt.
    Literal(String),
}

/// A call whose arguments have not ended.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) signature: Option<String>,
    root: Node,
    /// Elements that were skipped so far.
    holes: usize,
    /// The last text goes on with the next piece of the same path.
    continues: bool,
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'p> {
    Member(&'p str),
    Element(usize),
}

impl Partial {
    pub(super) fn new(
        id: Option<JsonText<'_>>,
        name: JsonText<'_>,
        signature: Option<JsonText<'_>>,
    ) -> Self {
        let owned = |text: JsonText<'_>| text.raw().to_owned();
        let (id, signature) = (id.map(owned).unwrap_or_default(), signature.map(owned));
        Self { id, name: owned(name), signature, ..Self::default() }
    }

    /// Takes the elements of `partialArgs`.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        reader.array(|reader, _index| self.piece(reader))
    }

    fn piece(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let (mut path, mut text, mut literal, mut continues) = (None, None, None, false);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("jsonPath", Kind::String) => path = Some(reader.string()?),
                ("stringValue", Kind::String) => text = Some(reader.string()?),
                ("nullValue", _) => {
                    reader.skip()?;
                    literal = Some("null");
                }
                ("numberValue", Kind::Number) | ("boolValue", Kind::Bool) => {
                    literal = Some(reader.raw()?);
                }
                ("willContinue", Kind::Bool) => continues = reader.boolean()?,
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        let path = path.map(JsonText::unescape).unwrap_or_default();
        if path.is_empty() && text.is_none() && literal.is_none() {
            self.continues = continues;
            return Ok(());
        }
        let place = place(&mut self.root, &path, &mut self.holes)?;
        match (text, literal) {
            (Some(text), _) => match place {
                Node::Text(sofar) if self.continues => sofar.push_str(text.raw()),
                _ => *place = Node::Text(text.raw().to_owned()),
            },
            (None, Some(literal)) => *place = Node::Literal(literal.to_owned()),
            (None, None) => {}
        }
        self.continues = continues;
        Ok(())
    }

    /// Appends the arguments, a JSON object.
    pub(super) fn render(&self, out: &mut String) {
        match &self.root {
            Node::Unset => out.push_str("{}"),
            root => render(root, out),
        }
    }
}

fn render(node: &Node, out: &mut String) {
    match node {
        Node::Unset => out.push_str("null"),
        Node::Literal(text) => out.push_str(text),
        Node::Text(text) => {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
        Node::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                render(element, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                let mut quoted = Vec::with_capacity(name.len() + 2);
                crate::wire::json::push_string(&mut quoted, name);
                out.push_str(std::str::from_utf8(&quoted).unwrap_or("\"\""));
                out.push(':');
                render(value, out);
            }
            out.push('}');
        }
    }
}

/// The node at a path like `$.a.b[0]['c d']`, made where it is not there.
fn place<'n>(root: &'n mut Node, path: &str, holes: &mut usize) -> Result<&'n mut Node, JsonError> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    // Arguments are an object: the first step is a member.
    if !matches!(step(rest), Some((Step::Member(_), _))) {
        return Err(JsonError::Type);
    }
    let mut node = root;
    let mut depth = 0;
    while !rest.is_empty() {
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        let (step, behind) = step(rest).ok_or(JsonError::Type)?;
        rest = behind;
        node = match step {
            Step::Member(name) => member(node, name),
            Step::Element(index) => element(node, index, holes)?,
        };
    }
    Ok(node)
}

fn member<'n>(node: &'n mut Node, name: &str) -> &'n mut Node {
    if !matches!(node, Node::Object(_)) {
        *node = Node::Object(Vec::new());
    }
    let Node::Object(members) = node else { return node };
    let known = members.iter().position(|(known, _)| known == name);
    let index = known.unwrap_or_else(|| {
        members.push((name.to_owned(), Node::Unset));
        members.len() - 1
    });
    &mut members[index].1
}

fn element<'n>(
    node: &'n mut Node,
    index: usize,
    holes: &mut usize,
) -> Result<&'n mut Node, JsonError> {
    if !matches!(node, Node::Array(_)) {
        *node = Node::Array(Vec::new());
    }
    let Node::Array(elements) = node else { return Ok(node) };
    if elements.len() <= index {
        *holes = holes.saturating_add(index - elements.len());
        if *holes > HOLES_MAX {
            return Err(JsonError::Type);
        }
        elements.resize(index + 1, Node::Unset);
    }
    elements.get_mut(index).ok_or(JsonError::Type)
}

/// The first step of a path, and what follows it.
fn step(path: &str) -> Option<(Step<'_>, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        return (!name.is_empty()).then_some((Step::Member(name), rest));
    }
    let rest = path.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(inner) = rest.strip_prefix(quote) {
            let (name, rest) = inner.split_once(quote)?;
            return Some((Step::Member(name), rest.strip_prefix(']')?));
        }
    }
    let (index, rest) = rest.split_once(']')?;
    Some((Step::Element(index.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(pieces: &[&str]) -> Result<String, JsonError> {
        let mut partial = Partial::default();
        for piece in pieces {
            partial.read(&mut Reader::new(piece))?;
        }
        let mut out = String::new();
        partial.render(&mut out);
        Ok(out)
    }

    #[test]
    fn pieces_become_one_object() {
        assert_eq!(put_together(&[]).unwrap(), "{}");
        assert_eq!(put_together(&["[{}]"]).unwrap(), "{}");
        let found = put_together(&[
            r#"[{"jsonPath":"$.city","stringValue":"Bo\"","willContinue":true}]"#,
            r#"[{"jsonPath":"$.city","stringValue":"ston"}]"#,
            r#"[{"jsonPath":"$.list[0].n","numberValue":1.50},{"jsonPath":"$.list[1].b","boolValue":true}]"#,
            r#"[{"jsonPath":"$['a b']","nullValue":"NULL_VALUE"}]"#,
            r#"[{"jsonPath":"$.list[0].m","stringValue":"x"}]"#,
        ]);
        let expected = r#"{"city":"Bo\"ston","list":[{"n":1.50,"m":"x"},{"b":true}],"a b":null}"#;
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn paths_that_cannot_be_are_refused() {
        for path in ["$.", "$[x]", "$[99999999]", "$x", "$['a"] {
            let piece = format!(r#"[{{"jsonPath":"{path}","stringValue":""}}]"#);
            assert!(put_together(&[&piece]).is_err(), "{path}");
        }
        // Arguments are an object, whatever the first path says.
        for path in ["$", "", "$[0]"] {
            let piece = format!(r#"[{{"jsonPath":"{path}","numberValue":1}}]"#);
            assert_eq!(put_together(&[&piece]), Err(JsonError::Type), "{path}");
            let object = r#"[{"jsonPath":"$.a","numberValue":1}]"#;
            assert_eq!(put_together(&[object, &piece]), Err(JsonError::Type), "{path}");
        }
        let deep = format!(r#"[{{"jsonPath":"${}","stringValue":""}}]"#, ".a".repeat(200));
        assert_eq!(put_together(&[&deep]), Err(JsonError::Depth));
    }

    #[test]
    fn short_paths_do_not_make_long_arrays() {
        let piece = |index: usize| format!(r#"[{{"jsonPath":"$.a[{index}]","numberValue":1}}]"#);
        let in_order: Vec<String> = (0..5000).map(piece).collect();
        let in_order: Vec<&str> = in_order.iter().map(String::as_str).collect();
        assert_eq!(put_together(&in_order).unwrap().matches('1').count(), 5000);
        assert!(put_together(&[&piece(HOLES_MAX)]).is_ok());
        assert_eq!(put_together(&[&piece(HOLES_MAX + 1)]), Err(JsonError::Type));
        let two = [piece(HOLES_MAX), piece(HOLES_MAX).replace(".a", ".b")];
        assert_eq!(put_together(&[&two[0], &two[1]]), Err(JsonError::Type));
    }
}
