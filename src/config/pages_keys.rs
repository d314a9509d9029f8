//! Reads which web pages may call the API.

use super::pages::Pages;
use super::parse::{Notes, Settings};
use super::value::Value;

pub(super) fn pages(settings: &Settings, notes: &mut Notes) -> Pages {
    const KEY: &str = "server.cors_origins";
    let Some(Value::Texts(texts)) = settings.value(KEY) else { return Pages::default() };
    Pages::of(texts).unwrap_or_else(|odd| {
        let expected = "origins as browsers name them, such as https://app.example.com, or *";
        for text in odd {
            notes.error(KEY, settings.place_of(KEY), format!("`{text}`"), expected);
        }
        Pages::default()
    })
}
