//! What a message is made of: text, images, audio, files. Nothing is fetched or decoded here.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::others::note;
use super::problem::{ChatError, Problem};

/// What is said in one message.
#[derive(Clone, Debug)]
pub enum Content<'b> {
    /// Nothing.
    None,
    /// One text.
    Text(JsonText<'b>),
    /// Several parts.
    Parts(Vec<Part<'b>>),
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'b> {
    /// Text.
    Text {
        /// The text.
        text: JsonText<'b>,
        /// Anthropic's `cache_control`, an object as it was sent.
        cache: Option<&'b str>,
    },
    /// Anything else.
    Media(Media<'b>),
}

/// An image, a recording or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'b> {
    /// What the client says it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source<'b>,
    /// Its media type, if the client gives one or the address ends in a known extension.
    pub mime: Option<Cow<'b, str>>,
    /// The name of a file.
    pub name: Option<JsonText<'b>>,
    /// How closely `OpenAI` shall look at an image: `low`, `high`, `auto`.
    pub detail: Option<JsonText<'b>>,
    /// Anthropic's `cache_control`, an object as it was sent.
    pub cache: Option<&'b str>,
    /// Where it stands, for errors.
    pub at: Place,
}

impl<'b> Media<'b> {
    /// A medium of which nothing else is told.
    pub(super) fn new(
        kind: MediaKind,
        source: Source<'b>,
        mime: Option<Cow<'b, str>>,
        at: Place,
    ) -> Self {
        Self { kind, source, mime, name: None, detail: None, cache: None, at }
    }
}

/// Where a part stands in the client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The message.
    pub message: usize,
    /// The part of its content.
    pub part: usize,
    names: Names,
}

/// What an API calls messages and their parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Names {
    #[default]
    Messages,
    Contents,
    Items,
}

impl Place {
    /// `messages[].content[]`, of OpenAI and Anthropic.
    pub const fn in_messages(message: usize, part: usize) -> Self {
        Self { message, part, names: Names::Messages }
    }

    /// `contents[].parts[]`, of Google.
    pub const fn in_contents(message: usize, part: usize) -> Self {
        Self { message, part, names: Names::Contents }
    }

    /// `input[].content[]`, of OpenAI's responses.
    pub const fn in_items(message: usize, part: usize) -> Self {
        Self { message, part, names: Names::Items }
    }
}

/// What a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MediaKind {
    Image,
    Audio,
    File,
}

/// Where the bytes of a medium are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'b> {
    /// Here, in base64.
    Base64(JsonText<'b>),
    /// At an address, which the vendor fetches.
    Url(JsonText<'b>),
    /// Known to the vendor by this id.
    Id(JsonText<'b>),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (list, parts) = match self.names {
            Names::Messages => ("messages", "content"),
            Names::Contents => ("contents", "parts"),
            Names::Items => ("input", "content"),
        };
        write!(f, "{list}[{}].{parts}[{}]", self.message, self.part)
    }
}

/// A part without regard to the form of the content around it.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'t, 'b> {
    /// Text, and its `cache_control`.
    Text(JsonText<'b>, Option<&'b str>),
    /// Anything else.
    Media(&'t Media<'b>),
}

impl<'b> Content<'b> {
    /// All parts, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_, 'b>> {
        let (single, several): (Option<Piece<'_, 'b>>, &[Part<'b>]) = match self {
            Content::None => (None, &[]),
            Content::Text(text) => (Some(Piece::Text(*text, None)), &[]),
            Content::Parts(parts) => (None, parts),
        };
        let several = several.iter().map(|part| match part {
            Part::Text { text, cache } => Piece::Text(*text, *cache),
            Part::Media(media) => Piece::Media(media),
        });
        single.into_iter().chain(several)
    }

    /// The texts, whatever the form.
    pub fn texts(&self) -> impl Iterator<Item = JsonText<'b>> + '_ {
        self.pieces().filter_map(|piece| match piece {
            Piece::Text(text, _) => Some(text),
            Piece::Media(_) => None,
        })
    }

