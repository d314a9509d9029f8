//! Errors and refusals of Google on request, in the spellings that were seen or are documented.
//!
//! <https://ai.google.dev/gemini-api/docs/troubleshooting>

use super::super::fault::Fault;
use super::super::json::quote;
use super::super::reply::{Asked, Reply};
use super::door::{is_sse, no_model};
use super::error::{detailed, error, reason};
use super::path::{Address, Platform};

/// The event that ends a stream with an error.
pub(crate) const ERROR_EVENT: &str = "data: {\"error\": {\"code\": 503,\"message\": \"The model is overloaded. Please try again later.\",\"status\": \"UNAVAILABLE\"}}\r\n\r\n";

/// The error body of this name.
pub(crate) fn named_error(name: &str, address: &Address<'_>) -> Option<Reply> {
    let invalid = |message: &str| error(400, "INVALID_ARGUMENT", message);
    let studio = address.is_studio();
    Some(match name {
        "bad-request" => invalid("Request contains an invalid argument."),
        "context" => invalid(
            "The input token count (1200345) exceeds the maximum number of tokens allowed \
             (1048576).",
        ),
        "policy" => invalid(
            "The request was blocked because the input violates our usage guidelines. Support \
             codes: 56562880",
        ),
        "key" if studio => detailed(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            &reason("API_KEY_INVALID"),
        ),
        "key" => detailed(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
             cookie or other valid authentication credential.",
            &reason("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ),
        "billing" => detailed(
            403,
            "PERMISSION_DENIED",
            "This API method requires billing to be enabled. Please enable billing on project \
             #1234567 and then retry.",
            &reason("BILLING_DISABLED"),
        ),
        "permission" => detailed(
            403,
            "PERMISSION_DENIED",
            "Generative Language API has not been used in project 1234567 before or it is \
             disabled.",
            &reason("SERVICE_DISABLED"),
        ),
        "location" => {
            error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
        }
        "notfound" => no_model(address),
        "too-large" => invalid("Request payload size exceeds the limit: 20971520 bytes."),
        "429" => exhausted(address),
        "quota" => detailed(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
            &violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        ),
        "500" => error(500, "INTERNAL", "An internal error has occurred. Please retry."),
        "502" => error(502, "UNAVAILABLE", "Bad gateway."),
        "503" => error(503, "UNAVAILABLE", "The service is currently unavailable."),
        "504" => {
            error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")
        }
        "529" => error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        _ => return None,
    })
}

/// AI Studio says when to come back, Vertex does not.
fn exhausted(address: &Address<'_>) -> Reply {
    if !address.is_studio() {
        let message = "Resource exhausted. Please try again later. Please refer to \
                       https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for \
                       more details.";
        return error(429, "RESOURCE_EXHAUSTED", message);
    }
    let details = format!(
        "{},{{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34.4s\"}}",
        violation("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
    );
    let message = "You exceeded your current quota, please check your plan and billing details. \
                   Please retry in 34.4s.";
    detailed(429, "RESOURCE_EXHAUSTED", message, &details)
}

fn violation(quota: &str) -> String {
    format!(
        "{{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{{\"quotaMetric\":\"generativelanguage.googleapis.com/generate_content_free_tier_requests\",\"quotaId\":\"{quota}\"}}]}}"
    )
}

/// A prompt or an answer that Google blocks, or a call that it could not read.
pub(crate) fn refusal(asked: &Asked<'_>, address: &Address<'_>, fault: Fault) -> Option<Reply> {
    if !matches!(address.verb, "generateContent" | "streamGenerateContent") {
        return None;
    }
    let what = match fault {
        Fault::Blocked => match address.platform {
            // AI Studio often gives no words.
            Platform::Studio => "\"promptFeedback\": {\"blockReason\": \"PROHIBITED_CONTENT\"}",
            Platform::Vertex { .. } | Platform::Express => {
                "\"promptFeedback\": {\"blockReason\": \"PROHIBITED_CONTENT\",\"blockReasonMessage\": \"The prompt is blocked due to prohibited contents\"}"
            }
        },
        Fault::Filtered => {
            "\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hello\"}],\"role\": \"model\"},\"finishReason\": \"SAFETY\",\"index\": 0}]"
        }
        Fault::Malformed => {
            "\"candidates\": [{\"content\": {},\"finishReason\": \"MALFORMED_FUNCTION_CALL\",\"finishMessage\": \"Malformed function call: print(default_api.lookup(...))\",\"index\": 0}]"
        }
        _ => return None,
    };
    let body = format!(
        "{{{what},\"usageMetadata\": {{\"promptTokenCount\": 4,\"totalTokenCount\": 4}},\"modelVersion\": {}}}",
        quote(address.model)
    );
    Some(match address.verb {
        "generateContent" => Reply::json(200, body),
        _ if is_sse(asked) => Reply::events(vec![format!("data: {body}\r\n\r\n").into_bytes()]),
        _ => Reply::json(200, format!("[{body}]")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fault::ERRORS;
    use super::*;

    #[test]
    fn every_error_has_googles_shape_on_both_services() {
        let vertex = "/v1/projects/p/locations/l/publishers/google/models/m:generateContent";
        for path in ["/v1beta/models/m:generateContent", vertex] {
            let address = Address::parse(path).unwrap();
            for name in
                ERRORS.iter().filter(|name| !["html502", "text503", "string500"].contains(*name))
            {
                let (status, body) = named_error(name, &address).expect(name).shown();
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["error"]["code"], status, "{name}");
                assert!(body["error"]["status"].is_string() && status >= 400, "{name}");
            }
            assert!(named_error("none", &address).is_none());
        }
    }
}
