//! Google's paths, models and generations.
//!
//! <https://ai.google.dev/api>, <https://cloud.google.com/vertex-ai/docs/reference/rest>

/// Which of Google's two services is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform<'p> {
    /// generativelanguage.googleapis.com, by API key.
    Studio,
    /// aiplatform.googleapis.com below a project, by access token.
    Vertex { project: &'p str, location: &'p str },
    /// aiplatform.googleapis.com without a project, by API key.
    Express,
}

/// A method of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address<'p> {
    pub(crate) platform: Platform<'p>,
    /// `v1`, `v1beta`, `v1beta1`.
    pub(crate) version: &'p str,
    /// `google`, `anthropic`; always `google` on AI Studio.
    pub(crate) publisher: &'p str,
    pub(crate) model: &'p str,
    pub(crate) verb: &'p str,
}

impl<'p> Address<'p> {
    /// Reads a path; none when it is not one of Google's.
    pub(crate) fn parse(path: &'p str) -> Option<Self> {
        let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
        let studio = |rest: &'p str| {
            let known = matches!(version, "v1" | "v1beta" | "v1alpha");
            rest.strip_prefix("models/").filter(|_| known).map(|rest| (Platform::Studio, rest))
        };
        let vertex = |rest: &'p str| {
            let rest = rest.strip_prefix("projects/")?;
            let (project, rest) = rest.split_once("/locations/")?;
            let (location, rest) = rest.split_once('/')?;
            let named = !project.is_empty() && !project.contains('/') && !location.is_empty();
            named.then_some((Platform::Vertex { project, location }, rest))
        };
        let (platform, publisher, rest) = if let Some((platform, rest)) = studio(rest) {
            (platform, "google", rest)
        } else {
            let (platform, rest) = vertex(rest).unwrap_or((Platform::Express, rest));
            let known = matches!(version, "v1" | "v1beta1");
            let rest = rest.strip_prefix("publishers/").filter(|_| known)?;
            let (publisher, rest) = rest.split_once("/models/")?;
            (platform, publisher, rest)
        };
        let (model, verb) = rest.split_once(':')?;
        let clean = !model.is_empty() && !model.contains('/') && !verb.contains('/');
        clean.then_some(Self { platform, version, publisher, model, verb })
    }

    pub(crate) fn is_studio(&self) -> bool {
        self.platform == Platform::Studio
    }
}

/// Major and minor version of a Gemini model. A name without a number is taken for 2.5, and
/// `-latest` for 3, which is what Google moved these names to.
pub(crate) fn generation(model: &str) -> (u32, u32) {
    let rest = model.strip_prefix("gemini-").unwrap_or(model);
    let number = rest.split('-').next().unwrap_or_default();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (major, minor),
        _ if rest.ends_with("-latest") => (3, 0),
        _ => (2, 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_services_are_read() {
        let read = |path: &'static str| {
            let Address { platform, version, publisher, model, verb } = Address::parse(path)?;
            Some((platform, version, publisher, model, verb))
        };
        let studio = "/v1beta/models/gemini-2.5-flash:generateContent";
        let expected =
            (Platform::Studio, "v1beta", "google", "gemini-2.5-flash", "generateContent");
        assert_eq!(read(studio), Some(expected));
        let on = Platform::Vertex { project: "p", location: "us" };
        let vertex = "/v1/projects/p/locations/us/publishers/google/models/m:predict";
        assert_eq!(read(vertex), Some((on, "v1", "google", "m", "predict")));
        let claude = "/v1beta1/projects/p/locations/us/publishers/anthropic/models/m@1:rawPredict";
        assert_eq!(read(claude), Some((on, "v1beta1", "anthropic", "m@1", "rawPredict")));
        let express = "/v1/publishers/google/models/m:generateContent";
        assert_eq!(
            read(express),
            Some((Platform::Express, "v1", "google", "m", "generateContent"))
        );
        for path in [
            "/",
            "/v1/messages",
            "/v1/models",
            "/v1beta/models/m",
            "/v1beta/models/:x",
            "/v2/models/m:x",
            "/v1beta/publishers/google/models/m:x",
            "/v1/projects//locations/us/publishers/google/models/m:x",
            "/v1/projects/p/publishers/google/models/m:x",
            "/v1beta/models/a/b:x",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn generations_are_read_from_names() {
        for (model, expected) in [
            ("gemini-2.5-flash", (2, 5)),
            ("gemini-3-pro-preview", (3, 0)),
            ("gemini-3.1-pro-preview-fault-cut", (3, 1)),
            ("gemini-1.5-flash-8b", (1, 5)),
            ("gemini-flash-latest", (3, 0)),
            ("gemini-x", (2, 5)),
        ] {
            assert_eq!(generation(model), expected, "{model}");
        }
    }
}
