//! The list of models, in OpenAI's shape.

use crate::base::ascii;
use crate::wire::json;

/// One model as `/v1/models` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// What a client asks for.
    pub id: &'m str,
    /// The upstream that serves it.
    pub owned_by: &'m str,
    /// Seconds since 1970; the start of the gateway, because routes have no birthday.
    pub created: u64,
}

/// Appends one model.
pub fn one(model: &Model<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    json::push_string(out, model.id);
    out.extend_from_slice(b",\"object\":\"model\",\"created\":");
    ascii::push_u64(out, model.created);
    out.extend_from_slice(b",\"owned_by\":");
    json::push_string(out, model.owned_by);
    out.push(b'}');
}

/// Appends the list.
pub fn list(models: &[Model<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for (index, model) in models.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        one(model, out);
    }
    out.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_openais() {
        let models = ["a", "b\""].map(|id| Model { id, owned_by: "google", created: 7 });
        let mut out = Vec::new();
        list(&models, &mut out);
        let list: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(list["data"][1]["id"], "b\"");
        assert_eq!(list["data"][0]["owned_by"], "google");
    }
}
