//! Faults that the simulator can be asked for, by rate or by the model's name.

/// One kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names in `NAMES` say it")]
pub enum Fault {
    Status429,
    Status500,
    Status503,
    Reset,
    Stall,
    Cut,
    Garbage,
    Slow,
    Blocked,
    ErrorInStream,
    Empty,
}

const NAMES: [(&str, Fault); 11] = [
    ("429", Fault::Status429),
    ("500", Fault::Status500),
    ("503", Fault::Status503),
    ("reset", Fault::Reset),
    ("stall", Fault::Stall),
    ("cut", Fault::Cut),
    ("garbage", Fault::Garbage),
    ("slow", Fault::Slow),
    ("blocked", Fault::Blocked),
    ("error-in-stream", Fault::ErrorInStream),
    ("empty", Fault::Empty),
];

impl Fault {
    /// The fault called `name`.
    ///
    /// # Errors
    /// A sentence that lists the names there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, fault)| *fault).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
            format!("no such fault; there are {}", names.join(", "))
        })
    }

    /// The fault that a model's name asks for: `gemini-x-fault-cut`.
    pub(super) fn of_model(model: &str) -> Option<Self> {
        let (_, name) = model.split_once("-fault-")?;
        Self::parse(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_listed() {
        assert_eq!(Fault::parse("cut"), Ok(Fault::Cut));
        assert!(Fault::parse("bad").unwrap_err().contains("error-in-stream"));
        assert_eq!(Fault::of_model("gemini-2.5-flash-fault-503"), Some(Fault::Status503));
        assert_eq!(Fault::of_model("gemini-2.5-flash"), None);
    }
}