    /// The media.
    pub fn media(&self) -> impl Iterator<Item = &Media<'b>> {
        self.pieces().filter_map(|piece| match piece {
            Piece::Text(..) => None,
            Piece::Media(media) => Some(media),
        })
    }

    /// Is there anything that a vendor would take for content?
    pub fn says_something(&self) -> bool {
        self.texts().any(|text| !text.is_empty()) || self.media().next().is_some()
    }

    /// Reads OpenAI's `content`.
    pub(super) fn parse(
        reader: &mut Reader<'b>,
        message: usize,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        let at = || format!("messages[{message}].content");
        match reader.kind()? {
            Kind::Null => {
                reader.null()?;
                Ok(Self::None)
            }
            Kind::String => Ok(Self::Text(reader.string()?)),
            Kind::Array => {
                let mut parts = Vec::new();
                reader.array(|reader, part| {
                    parts.push(Part::parse(reader, Place::in_messages(message, part), others)?);
                    Ok::<(), ChatError>(())
                })?;
                if parts.is_empty() {
                    return Err(ChatError::at(at(), Problem::Expected("at least one part")));
                }
                Ok(Self::Parts(parts))
            }
            Kind::Object | Kind::Number | Kind::Bool => {
                Err(ChatError::at(at(), Problem::Expected("a string or an array of parts")))
            }
        }
    }
}

/// The fields of OpenAI's parts, before it is clear which part it is.
#[derive(Debug, Default)]
struct Fields<'b> {
    kind: Option<JsonText<'b>>,
    text: Option<JsonText<'b>>,
    image: Option<Inner<'b>>,
    audio: Option<Inner<'b>>,
    file: Option<Inner<'b>>,
    cache: Option<&'b str>,
}

/// The fields of the object in a part.
#[derive(Debug, Default)]
struct Inner<'b> {
    url: Option<JsonText<'b>>,
    data: Option<JsonText<'b>>,
    id: Option<JsonText<'b>>,
    format: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
}

impl<'b> Part<'b> {
    fn parse(
        reader: &mut Reader<'b>,
        at: Place,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        if reader.kind()? != Kind::Object {
            return Err(ChatError::at(at.to_string(), Problem::Expected("an object")));
        }
        let mut fields = Fields::default();
        reader.object(|reader, key| {
            let name = key.unescape();
            match name.as_ref() {
                "type" => fields.kind = Some(text_field(reader, at, "type")?),
                "text" => fields.text = Some(text_field(reader, at, "text")?),
                "refusal" => fields.text = Some(text_field(reader, at, "refusal")?),
                "image_url" if reader.kind()? == Kind::String => {
                    let url = Some(reader.string()?);
                    fields.image = Some(Inner { url, ..Inner::default() });
                }
                "image_url" => fields.image = Some(Inner::parse(reader, at, "image_url", others)?),
                "input_audio" => {
                    fields.audio = Some(Inner::parse(reader, at, "input_audio", others)?);
                }
                "file" => fields.file = Some(Inner::parse(reader, at, "file", others)?),
                "cache_control" if reader.kind()? == Kind::Object => {
                    fields.cache = Some(reader.raw()?);
                }
                other => {
                    note(others, &format!("messages[].content[].{other}"));
                    reader.skip()?;
                }
            }
            Ok::<(), ChatError>(())
        })?;
        fields.part(at)
    }
}

impl<'b> Fields<'b> {
    fn part(self, at: Place) -> Result<Part<'b>, ChatError> {
        let missing = |field: &str| ChatError::at(format!("{at}.{field}"), Problem::Missing);
        let kind = self.kind.ok_or_else(|| missing("type"))?.unescape();
        let mut media = match kind.as_ref() {
            "text" | "refusal" => {
                let text = self.text.ok_or_else(|| missing("text"))?;
                return Ok(Part::Text { text, cache: self.cache });
            }
            "image_url" => self.image.ok_or_else(|| missing("image_url"))?.image(at)?,
            "input_audio" => self.audio.ok_or_else(|| missing("input_audio"))?.audio(at)?,
            "file" => self.file.ok_or_else(|| missing("file"))?.file(at)?,
            _ => {
                let kinds = "one of text, image_url, input_audio, file, refusal";
                return Err(ChatError::at(format!("{at}.type"), Problem::Expected(kinds)));
            }
        };
        media.cache = self.cache;
        Ok(Part::Media(media))
    }
}

