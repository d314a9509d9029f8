//! The dashboard: one page that holds everything it needs.

use ring::digest::{SHA256, digest};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::shard::Reply;

const MARKUP: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/style.css");
const SCRIPT: &str = include_str!("dashboard/script.js");

/// The page with its style and its script in place, and what a browser may do with it.
#[derive(Clone, Debug)]
pub struct Dashboard {
    body: Vec<u8>,
    fields: Vec<u8>,
}

impl Dashboard {
    /// Puts the page together.
    pub fn new() -> Self {
        let body = MARKUP.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT);
        let (style, script) = (source(STYLE), source(SCRIPT));
        let fields = format!(
            "content-security-policy: default-src 'none'; style-src {style}; script-src {script}; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'\r\n\
             x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
             cross-origin-opener-policy: same-origin\r\ncache-control: no-cache\r\n"
        );
        Self { body: body.into_bytes(), fields: fields.into_bytes() }
    }

    /// As an answer.
    pub fn reply(&self) -> Reply {
        let content_type = "text/html; charset=utf-8";
        Reply { status: 200, content_type, fields: self.fields.clone(), body: self.body.clone() }
    }
}

impl Default for Dashboard {
    fn default() -> Self {
        Self::new()
    }
}

/// The name of an inline text in a content security policy: only what we wrote runs.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        let page = Dashboard::new();
        let text = String::from_utf8(page.body).expect("text");
        assert!(text.contains(STYLE) && text.contains(SCRIPT));
        for outside in ["http://", "https://", "//cdn", "@import", "url(", "eval(", "innerHTML"] {
            let known = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!known.contains(outside), "{outside}");
        }
        assert!(
            !text.contains(" style=\"") && !text.contains(" onclick=\""),
            "the policy forbids it"
        );
        let fields = String::from_utf8(page.fields).expect("text");
        assert_eq!(fields.matches("sha256-").count(), 2, "{fields}");
    }
}
