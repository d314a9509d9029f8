//! `POST /v1/embeddings`.
//!
//! <https://platform.openai.com/docs/api-reference/embeddings/create>

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::json::{Json, quote};
use super::super::problem;
use super::super::reply::{Asked, Reply};
use super::super::script::tokens_of;
use super::super::vector;
use super::check::{check_integer, check_model};
use super::error::{invalid_value, missing, refused, unreadable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'r> {
    #[serde(borrow)]
    model: Option<Cow<'r, str>>,
    #[serde(borrow)]
    input: Option<&'r RawValue>,
    #[serde(borrow)]
    encoding_format: Option<Cow<'r, str>>,
    dimensions: Option<u32>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

/// More inputs are refused.
const INPUTS_MAX: usize = 2048;

/// The answer.
pub(super) fn answer(asked: &Asked<'_>) -> Result<Reply, Reply> {
    let request: Request<'_> =
        problem::read(asked.body).map_err(|problem| unreadable(&problem, true))?;
    let model = check_model(request.model.as_deref())?;
    let raw = request.input.ok_or_else(|| missing("input"))?;
    let inputs = texts(&Json::parse(raw.get()).unwrap_or(Json::Plain("null")))?;
    let format = request.encoding_format.as_deref().unwrap_or("float");
    if !matches!(format, "float" | "base64") {
        return Err(invalid_value(format, &["float", "base64"], "encoding_format"));
    }
    let full = if model.contains("large") { 3072 } else { 1536 };
    check_integer("dimensions", request.dimensions, (1, full))?;
    let dimensions = request.dimensions.unwrap_or(full);
    let data = inputs.iter().enumerate().map(|(index, text)| {
        let vector = vector::embed(text, dimensions);
        let shown = if format == "base64" {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            format!("\"{}\"", STANDARD.encode(bytes))
        } else {
            vector::json(&vector)
        };
        format!("{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{shown}}}")
    });
    let data: Vec<String> = data.collect();
    let tokens: u32 = inputs.iter().map(|text| tokens_of(text.len())).sum();
    let body = format!(
        "{{\"object\":\"list\",\"data\":[{}],\"model\":{},\"usage\":{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}}}",
        data.join(","),
        quote(model)
    );
    Ok(Reply::json(200, body).typed("application/json"))
}

/// A text, texts, tokens, or lists of tokens.
fn texts(input: &Json<'_>) -> Result<Vec<String>, Reply> {
    let bad = || {
        refused(
            "Invalid 'input': input cannot be an empty string, and must be a string, an array of \
             strings, or arrays of tokens.",
            "input",
            "invalid_value",
        )
    };
    let is_token = |json: &Json<'_>| json.as_number().is_some_and(|number| number >= 0.0);
    let tokens = |list: &[Json<'_>]| !list.is_empty() && list.iter().all(is_token);
    let list = match input {
        Json::Text(text) if !text.is_empty() => return Ok(vec![text.to_string()]),
        Json::List(list) if tokens(list) => return Ok(vec![input.compact()]),
        Json::List(list) if !list.is_empty() && list.len() <= INPUTS_MAX => list,
        _ => return Err(bad()),
    };
    let one = |item: &Json<'_>| match item {
        Json::Text(text) if !text.is_empty() => Ok(text.to_string()),
        Json::List(inner) if tokens(inner) => Ok(item.compact()),
        _ => Err(bad()),
    };
    list.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    fn ask(body: &str) -> (u16, serde_json::Value) {
        let options = Options::default();
        let asked = Asked {
            get: false,
            path: "/v1/embeddings",
            query: "",
            fields: Fields::default(),
            body: body.as_bytes(),
            options: &options,
            serial: 1,
            now_ms: 0,
        };
        let (status, text) = answer(&asked).unwrap_or_else(|reply| reply).shown();
        (status, serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn both_encodings_hold_the_same_vector() {
        let body = r#"{"model":"text-embedding-3-small","input":["a","b"],"dimensions":4}"#;
        let (_, floats) = ask(body);
        let coded = body.replace("\"dimensions\"", "\"encoding_format\":\"base64\",\"dimensions\"");
        let (_, coded) = ask(&coded);
        for index in 0..2 {
            let floats = floats["data"][index]["embedding"].as_array().unwrap();
            let bytes =
                STANDARD.decode(coded["data"][index]["embedding"].as_str().unwrap()).unwrap();
            let read: Vec<f32> =
                bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
            assert_eq!(read.len(), 4);
            for (value, float) in read.iter().zip(floats) {
                assert!((f64::from(*value) - float.as_f64().unwrap()).abs() < 1e-6);
            }
        }
        assert_eq!(floats["usage"]["prompt_tokens"], 2);
        let (_, one) = ask(r#"{"model":"text-embedding-3-large","input":[1,2,3]}"#);
        assert_eq!(one["data"][0]["embedding"].as_array().map(Vec::len), Some(3072));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (body, words) in [
            (r#"{"model":"x"}"#, "Missing required parameter: 'input'"),
            (r#"{"model":"x","input":""}"#, "cannot be an empty string"),
            (r#"{"model":"x","input":[]}"#, "cannot be an empty string"),
            (r#"{"model":"x","input":["a",1]}"#, "cannot be an empty string"),
            (r#"{"model":"x","input":"a","encoding_format":"int8"}"#, "'float', and 'base64'"),
            (r#"{"model":"x","input":"a","dimensions":9999}"#, "above maximum value"),
            (r#"{"input":"a"}"#, "must provide a model"),
            (r#"{"model":"x","input":"a","text":1}"#, "argument supplied: text"),
        ] {
            let (status, answer) = ask(body);
            assert_eq!(status, 400, "{body}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
        }
    }
}
