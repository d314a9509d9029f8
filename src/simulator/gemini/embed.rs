//! Vectors and counts: `embedContent`, `batchEmbedContents`, `predict` and `countTokens`.
//!
//! <https://ai.google.dev/api/embeddings>, <https://ai.google.dev/api/tokens>

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::json::put;
use super::super::problem;
use super::super::reply::{Asked, Reply};
use super::super::script::tokens_of;
use super::super::vector;
use super::answer::prompt_tokens;
use super::check::check;
use super::error::{refused, unknown_at, unreadable};
use super::history::review;
use super::path::Address;
use super::request::{Content, Request};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Embed<'r> {
    #[serde(borrow)]
    model: Option<Cow<'r, str>>,
    #[serde(borrow)]
    content: Option<Content<'r>>,
    #[serde(rename = "taskType", alias = "task_type")]
    _task_type: Option<IgnoredAny>,
    #[serde(rename = "title")]
    _title: Option<IgnoredAny>,
    #[serde(alias = "output_dimensionality")]
    output_dimensionality: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'r> {
    #[serde(borrow)]
    requests: Option<Vec<Embed<'r>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Predict<'r> {
    #[serde(borrow)]
    instances: Option<Vec<Instance<'r>>>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance<'r> {
    #[serde(borrow)]
    content: Option<Cow<'r, str>>,
    #[serde(rename = "task_type", alias = "taskType")]
    _task_type: Option<IgnoredAny>,
    #[serde(rename = "title")]
    _title: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Parameters {
    #[serde(rename = "autoTruncate")]
    _auto_truncate: Option<bool>,
    output_dimensionality: Option<u32>,
}

/// Counting takes a prompt, or a whole request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Count<'r> {
    #[serde(borrow)]
    contents: Option<Vec<Content<'r>>>,
    /// Only AI Studio.
    #[serde(borrow, alias = "generate_content_request")]
    generate_content_request: Option<Request<'r>>,
    /// These three only Vertex.
    #[serde(borrow, alias = "system_instruction")]
    system_instruction: Option<Content<'r>>,
    tools: Option<IgnoredAny>,
    #[serde(alias = "generation_config")]
    generation_config: Option<IgnoredAny>,
}

/// The answer of a method of embedding models.
pub(super) fn embed(asked: &Asked<'_>, address: &Address<'_>) -> Result<Reply, Reply> {
    match address.verb {
        "embedContent" => {
            let request: Embed<'_> = read(asked)?;
            let (values, tokens) = vector_of(&request, address, "content")?;
            let mut body = format!("{{\"embedding\":{{\"values\":{values}}}");
            if !address.is_studio() {
                put!(&mut body, ",\"usageMetadata\":{{\"promptTokenCount\":{tokens}}}");
            }
            Ok(Reply::json(200, body + "}"))
        }
        "batchEmbedContents" if address.is_studio() => batch(asked, address),
        "predict" if !address.is_studio() => predict(asked, address),
        _ => Err(super::error::error(404, "NOT_FOUND", "Requested entity was not found.")),
    }
}

fn read<'r, T: Deserialize<'r>>(asked: &Asked<'r>) -> Result<T, Reply> {
    problem::read(asked.body).map_err(|problem| unreadable(&problem))
}

fn vector_of(
    request: &Embed<'_>,
    address: &Address<'_>,
    place: &str,
) -> Result<(String, u32), Reply> {
    let parts = request.content.as_ref().map(Content::parts).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
    let text = texts.concat();
    if text.is_empty() {
        return Err(refused(&format!("* EmbedContentRequest.{place}: content is empty\n")));
    }
    let vector = vector::embed(&text, dimensions(request.output_dimensionality, address)?);
    Ok((vector::json(&vector), tokens_of(text.len())))
}

/// A request may ask for fewer than the model has.
fn dimensions(asked: Option<u32>, address: &Address<'_>) -> Result<u32, Reply> {
    let most = if address.model.starts_with("gemini-embedding") { 3072 } else { 768 };
    match asked.unwrap_or(most) {
        count if (1..=most).contains(&count) => Ok(count),
        count => Err(refused(&format!(
            "output_dimensionality must be between 1 and {most}, but got {count}."
        ))),
    }
}

fn batch(asked: &Asked<'_>, address: &Address<'_>) -> Result<Reply, Reply> {
    let batch: Batch<'_> = read(asked)?;
    let requests = batch.requests.unwrap_or_default();
    if requests.is_empty() || requests.len() > 100 {
        return Err(refused(
            "* BatchEmbedContentsRequest.requests: at least one and at most 100 requests are \
             allowed in one batch\n",
        ));
    }
    let expected = format!("models/{}", address.model);
    let mut values = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let place = format!("requests[{index}]");
        if request.model.as_deref() != Some(expected.as_str()) {
            return Err(refused(&format!(
                "* BatchEmbedContentsRequest.{place}.model: must be `{expected}`\n"
            )));
        }
        let (vector, _) = vector_of(request, address, &format!("{place}.content"))?;
        values.push(format!("{{\"values\":{vector}}}"));
    }
    Ok(Reply::json(200, format!("{{\"embeddings\":[{}]}}", values.join(","))))
}

