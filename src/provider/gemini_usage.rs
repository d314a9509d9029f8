//! What Gemini counts: `usageMetadata` (<https://ai.google.dev/api/generate-content>).

use crate::chat::Usage;
use crate::wire::json::{JsonError, Kind, Reader};

/// Google's counts; the last value of each field stands.
#[derive(Debug, Default)]
pub(super) struct Counts {
    any: bool,
    prompt: u64,
    tool_prompt: u64,
    candidates: u64,
    thoughts: u64,
    cached: u64,
    prompt_audio: u64,
    cached_audio: u64,
    answer_audio: u64,
    answer_image: u64,
    /// The details that `prompt_audio` comes from: an array, or nothing.
    prompt_details: String,
    /// There will be other chunks that say the same.
    repeats: bool,
}

/// Longer details are not kept to compare with.
const DETAILS_BYTES_MAX: usize = 512;

impl Counts {
    /// Those of a stream, whose chunks repeat them, or of a whole answer.
    pub(super) fn of(stream: bool) -> Self {
        Self { repeats: stream, ..Self::default() }
    }

    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'_>,
        tier: &mut Option<&'static str>,
    ) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            let place = match key.raw() {
                "trafficType" | "serviceTier" if reader.kind()? == Kind::String => {
                    *tier = Some(tier_of(reader.string()?.raw()));
                    return Ok(());
                }
                "promptTokenCount" => &mut self.prompt,
                "toolUsePromptTokenCount" => &mut self.tool_prompt,
                "candidatesTokenCount" => &mut self.candidates,
                "thoughtsTokenCount" => &mut self.thoughts,
                "cachedContentTokenCount" => &mut self.cached,
                "promptTokensDetails" => return self.prompt_details(reader),
                "candidatesTokensDetails" => {
                    [self.answer_audio, self.answer_image] = tokens_of(["AUDIO", "IMAGE"], reader)?;
                    return Ok(());
                }
                "cacheTokensDetails" => {
                    [self.cached_audio] = tokens_of(["AUDIO"], reader)?;
                    return Ok(());
                }
                "totalTokenCount" => {
                    self.any = true;
                    return reader.skip();
                }
                _ => return reader.skip(),
            };
            if !reader.null()? {
                *place = reader.unsigned()?;
                self.any = true;
            }
            Ok(())
        })
    }

    /// Every chunk repeats the details of the prompt, and they are a fifth of it.
    fn prompt_details(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if !self.prompt_details.is_empty() && reader.skip_known(&self.prompt_details) {
            return Ok(());
        }
        reader.kind()?;
        let from = reader.offset();
        [self.prompt_audio] = tokens_of(["AUDIO"], reader)?;
        let details = reader.since(from);
        self.prompt_details.clear();
        if !self.repeats {
            return Ok(());
        }
        if details.len() <= DETAILS_BYTES_MAX && details.ends_with(']') {
            self.prompt_details.push_str(details);
        }
        Ok(())
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.any.then(|| Usage {
            prompt: self.prompt.saturating_add(self.tool_prompt),
            completion: self.candidates.saturating_add(self.thoughts),
            cached: self.cached,
            prompt_audio: self.prompt_audio,
            cached_audio: self.cached_audio,
            reasoning: self.thoughts,
            completion_audio: self.answer_audio,
            completion_image: self.answer_image,
            ..Usage::default()
        })
    }
}

/// Google's `trafficType` of Vertex AI or `serviceTier` of AI Studio in OpenAI's words.
fn tier_of(name: &str) -> &'static str {
    let ends_in = |word: &str| {
        let at = name.len().saturating_sub(word.len());
        name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    match () {
        () if ends_in("flex") => "flex",
        () if ends_in("priority") => "priority",
        () => "default",
    }
}

/// The counts of the entries of a modality list that are named so.
fn tokens_of<const N: usize>(
    modalities: [&str; N],
    reader: &mut Reader<'_>,
) -> Result<[u64; N], JsonError> {
    let mut counts = [0_u64; N];
    if reader.kind()? != Kind::Array {
        reader.skip()?;
        return Ok(counts);
    }
    reader.array(|reader, _index| {
        let (mut place, mut count) = (None, 0);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("modality", Kind::String) => {
                    let modality = reader.string()?.raw();
                    place = modalities.iter().position(|wanted| *wanted == modality);
                }
                ("tokenCount", Kind::Number) => count = reader.unsigned()?,
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        if let Some(sum) = place.and_then(|place| counts.get_mut(place)) {
            *sum = sum.saturating_add(count);
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(counts)
}
