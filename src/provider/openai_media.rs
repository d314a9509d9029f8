//! Images, recordings and files in OpenAI's wire format.

use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Media, MediaKind, Source};
use crate::wire::json::{self, JsonText};

use super::put::quoted;

/// Appends one part of a user's content.
pub(super) fn part(media: &Media<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let unsupported = |why| Err(ChatError::at(media.at.to_string(), Problem::Unsupported(why)));
    let mime = media.mime.as_deref();
    match (media.kind, media.source) {
        (MediaKind::Image, Source::Url(url)) => {
            out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
            quoted(url, out);
        }
        (MediaKind::Image, Source::Base64(data)) => {
            out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":\"");
            data_url(mime.unwrap_or("image/png"), data, out);
        }
        (MediaKind::Image, Source::Id(_)) => {
            return unsupported("OpenAI's chat completions take no image by its id");
        }
        (MediaKind::Audio, Source::Base64(data)) => {
            out.extend_from_slice(b"{\"type\":\"input_audio\",\"input_audio\":{\"data\":");
            quoted(data, out);
            out.extend_from_slice(b",\"format\":");
            json::push_string(out, audio_format(mime.unwrap_or("audio/wav")));
        }
        (MediaKind::Audio, _) => {
            return unsupported("OpenAI takes recordings only with the request, in base64");
        }
        (MediaKind::File, Source::Base64(data)) => {
            out.extend_from_slice(b"{\"type\":\"file\",\"file\":{\"filename\":");
            quoted(media.name.unwrap_or(JsonText::plain("file")), out);
            out.extend_from_slice(b",\"file_data\":\"");
            data_url(mime.unwrap_or("application/pdf"), data, out);
        }
        (MediaKind::File, Source::Id(id)) => {
            out.extend_from_slice(b"{\"type\":\"file\",\"file\":{\"file_id\":");
            quoted(id, out);
        }
        (MediaKind::File, Source::Url(_)) => {
            return unsupported("OpenAI's chat completions take no file by its address");
        }
    }
    if let Some(detail) = media.detail.filter(|_| media.kind == MediaKind::Image) {
        out.extend_from_slice(b",\"detail\":");
        quoted(detail, out);
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Appends the rest of a JSON string that is a data URL, with its last quote.
fn data_url(mime: &str, data: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data:");
    json::push_escaped(out, mime);
    out.extend_from_slice(b";base64,");
    out.extend_from_slice(data.raw().as_bytes());
    out.push(b'"');
}

/// OpenAI's word for a type of recording.
fn audio_format(mime: &str) -> &str {
    let kind = mime.split(';').next().unwrap_or(mime).trim();
    match kind.strip_prefix("audio/").unwrap_or(kind) {
        "mpeg" | "mpga" | "mp3" => "mp3",
        "x-wav" | "wave" | "vnd.wave" | "wav" => "wav",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn written(kind: MediaKind, source: Source<'_>, mime: &'static str) -> Option<String> {
        let mime = Some(Cow::Borrowed(mime)).filter(|mime| !mime.is_empty());
        let name = Some(JsonText::plain("a.pdf"));
        let media =
            Media { kind, source, mime, name, detail: None, cache: None, at: Default::default() };
        let mut out = Vec::new();
        part(&media, &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_medium_has_its_form_or_is_refused() {
        use MediaKind::{Audio, File, Image};
        let text = JsonText::plain;
        let (data, url, id) =
            (Source::Base64(text("AA==")), Source::Url(text("https://h/x")), Source::Id(text("i")));
        for (kind, source, mime, expected) in [
            (
                Image,
                data,
                "image/webp",
                r#"{"type":"image_url","image_url":{"url":"data:image/webp;base64,AA=="}}"#,
            ),
            (Image, url, "", r#"{"type":"image_url","image_url":{"url":"https://h/x"}}"#),
            (
                Audio,
                data,
                "audio/mpeg",
                r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"mp3"}}"#,
            ),
            (
                File,
                data,
                "",
                r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}}"#,
            ),
            (File, id, "", r#"{"type":"file","file":{"file_id":"i"}}"#),
        ] {
            assert_eq!(written(kind, source, mime).as_deref(), Some(expected));
        }
        for (kind, source) in [(Image, id), (Audio, url), (Audio, id), (File, url)] {
            assert_eq!(written(kind, source, ""), None, "{kind:?} {source:?}");
        }
    }
}
