//! Text as a TOML file has it (<https://toml.io/en/v1.0.0#string>).

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let escaped = format!("\\u{:04X}", u32::from(letter));
                out.push_str(&escaped);
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_read_back() {
        for text in ["plain", "a \"b\" \\c", "line\nbreak\u{7f}\t", "\u{e4}\u{1f600}"] {
            let file = format!("key = {}", quoted(text));
            let table: toml::Table = file.parse().expect("TOML");
            assert_eq!(table["key"].as_str(), Some(text), "{file}");
        }
    }
}
