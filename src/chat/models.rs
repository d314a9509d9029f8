//! The list of models, in the shape of each API.

use crate::base::ascii;
use crate::wire::json;
use crate::wire::write::push_rfc3339;

use super::dialect::Dialect;

/// One model as lists show it.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// What a client asks for.
    pub id: &'m str,
    /// The upstream that serves it.
    pub owned_by: &'m str,
    /// Seconds since 1970; 0 where routes have no birthday.
    pub created: u64,
}

/// Appends one model.
pub fn one(dialect: Dialect, model: &Model<'_>, out: &mut Vec<u8>) {
    match dialect {
        Dialect::OpenAi => {
            out.extend_from_slice(b"{\"id\":");
            json::push_string(out, model.id);
            out.extend_from_slice(b",\"object\":\"model\",\"created\":");
            ascii::push_u64(out, model.created);
            out.extend_from_slice(b",\"owned_by\":");
            json::push_string(out, model.owned_by);
        }
        Dialect::Anthropic => {
            out.extend_from_slice(b"{\"type\":\"model\",\"id\":");
            json::push_string(out, model.id);
            out.extend_from_slice(b",\"display_name\":");
            json::push_string(out, model.id);
            out.extend_from_slice(b",\"created_at\":\"");
            push_rfc3339(out, model.created);
            out.push(b'"');
        }
        Dialect::Google => {
            out.extend_from_slice(b"{\"name\":\"models/");
            json::push_escaped(out, model.id);
            out.extend_from_slice(b"\",\"version\":\"001\",\"displayName\":");
            json::push_string(out, model.id);
            out.extend_from_slice(b",\"supportedGenerationMethods\":[\"generateContent\"]");
        }
    }
    out.push(b'}');
}

/// Appends the list.
pub fn list(dialect: Dialect, models: &[Model<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(match dialect {
        Dialect::OpenAi => b"{\"object\":\"list\",\"data\":[",
        Dialect::Anthropic => b"{\"data\":[",
        Dialect::Google => b"{\"models\":[",
    });
    for (index, model) in models.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        one(dialect, model, out);
    }
    out.push(b']');
    if dialect == Dialect::Anthropic {
        // Everything stands on one page.
        out.extend_from_slice(b",\"has_more\":false");
        for (name, model) in [("first_id", models.first()), ("last_id", models.last())] {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match model {
                Some(model) => json::push_string(out, model.id),
                None => out.extend_from_slice(b"null"),
            }
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dialect: Dialect, ids: &[&str]) -> serde_json::Value {
        let models: Vec<Model<'_>> =
            ids.iter().map(|id| Model { id, owned_by: "google", created: 7 }).collect();
        let mut out = Vec::new();
        list(dialect, &models, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn each_api_has_its_list() {
        let ids = ["a", "b\""];
        let openai = shown(Dialect::OpenAi, &ids);
        assert_eq!(openai["object"], "list");
        assert_eq!(openai["data"][1]["id"], "b\"");
        assert_eq!(openai["data"][0]["owned_by"], "google");
        let anthropic = shown(Dialect::Anthropic, &ids);
        assert_eq!(anthropic["data"][0]["created_at"], "1970-01-01T00:00:07Z");
        assert_eq!(
            (anthropic["first_id"].as_str(), anthropic["last_id"].as_str()),
            (Some("a"), Some("b\""))
        );
        assert!(shown(Dialect::Anthropic, &[])["first_id"].is_null());
        assert_eq!(shown(Dialect::Google, &ids)["models"][1]["name"], "models/b\"");
    }
}
