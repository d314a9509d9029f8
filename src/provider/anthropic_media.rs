//! Images and documents in Anthropic's wire format. Nothing is fetched; only a text that must
//! stand there as text is decoded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Media, MediaKind, Source};
use crate::wire::json::{self, JsonText};

use super::anthropic_blocks::Blocks;
use super::put::{name, quoted};

/// The images that Anthropic takes.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

const PDF: &str = "application/pdf";

const TEXT: &str = "text/plain";

/// Appends the block of an image or a file.
pub(super) fn push(medium: &Media<'_>, blocks: &mut Blocks<'_>) -> Result<(), ChatError> {
    let mime = medium.mime.as_deref();
    let is_image = mime.is_some_and(|mime| IMAGES.contains(&mime));
    match medium.kind {
        MediaKind::Audio => {
            let why = Problem::Unsupported("this upstream takes no audio");
            Err(ChatError::at(format!("{}.input_audio", medium.at), why))
        }
        MediaKind::Image => {
            // An address need not tell what is there; data must.
            let unknown = mime.is_none() && !matches!(medium.source, Source::Base64(_));
            if !is_image && !unknown {
                let what = Problem::Expected("a jpeg, png, gif or webp for this upstream");
                return Err(ChatError::at(format!("{}.image_url", medium.at), what));
            }
            image(medium, blocks)
        }
        MediaKind::File if is_image => image(medium, blocks),
        MediaKind::File => document(medium, blocks),
    }
}

/// Does a name of the file go with it? Only a document made of text has a place for it.
pub(super) fn is_titled(medium: &Media<'_>) -> bool {
    medium.mime.as_deref() == Some(TEXT) && matches!(medium.source, Source::Base64(_))
}

fn image(medium: &Media<'_>, blocks: &mut Blocks<'_>) -> Result<(), ChatError> {
    blocks.begin("image");
    source(medium, blocks.out)?;
    blocks.end(medium.cache);
    Ok(())
}

fn document(medium: &Media<'_>, blocks: &mut Blocks<'_>) -> Result<(), ChatError> {
    let inline = matches!(medium.source, Source::Base64(_));
    match medium.mime.as_deref() {
        Some(TEXT) if inline => {}
        Some(PDF) => {}
        None if !inline => {}
        _ => {
            let what = Problem::Expected("a PDF, plain text or an image for this upstream");
            return Err(ChatError::at(format!("{}.file", medium.at), what));
        }
    }
    blocks.begin("document");
    source(medium, blocks.out)?;
    if let Some(title) = medium.name.filter(|_| is_titled(medium)) {
        name(b"title", blocks.out);
        quoted(title, blocks.out);
    }
    blocks.end(medium.cache);
    Ok(())
}

/// Appends `"source":{…}`.
fn source(medium: &Media<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    name(b"source", out);
    let mut put = |kind: &str, field: &[u8], value: JsonText<'_>| {
        out.extend_from_slice(b"{\"type\":");
        json::push_string(out, kind);
        if let (Some(mime), "base64") = (medium.mime.as_deref(), kind) {
            name(b"media_type", out);
            json::push_string(out, mime);
        }
        name(field, out);
        quoted(value, out);
        out.push(b'}');
    };
    match medium.source {
        Source::Base64(data) if medium.mime.as_deref() == Some(TEXT) => {
            let text = decoded(data).ok_or_else(|| {
                let what = Problem::Expected("UTF-8 text in base64");
                ChatError::at(format!("{}.file.file_data", medium.at), what)
            })?;
            out.extend_from_slice(b"{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":");
            json::push_string(out, &text);
            out.push(b'}');
        }
        Source::Base64(data) => put("base64", b"data", data),
        Source::Url(url) if is_http(url) => put("url", b"url", url),
        Source::Url(_) => {
            let what = Problem::Expected("an http(s) address or a data URL for this upstream");
            return Err(ChatError::at(medium.at.to_string(), what));
        }
        Source::Id(id) => put("file", b"file_id", id),
    }
    Ok(())
}

fn is_http(url: JsonText<'_>) -> bool {
    ["https:", "http:"].iter().any(|scheme| url.raw().starts_with(scheme))
}

fn decoded(data: JsonText<'_>) -> Option<String> {
    let bytes = STANDARD.decode(data.unescape().trim_ascii()).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use crate::chat::Request;

    use super::*;

    fn pushed(part: &str) -> Result<String, ChatError> {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);
        let request = Request::parse(body.as_bytes())?;
        let mut out = Vec::new();
        let medium = request.turns[0].content.media().next().unwrap();
        push(medium, &mut Blocks::new(&mut out))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn image(url: &str) -> String {
        format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#)
    }

    fn file(fields: &str) -> String {
        format!(r#"{{"type":"file","file":{{{fields}}}}}"#)
    }

    #[test]
    fn images_and_documents_have_their_sources() {
        for (part, expected) in [
            (
                image(r"data:image\/jpg;base64,AA\/B+="),
                r#"{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"AA\/B+="}}"#,
            ),
            (
                image("https://h/a?x=1"),
                r#"{"type":"image","source":{"type":"url","url":"https://h/a?x=1"}}"#,
            ),
            (
                file(r#""filename":"a.pdf","file_data":"JVBERi0=""#),
                r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}"#,
            ),
            (
                file(r#""filename":"\"a\".txt","file_data":"data:text/plain;base64,aMOpIgo=""#),
                r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hé\"\n"},"title":"\"a\".txt"}"#,
            ),
            (
                file(r#""file_id":"https://h/a.pdf""#),
                r#"{"type":"document","source":{"type":"url","url":"https://h/a.pdf"}}"#,
            ),
            (
                file(r#""file_id":"http://h/a""#),
                r#"{"type":"document","source":{"type":"url","url":"http://h/a"}}"#,
            ),
            (
                file(r#""file_id":"https://h/a.WEBP""#),
                r#"{"type":"image","source":{"type":"url","url":"https://h/a.WEBP"}}"#,
            ),
            (
                file(r#""file_data":"data:image/png;base64,AA==""#),
                r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}"#,
            ),
            (
                file(r#""file_id":"file_011""#),
                r#"{"type":"document","source":{"type":"file","file_id":"file_011"}}"#,
            ),
            (
                file(r#""file_id":"file_011","format":"image/png""#),
                r#"{"type":"image","source":{"type":"file","file_id":"file_011"}}"#,
            ),
        ] {
            assert_eq!(pushed(&part).unwrap(), expected, "{part}");
        }
    }

    #[test]
    fn other_media_are_refused_by_name() {
        let audio = r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#;
        let at = "messages[0].content[0]";
        for (part, field) in [
            (audio.to_owned(), ".input_audio"),
            (image("data:image/heic;base64,AA=="), ".image_url"),
            (image("data:;base64,AA=="), ".image_url"),
            (image("https://h/a.mp4"), ".image_url"),
            (image("gs://b/a.png"), ""),
            (file(r#""file_data":"data:text/csv;base64,AA==""#), ".file"),
            (file(r#""file_id":"https://h/a.txt""#), ".file"),
            (file(r#""file_id":"gs://b/a.pdf""#), ""),
            (file(r#""file_data":"data:text/plain;base64,/w==""#), ".file.file_data"),
            (file(r#""file_data":"data:text/plain;base64,!""#), ".file.file_data"),
        ] {
            assert_eq!(pushed(&part).unwrap_err().param, format!("{at}{field}"), "{part}");
        }
    }
}