fn predict(asked: &Asked<'_>, address: &Address<'_>) -> Result<Reply, Reply> {
    let request: Predict<'_> = read(asked)?;
    let instances = request.instances.unwrap_or_default();
    // The newest model takes one text at a time.
    let most = if address.model.starts_with("gemini-embedding") { 1 } else { 250 };
    if instances.is_empty() || instances.len() > most {
        return Err(refused(&format!(
            "{} instance(s) is allowed per prediction. Actual: {}",
            most,
            instances.len()
        )));
    }
    let parameters = request.parameters.unwrap_or_default();
    let count = dimensions(parameters.output_dimensionality, address)?;
    let mut letters = 0;
    let mut predictions = Vec::new();
    for instance in &instances {
        let text = instance.content.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Err(refused("The text content is empty."));
        }
        letters += text.chars().filter(|letter| !letter.is_whitespace()).count();
        predictions.push(format!(
            "{{\"embeddings\":{{\"statistics\":{{\"truncated\":false,\"token_count\":{}}},\"values\":{}}}}}",
            tokens_of(text.len()),
            vector::json(&vector::embed(text, count))
        ));
    }
    Ok(Reply::json(
        200,
        format!(
            "{{\"predictions\":[{}],\"metadata\":{{\"billableCharacterCount\":{letters}}}}}",
            predictions.join(",")
        ),
    ))
}

