//! A value that nobody may see: a vendor's key or a client's.

/// Text that prints as `***` and is overwritten when it is dropped. There is no `Display`, no
/// serialisation and no comparison, which would leak by its timing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The content. What is done with it must never reach a log, an error or a report.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Without a reader the optimizer would remove the writes: the memory is freed next.
        std::hint::black_box(&mut bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_content_also_inside_other_values() {
        let secret = Secret::new("sk-canary-0123456789".to_owned());
        assert_eq!(secret.expose(), "sk-canary-0123456789");
        assert_eq!(format!("{secret:?} {:?}", Some(secret.clone())), "*** Some(***)");
    }
}