impl<'b> Inner<'b> {
    fn parse(
        reader: &mut Reader<'b>,
        at: Place,
        name: &str,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        if reader.kind()? != Kind::Object {
            let param = format!("{at}.{name}");
            return Err(ChatError::at(param, Problem::Expected("an object")));
        }
        let mut inner = Self::default();
        reader.object(|reader, key| {
            let place = match key.unescape().as_ref() {
                "url" => &mut inner.url,
                "data" | "file_data" => &mut inner.data,
                "file_id" => &mut inner.id,
                "format" | "mime_type" => &mut inner.format,
                "filename" => &mut inner.name,
                other => {
                    note(others, &format!("messages[].content[].{name}.{other}"));
                    return Ok(reader.skip()?);
                }
            };
            if !reader.null()? {
                *place = Some(text_field(reader, at, name)?);
            }
            Ok::<(), ChatError>(())
        })?;
        Ok(inner)
    }

    fn image(&self, at: Place) -> Result<Media<'b>, ChatError> {
        let missing = || ChatError::at(format!("{at}.image_url.url"), Problem::Missing);
        let url = self.url.ok_or_else(missing)?;
        let format = self.format.map(JsonText::unescape);
        let (source, mime) = locate(url, at, "image_url.url")?;
        let mime = format.or(mime);
        Ok(Media::new(MediaKind::Image, source, mime, at))
    }

    fn audio(&self, at: Place) -> Result<Media<'b>, ChatError> {
        let missing = || ChatError::at(format!("{at}.input_audio.data"), Problem::Missing);
        let data = self.data.ok_or_else(missing)?;
        let (source, found) = if data.raw().starts_with("data:") || is_address(data.raw()) {
            locate(data, at, "input_audio.data")?
        } else {
            (Source::Base64(data), None)
        };
        let mime = match self.format.map(JsonText::unescape) {
            Some(format) if format.contains('/') => Some(format),
            Some(format) => Some(Cow::Owned(format!("audio/{format}"))),
            None => found,
        };
        Ok(Media::new(MediaKind::Audio, source, mime, at))
    }

    fn file(&self, at: Place) -> Result<Media<'b>, ChatError> {
        let format = self.format.map(JsonText::unescape);
        let (source, mime) = match (self.data, self.id) {
            (Some(data), _) if data.raw().starts_with("data:") || is_address(data.raw()) => {
                locate(data, at, "file.file_data")?
            }
            (Some(data), _) => (Source::Base64(data), Some(Cow::Borrowed("application/pdf"))),
            (None, Some(id)) if is_address(id.raw()) => locate(id, at, "file.file_id")?,
            (None, Some(id)) => (Source::Id(id), None),
            (None, None) => {
                return Err(ChatError::at(format!("{at}.file.file_data"), Problem::Missing));
            }
        };
        let mime = format.or(mime);
        Ok(Media { name: self.name, ..Media::new(MediaKind::File, source, mime, at) })
    }
}

fn text_field<'b>(
    reader: &mut Reader<'b>,
    at: Place,
    name: &str,
) -> Result<JsonText<'b>, ChatError> {
    let text = reader.string();
    text.map_err(|error| ChatError::json(&format!("{at}.{name}"), "a string", error))
}

pub(super) fn is_address(text: &str) -> bool {
    text.starts_with("https:") || text.starts_with("http:") || text.starts_with("gs:")
}

