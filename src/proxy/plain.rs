//! Answers that need no upstream: pages, lists of models, refusals.

use crate::base::Tick;
use crate::chat::models::{self, Model};
use crate::chat::{ApiError, Dialect, Row};
use crate::config::Route;
use crate::rt::{Lent, Runtime, mailbox};
use crate::shard::{Ask, Page, Report, Shard};
use crate::wire::Framing;

use super::answer::{self, Whole};
use super::asked::{Asked, What};
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::fixed;
use super::limits;
use super::reply::Envelope;

/// Answers everything but chat. A body that is not here yet is not waited for.
pub(super) async fn plain<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    inbox: &mut Vec<u8>,
    mut asked: Asked,
    started: Tick,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let body_end = match asked.framing {
        Framing::None => Some(asked.head_bytes),
        Framing::Length(length) => usize::try_from(length)
            .ok()
            .and_then(|length| asked.head_bytes.checked_add(length))
            .filter(|end| *end <= inbox.len()),
        Framing::Chunked | Framing::UntilClose => None,
    };
    asked.envelope.keep_alive &= body_end.is_some();
    let counted = match &asked.what {
        What::Refuse(error) => Some((error.row.status, error.row.code)),
        What::Fixed(status, _, true) => Some((*status, Some("invalid_api_key"))),
        _ => None,
    };
    let exchange = counted.map(|counted| {
        (Exchange::new(client.shard, (asked.envelope, asked.key), started, None), counted)
    });
    let sent = give(client, &asked).await;
    if let Some((exchange, (status, code))) = exchange {
        let failed = Ending::Failed(status, code.unwrap_or("refused"));
        exchange.settle(if sent.is_ok() { failed } else { Ending::ClientLeft });
    }
    if sent.is_err() {
        return After::Gone;
    }
    match body_end {
        Some(end) if asked.envelope.keep_alive => {
            client.posted.advance(inbox, end);
            After::KeepAlive
        }
        _ => After::Close,
    }
}

/// Writes the answer to anything but chat.
async fn give<R, F, M>(client: &Client<'_, R, F, M>, asked: &Asked) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = client.shard;
    let envelope = &asked.envelope;
    let mut body = Vec::new();
    let json = envelope.dialect.head().json;
    let ok = |body| Whole { status: 200, content_type: json, fields: b"", body };
    match &asked.what {
        What::Health => {
            super::health::render(shard, &mut body);
            answer::send(client, envelope, &ok(&body)).await
        }
        What::Models => {
            models::list(envelope.dialect, &served(shard), &mut body);
            answer::send(client, envelope, &ok(&body)).await
        }
        What::Model(id) => {
            let route =
                shard.config.route(id).and_then(|at| shard.config.routes.as_slice().get(at));
            let Some(model) = route.and_then(|route| model_of(shard, route)) else {
                let message = format!("no route serves the model `{}`", short(id));
                let error = ApiError::new(Row::MODEL_NOT_FOUND, message).with_param("model");
                return answer::send_error(client, envelope, &error).await;
            };
            models::one(envelope.dialect, &Model { id, ..model }, &mut body);
            answer::send(client, envelope, &ok(&body)).await
        }
        What::Page(page) => {
            let (status, body) = ask(shard, *page).await;
            let content_type = match page {
                Page::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
                Page::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Page::Metrics | Page::Ready => json,
            };
            let answer = Whole { status, content_type, fields: b"", body: &body };
            answer::send(client, envelope, &answer).await
        }
        What::Preflight(fields) => {
            let answer = Whole { status: 200, content_type: "text/plain", fields, body: b"" };
            answer::send(client, envelope, &answer).await
        }
        What::Fixed(status, allow, _) => refuse(client, envelope, *status, allow).await,
        What::Refuse(error) => {
            let mut fields = Vec::new();
            limits::push_fields(shard, asked.key, &mut fields);
            answer::send_error_with(client, envelope, error, fields).await
        }
        What::Error(error) => answer::send_error(client, envelope, error).await,
        What::Talk(..) | What::Errand(_) => Ok(0),
    }
}

/// Writes a body that was rendered, and compressed, at the start.
async fn refuse<R, F, M>(
    client: &Client<'_, R, F, M>,
    envelope: &Envelope,
    status: u16,
    allow: &str,
) -> Result<u64, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut fields = Vec::new();
    if !allow.is_empty() {
        fields.extend_from_slice(b"allow: ");
        fields.extend_from_slice(allow.as_bytes());
        fields.extend_from_slice(b"\r\n");
    }
    if status == 401 {
        fields.extend_from_slice(b"www-authenticate: Bearer\r\n");
    }
    if envelope.dialect != Dialect::OpenAi {
        let error = fixed::refusal(status, envelope.dialect);
        return answer::send_error_with(client, envelope, &error, fields).await;
    }
    let Some(body) = client.shard.fixed.iter().find(|body| body.status == status) else {
        return Err(Gone);
    };
    fields.extend_from_slice(b"vary: accept-encoding\r\n");
    let zip = envelope.accepts.gzip && !body.gzip.is_empty();
    if zip {
        fields.extend_from_slice(b"content-encoding: gzip\r\n");
    }
    let bytes = if zip { &body.gzip } else { &body.plain };
    let answer =
        Whole { status, content_type: Dialect::OpenAi.head().json, fields: &fields, body: bytes };
    answer::send(client, envelope, &answer).await
}

/// A page that the control thread renders.
async fn ask<R: Runtime>(shard: &Shard<R>, page: Page) -> (u16, Vec<u8>) {
    let (reply, letters) = mailbox();
    if shard.control.send(Report::Ask(Ask { page, reply })).is_err() {
        return (503, b"{}".to_vec());
    }
    letters.next().await
}

/// The models that the routes name, and the patterns they serve.
fn served<R: Runtime>(shard: &Shard<R>) -> Vec<Model<'_>> {
    let routes = shard.config.routes.as_slice().iter();
    routes.filter_map(|route| model_of(shard, route)).collect()
}

/// A route as a model, of whom it is first asked.
fn model_of<'s, R: Runtime>(shard: &'s Shard<R>, route: &'s Route) -> Option<Model<'s>> {
    let upstream = shard.config.upstreams.get(route.targets.first()?.upstream)?;
    Some(Model { id: &route.pattern, owned_by: &upstream.name, created: 0 })
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
