//! Gemini's `logprobsResult` to the elements of OpenAI's `logprobs.content`.

use crate::base::ascii;
use crate::wire::json::{JsonError, JsonText, Kind, Reader};

/// A token and its probability as it was spelt.
#[derive(Clone, Copy, Debug, Default)]
struct Token<'b> {
    text: JsonText<'b>,
    logprob: Option<&'b str>,
}

/// Appends the elements, without the brackets around them.
pub(super) fn read(reader: &mut Reader<'_>, out: &mut String) -> Result<(), JsonError> {
    let (mut chosen, mut top) = (Vec::new(), Vec::new());
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("chosenCandidates", Kind::Array) => {
            chosen = tokens(reader)?;
            Ok(())
        }
        ("topCandidates", Kind::Array) => reader.array(|reader, _index| {
            let mut list = Vec::new();
            reader.object(|reader, key| {
                if key.raw() == "candidates" && reader.kind()? == Kind::Array {
                    list = tokens(reader)?;
                    return Ok(());
                }
                reader.skip()
            })?;
            top.push(list);
            Ok(())
        }),
        _ => reader.skip(),
    })?;
    let mut bytes = Vec::new();
    for (index, token) in chosen.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        render(token, &mut bytes);
        bytes.extend_from_slice(b",\"top_logprobs\":[");
        for (place, other) in top.get(index).into_iter().flatten().enumerate() {
            if place > 0 {
                bytes.push(b',');
            }
            render(other, &mut bytes);
            bytes.push(b'}');
        }
        bytes.extend_from_slice(b"]}");
    }
    out.push_str(std::str::from_utf8(&bytes).unwrap_or_default());
    Ok(())
}

fn tokens<'b>(reader: &mut Reader<'b>) -> Result<Vec<Token<'b>>, JsonError> {
    let mut tokens = Vec::new();
    reader.array(|reader, _index| {
        let mut token = Token::default();
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("token", Kind::String) => token.text = reader.string()?,
                ("logProbability", Kind::Number) => token.logprob = Some(reader.number()?),
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        tokens.push(token);
        Ok::<(), JsonError>(())
    })?;
    Ok(tokens)
}

/// Appends an object without its end. A vendor that gives no probability means a certain token.
fn render(token: &Token<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"token\":\"");
    out.extend_from_slice(token.text.raw().as_bytes());
    out.extend_from_slice(b"\",\"logprob\":");
    out.extend_from_slice(token.logprob.unwrap_or("0").as_bytes());
    out.extend_from_slice(b",\"bytes\":[");
    for (index, byte) in token.text.unescape().bytes().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        ascii::push_u64(out, u64::from(byte));
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling() {
        let result = r#"{"chosenCandidates":[{"token":"é","tokenId":5,"logProbability":-1.0e-05},{"token":"b"}],
            "topCandidates":[{"candidates":[{"token":"é","logProbability":-1.0e-05},{"token":"x","logProbability":-3}]}]}"#;
        let mut out = String::new();
        read(&mut Reader::new(result), &mut out).unwrap();
        let expected = concat!(
            r#"{"token":"é","logprob":-1.0e-05,"bytes":[195,169],"top_logprobs":["#,
            r#"{"token":"é","logprob":-1.0e-05,"bytes":[195,169]},"#,
            r#"{"token":"x","logprob":-3,"bytes":[120]}]},"#,
            r#"{"token":"b","logprob":0,"bytes":[98],"top_logprobs":[]}"#
        );
        assert_eq!(out, expected);
    }
}