/// A data URL (RFC 2397) or an address, with the media type that it shows.
pub(super) fn locate<'b>(
    url: JsonText<'b>,
    at: Place,
    field: &str,
) -> Result<(Source<'b>, Option<Cow<'b, str>>), ChatError> {
    let Some(rest) = url.raw().strip_prefix("data:") else {
        return Ok((Source::Url(url), mime_of_path(url.raw()).map(Cow::Borrowed)));
    };
    let not_base64 = || {
        let what = Problem::Expected("a data URL in base64, or an http(s) or gs address");
        ChatError::at(format!("{at}.{field}"), what)
    };
    let (header, _) = rest.split_once(',').ok_or_else(not_base64)?;
    let data = url.tail("data:".len() + header.len() + 1);
    // The media type is short; the data behind it is never copied.
    let header = url.head(header.len() + "data:".len()).tail("data:".len()).unescape();
    if !header.ends_with(";base64") {
        return Err(not_base64());
    }
    let mime = header.split(';').next().unwrap_or_default();
    let mime = match mime {
        "" => None,
        "image/jpg" => Some(Cow::Borrowed("image/jpeg")),
        other => Some(Cow::Owned(other.to_owned())),
    };
    Ok((Source::Base64(data), mime))
}

/// The media type that the extension of an address' path stands for; its query says nothing.
pub(super) fn mime_of_path(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, extension) = name.rsplit_once('.')?;
    const KNOWN: [(&str, &str); 22] = [
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("heic", "image/heic"),
        ("heif", "image/heif"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("mp3", "audio/mp3"),
        ("wav", "audio/wav"),
        ("flac", "audio/flac"),
        ("ogg", "audio/ogg"),
        ("aac", "audio/aac"),
        ("m4a", "audio/mp4"),
        ("mp4", "video/mp4"),
        ("mov", "video/quicktime"),
        ("webm", "video/webm"),
        ("mpeg", "video/mpeg"),
        ("mpg", "video/mpeg"),
    ];
    KNOWN.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|(_, mime)| *mime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(part: &str) -> Result<Part<'_>, ChatError> {
        Part::parse(&mut Reader::new(part), Place::in_messages(1, 2), &mut Vec::new())
    }

    fn media(part: &str) -> Media<'_> {
        match read(part).unwrap() {
            Part::Media(media) => media,
            Part::Text { .. } => panic!("{part} is text"),
        }
    }

    #[test]
    fn data_urls_keep_their_data_untouched() {
        let part = r#"{"type":"image_url","image_url":{"url":"data:image\/jpg;charset=x;base64,AA\/B+="}}"#;
        let image = media(part);
        assert_eq!(image.mime.as_deref(), Some("image/jpeg"));
        assert!(matches!(image.source, Source::Base64(data) if data.raw() == r"AA\/B+="));
        let plain = r#"{"type":"image_url","image_url":{"url":"data:text/plain,hi"}}"#;
        assert_eq!(read(plain).unwrap_err().param, "messages[1].content[2].image_url.url");
    }

    #[test]
    fn addresses_are_passed_on_with_the_type_of_their_path() {
        let part =
            r#"{"image_url":{"url":"https://h/a.PNG?x=.pdf","detail":"low"},"type":"image_url"}"#;
        assert_eq!(media(part).mime.as_deref(), Some("image/png"));
        let part = r#"{"type":"image_url","image_url":{"url":"gs://b/o","format":"video/mp4"}}"#;
        let video = media(part);
        assert!(matches!(video.source, Source::Url(url) if url.raw() == "gs://b/o"));
        assert_eq!(video.mime.as_deref(), Some("video/mp4"));
    }

    #[test]
    fn audio_and_files_have_their_forms() {
        let audio = media(r#"{"type":"input_audio","input_audio":{"data":"AAA","format":"wav"}}"#);
        assert_eq!(audio.mime.as_deref(), Some("audio/wav"));
        let bare = media(r#"{"type":"file","file":{"file_data":"AAA","filename":"a.pdf"}}"#);
        assert_eq!(bare.mime.as_deref(), Some("application/pdf"));
        let id = media(r#"{"type":"file","file":{"file_id":"file-1"}}"#);
        assert!(matches!(id.source, Source::Id(id) if id.raw() == "file-1"));
        assert!(read(r#"{"type":"file","file":{}}"#).is_err());
        assert!(read(r#"{"type":"video"}"#).is_err());
        assert!(read(r#"{"type":"text"}"#).is_err());
    }
}
