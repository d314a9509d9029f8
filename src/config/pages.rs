//! Which web pages may call the API from a browser.

/// Their origins, as browsers name them; nobody's unless some are configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(Vec<String>);

/// The place of an origin among those that are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page(u16);

impl Pages {
    /// Stands for the pages of every origin.
    const ANY: &str = "*";

    /// Those of these origins.
    ///
    /// # Errors
    /// The texts that are no origins.
    pub fn of(texts: &[String]) -> Result<Self, Vec<&str>> {
        let odd: Vec<&str> =
            texts.iter().map(String::as_str).filter(|text| !is_origin(text)).collect();
        if !odd.is_empty() {
            return Err(odd);
        }
        // Whoever is served with all others needs no place of its own.
        let any = texts.iter().any(|text| text == Self::ANY);
        Ok(Self(if any { vec![Self::ANY.to_owned()] } else { texts.to_vec() }))
    }

    /// Does nobody's page call?
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pages of an origin, if they may call.
    pub fn find(&self, origin: &[u8]) -> Option<Page> {
        let fits = |known: &String| known == Self::ANY || known.as_bytes() == origin;
        u16::try_from(self.0.iter().position(fits)?).ok().map(Page)
    }

    /// What the browser is told of who may read an answer, and whether it depends on who asks.
    pub fn told(&self, page: Page) -> (&str, bool) {
        let name = self.0.get(usize::from(page.0)).map_or("null", String::as_str);
        (name, name != Self::ANY)
    }

    /// The origins, as they were understood.
    pub fn origins(&self) -> &[String] {
        &self.0
    }
}

/// Scheme, host in lower case and, unless it is the scheme's own, a port (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    text == Pages::ANY
        || text.split_once("://").is_some_and(|(scheme, host)| {
            let bare = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ',']);
            !scheme.is_empty() && bare && text.bytes().all(allowed)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        let good =
            ["*", "https://app.example.com", "http://localhost:3000", "app://x", "http://[::1]:8"];
        for text in good {
            assert!(is_origin(text), "{text}");
        }
        let bad = [
            "",
            "app.example.com",
            "https://",
            "https://A.example",
            "https://a/",
            "https://*.a",
            "null",
        ];
        for text in bad {
            assert!(!is_origin(text), "{text}");
        }
    }

    #[test]
    fn who_is_not_named_is_not_found() {
        let of = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Pages::of(&texts).map_err(|odd| odd.concat())
        };
        let pages = of(&["https://a", "http://b:1"]).unwrap();
        let told = |origin: &[u8]| pages.find(origin).map(|page| pages.told(page));
        assert_eq!(told(b"http://b:1"), Some(("http://b:1", true)));
        assert_eq!(told(b"http://b"), None);
        let any = of(&["https://a", "*"]).unwrap();
        assert_eq!(any.find(b"null").map(|page| any.told(page)), Some(("*", false)));
        assert_eq!(of(&["https://a", "b", "c"]), Err("bc".to_owned()));
        assert!(Pages::default().find(b"https://a").is_none());
    }
}