/// The answer of `countTokens`.
pub(super) fn count(asked: &Asked<'_>, address: &Address<'_>) -> Result<Reply, Reply> {
    let count: Count<'_> = read(asked)?;
    let studio = address.is_studio();
    let foreign = [
        ("generateContentRequest", !studio && count.generate_content_request.is_some()),
        ("systemInstruction", studio && count.system_instruction.is_some()),
        ("tools", studio && count.tools.is_some()),
        ("generationConfig", studio && count.generation_config.is_some()),
    ];
    if let Some((name, _)) = foreign.iter().find(|(_, given)| *given) {
        return Err(unknown_at(&[], name));
    }
    let request = match count.generate_content_request {
        Some(request) => {
            check(&request, address)?;
            request
        }
        None => Request {
            contents: count.contents,
            system_instruction: count.system_instruction,
            ..Request::default()
        },
    };
    review(&request, address)?;
    let tokens = prompt_tokens(&request);
    let letters =
        if studio { String::new() } else { format!("\"totalBillableCharacters\":{},", tokens * 4) };
    Ok(Reply::json(
        200,
        format!(
            "{{\"totalTokens\":{tokens},{letters}\"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":{tokens}}}]}}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    fn ask(path: &str, body: &str) -> (u16, serde_json::Value) {
        let options = Options::default();
        let asked = Asked {
            get: false,
            path,
            query: "",
            fields: Fields::default(),
            body: body.as_bytes(),
            options: &options,
            serial: 1,
            now_ms: 0,
        };
        let address = Address::parse(path).unwrap();
        let answered = match address.verb {
            "countTokens" => count(&asked, &address),
            _ => embed(&asked, &address),
        };
        let (status, text) = answered.unwrap_or_else(|reply| reply).shown();
        (status, serde_json::from_str(&text).unwrap())
    }

    const VERTEX: &str = "/v1/projects/p/locations/l/publishers/google/models/";

    #[test]
    fn vectors_come_one_by_one_and_in_batches() {
        let path = "/v1beta/models/gemini-embedding-001:embedContent";
        let content = r#"{"parts":[{"text":"hi"}]}"#;
        let (_, one) = ask(path, &format!(r#"{{"content":{content},"outputDimensionality":5}}"#));
        assert_eq!(one["embedding"]["values"].as_array().map(Vec::len), Some(5));
        let (_, full) = ask(path, &format!(r#"{{"content":{content}}}"#));
        assert_eq!(full["embedding"]["values"].as_array().map(Vec::len), Some(3072));
        let path = path.replace("embedContent", "batchEmbedContents");
        let item = format!(r#"{{"model":"models/gemini-embedding-001","content":{content}}}"#);
        let (_, two) = ask(&path, &format!(r#"{{"requests":[{item},{item}]}}"#));
        assert_eq!(two["embeddings"].as_array().map(Vec::len), Some(2));
        assert_eq!(two["embeddings"][1]["values"], full["embedding"]["values"]);
        let path = format!("{VERTEX}text-embedding-005:predict");
        let body = r#"{"instances":[{"content":"hi","task_type":"RETRIEVAL_QUERY"},{"content":"ho"}],"parameters":{"outputDimensionality":3}}"#;
        let (_, answer) = ask(&path, body);
        let first = &answer["predictions"][0]["embeddings"];
        assert_eq!(first["values"].as_array().map(Vec::len), Some(3));
        assert_eq!(first["statistics"]["token_count"], 1);
        for (path, body, words) in [
            ("/v1beta/models/x:embedContent", r#"{"content":{"parts":[]}}"#, "content is empty"),
            ("/v1beta/models/x:embedContent", r#"{"text":"x"}"#, "Unknown name"),
            (
                "/v1beta/models/x:embedContent",
                r#"{"content":{"parts":[{"text":"x"}]},"outputDimensionality":9999}"#,
                "between 1 and 768",
            ),
            ("/v1beta/models/x:batchEmbedContents", r#"{"requests":[]}"#, "at least one"),
            (
                "/v1beta/models/x:batchEmbedContents",
                r#"{"requests":[{"content":{"parts":[{"text":"x"}]}}]}"#,
                "must be `models/x`",
            ),
            (
                &format!("{VERTEX}gemini-embedding-001:predict"),
                r#"{"instances":[{"content":"x"},{"content":"y"}]}"#,
                "1 instance(s) is allowed",
            ),
        ] {
            let (status, answer) = ask(path, body);
            assert_eq!(status, 400, "{body}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
        }
        assert_eq!(ask("/v1beta/models/x:predict", "{}").0, 404);
    }

    #[test]
    fn tokens_are_counted_in_both_forms() {
        let studio = "/v1beta/models/gemini-2.5-flash:countTokens";
        let contents = r#""contents":[{"role":"user","parts":[{"text":"12345678"}]}]"#;
        let (_, answer) = ask(studio, &format!("{{{contents}}}"));
        assert_eq!(answer["totalTokens"], 2);
        let whole = format!(
            r#"{{"generateContentRequest":{{"model":"models/x",{contents},"systemInstruction":{{"parts":[{{"text":"1234"}}]}}}}}}"#
        );
        assert_eq!(ask(studio, &whole).1["totalTokens"], 3);
        let vertex = format!("{VERTEX}gemini-2.5-flash:countTokens");
        let (_, answer) = ask(&vertex, &format!(r#"{{{contents},"tools":[]}}"#));
        assert_eq!(answer["totalBillableCharacters"], 8);
        assert_eq!(ask(&vertex, &whole).0, 400);
        assert_eq!(ask(studio, &format!(r#"{{{contents},"tools":[]}}"#)).0, 400);
        assert_eq!(ask(studio, "{}").0, 400);
    }
}
