//! Faults that the simulator can be asked for, by rate or by the model's name.

/// One kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before any answer.
    Reset,
    /// No answer comes, and the connection stays open.
    Stall,
    /// Half of the events, and then silence.
    StallMid,
    /// The answer comes two seconds late.
    Slow,
    /// A good status and no body.
    Empty,
    /// A good status and a body that is nothing the vendor says.
    Garbage,
    /// The connection ends in the answer.
    Cut(Cut),
    /// The body ends as HTTP wants, but the vendor's last events are missing.
    End,
    /// The vendor refuses the prompt on grounds of content.
    Blocked,
    /// The vendor ends an answer that has begun, on grounds of content.
    Filtered,
    /// The model made a call that cannot be read; only Gemini says so.
    Malformed,
    /// A good status, and the vendor's error in the body.
    ErrorInStream,
    /// The vendor's error body of this name.
    Error(&'static str),
}

/// Where an answer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After half of the events; in the middle of a body that has none.
    Half,
    /// In the middle of the event in the middle.
    InEvent,
    /// After so many events.
    Events(u32),
    /// After so many bytes of the body.
    Bytes(u32),
}

const NAMES: [(&str, Fault); 13] = [
    ("reset", Fault::Reset),
    ("stall", Fault::Stall),
    ("stall-mid", Fault::StallMid),
    ("slow", Fault::Slow),
    ("empty", Fault::Empty),
    ("garbage", Fault::Garbage),
    ("cut", Fault::Cut(Cut::Half)),
    ("cut-event", Fault::Cut(Cut::InEvent)),
    ("end", Fault::End),
    ("blocked", Fault::Blocked),
    ("filtered", Fault::Filtered),
    ("malformed", Fault::Malformed),
    ("error-in-stream", Fault::ErrorInStream),
];

/// Error bodies that every dialect has, each in its own spelling.
pub(super) const ERRORS: [&str; 19] = [
    "bad-request",
    "context",
    "policy",
    "key",
    "billing",
    "permission",
    "location",
    "notfound",
    "too-large",
    "429",
    "quota",
    "500",
    "502",
    "503",
    "504",
    "529",
    "html502",
    "text503",
    "string500",
];

impl Fault {
    /// The fault called `name`.
    ///
    /// # Errors
    /// A sentence that lists the names there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::find(name).ok_or_else(|| format!("no such fault; there are {}", Self::names()))
    }

    /// The names of all faults.
    pub fn names() -> String {
        let named = NAMES.iter().map(|(name, _)| *name);
        let all: Vec<&str> = named.chain(["cut-events-N", "cut-bytes-N"]).chain(ERRORS).collect();
        all.join(", ")
    }

    fn find(name: &str) -> Option<Self> {
        if let Some(count) = name.strip_prefix("cut-events-") {
            return count.parse().ok().map(|count| Self::Cut(Cut::Events(count)));
        }
        if let Some(count) = name.strip_prefix("cut-bytes-") {
            return count.parse().ok().map(|count| Self::Cut(Cut::Bytes(count)));
        }
        let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        named.or_else(|| ERRORS.iter().find(|known| **known == name).map(|name| Self::Error(name)))
    }

    /// The fault that a model's name asks for: `gemini-x-fault-cut`.
    ///
    /// # Errors
    /// When it asks for one that does not exist.
    pub(super) fn of_model(model: &str) -> Option<Result<Self, String>> {
        let (_, name) = model.split_once("-fault-")?;
        Some(Self::parse(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_listed() {
        assert_eq!(Fault::parse("cut"), Ok(Fault::Cut(Cut::Half)));
        assert_eq!(Fault::parse("cut-events-3"), Ok(Fault::Cut(Cut::Events(3))));
        assert_eq!(Fault::parse("cut-bytes-70"), Ok(Fault::Cut(Cut::Bytes(70))));
        assert!(Fault::parse("bad").unwrap_err().contains("error-in-stream"));
        assert!(Fault::parse("cut-events-x").is_err());
        let named = Fault::of_model("gemini-2.5-flash-fault-503");
        assert_eq!(named, Some(Ok(Fault::Error("503"))));
        assert!(matches!(Fault::of_model("x-fault-none"), Some(Err(_))));
        assert_eq!(Fault::of_model("gemini-2.5-flash"), None);
    }
}
