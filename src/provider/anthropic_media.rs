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
