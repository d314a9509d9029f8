//! What of Google Cloud a gateway with a service account talks to: a token endpoint that checks
//! signatures, and Vertex AI, which checks tokens. Both on loopback, in this process.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::upstream::{Peer, WHOLE, read_request, stream_body};

/// What the endpoints do, and what they have seen. A test may change the first half at any time.
#[derive(Debug)]
pub(super) struct Script {
    /// How long tokens live, in seconds.
    pub(super) lifetime: u64,
    /// Exchanges wait.
    pub(super) held: bool,
    /// An exchange gets this status and body instead of a token.
    pub(super) failure: Option<(u16, &'static str)>,
    /// Tokens with numbers up to this one are refused by Vertex AI.
    pub(super) refused: usize,
    /// API keys that are refused, and with which status.
    pub(super) bad_keys: Vec<(&'static str, u16)>,
    /// Header and claims of every assertion, whose signature was right.
    pub(super) assertions: Vec<(Value, Value)>,
    /// What was wrong with exchanges.
    pub(super) wrong: Vec<String>,
    /// First line and credential of every request to Vertex AI.
    pub(super) requests: Vec<(String, String)>,
    /// The whole head of the last one.
    pub(super) head: String,
}

/// Both endpoints, running until the test's process ends.
pub(super) struct Google {
    script: Arc<Mutex<Script>>,
    pub(super) token_uri: String,
    pub(super) origin: String,
}

impl Google {
    pub(super) fn start() -> Self {
        let script = Arc::new(Mutex::new(Script {
            lifetime: 3599,
            held: false,
            failure: None,
            refused: 0,
            bad_keys: Vec::new(),
            assertions: Vec::new(),
            wrong: Vec::new(),
            requests: Vec::new(),
            head: String::new(),
        }));
        let tokens = listen(&script, None, exchange);
        let origin = format!("http://{}", listen(&script, None, answer));
        Self { script, token_uri: format!("http://{tokens}/token"), origin }
    }

    /// With a token endpoint that shows `server`'s certificate and is called by the name `host`.
    pub(super) fn secured(server: ServerConfig, host: &str) -> Self {
        let google = Self::start();
        let tokens = listen(&google.script, Some(Arc::new(server)), exchange);
        Self { token_uri: format!("https://{host}:{}/token", tokens.port()), ..google }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics with the lock held")
    }

    /// Writes the key file of a service account into `folder`.
    pub(super) fn key_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("account.json");
        let account = json!({
            "type": "service_account", "project_id": "project-1", "private_key_id": "key-1",
            "private_key": private_key(), "client_email": EMAIL, "token_uri": self.token_uri,
        });
        fs::write(&path, account.to_string()).expect("a file can be written");
        path
    }
}

pub(super) const EMAIL: &str = "bridge@project-1.iam.gserviceaccount.com";

/// What every token begins with. Nothing that the gateway shows may hold it.
pub(super) const TOKEN: &str = "ya29.canary-";

/// One RSA key for all tests: making one takes a while.
pub(super) fn private_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| {
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
    })
}

/// What `openssl` prints.
pub(super) fn openssl(arguments: &[&str]) -> String {
    let out = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("PEM is text")
}

type Serve = fn(&Mutex<Script>, &str, &str) -> Vec<u8>;

fn listen(script: &Arc<Mutex<Script>>, tls: Option<Arc<ServerConfig>>, serve: Serve) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let script = Arc::clone(script);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, tls) = (Arc::clone(&script), tls.clone());
            thread::spawn(move || match tls {
                None => converse(stream, &script, serve),
                Some(tls) => {
                    let session = ServerConnection::new(tls).expect("a session");
                    converse(StreamOwned::new(session, stream), &script, serve);
                }
            });
        }
    });
    address
}

fn converse(mut stream: impl Peer, script: &Mutex<Script>, serve: Serve) {
    let mut inbox = Vec::new();
    while let Some((head, body)) = read_request(&mut stream, &mut inbox) {
        let written = stream.write_all(&serve(script, &head, &body));
        if written.and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn whole(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n\
         {body}"
    )
    .into_bytes()
}

/// The token endpoint.
fn exchange(script: &Mutex<Script>, head: &str, body: &str) -> Vec<u8> {
    while script.lock().expect("not poisoned").held {
        thread::sleep(Duration::from_millis(5));
    }
    let mut script = script.lock().expect("not poisoned");
    if let Some((status, body)) = script.failure {
        return whole(status, "application/json", body);
    }
    match check(head, body) {
        Ok(assertion) => script.assertions.push(assertion),
        Err(wrong) => {
            script.wrong.push(wrong);
            return whole(400, "application/json", r#"{"error":"invalid_grant"}"#);
        }
    }
    let token = json!({
        "access_token": format!("{TOKEN}{}", script.assertions.len()),
        "expires_in": script.lifetime, "token_type": "Bearer",
    });
    whole(200, "application/json; charset=UTF-8", &token.to_string())
}

/// Header and claims of a right assertion.
fn check(head: &str, body: &str) -> Result<(Value, Value), String> {
    let lower = head.to_lowercase();
    if !head.starts_with("POST /token HTTP/1.1\r\n")
        || !lower.contains("content-type: application/x-www-form-urlencoded")
    {
        return Err(format!("not a form: {head}"));
    }
    let form: BTreeMap<&str, &str> = body.split('&').filter_map(|f| f.split_once('=')).collect();
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    if form.get("grant_type") != Some(&grant) {
        return Err(format!("another grant: {body}"));
    }
    let assertion = form.get("assertion").copied().unwrap_or_default();
    let (signed, signature) = assertion.rsplit_once('.').ok_or("no assertion")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| e.to_string());
    let key = RsaKeyPair::from_pkcs8(&der(private_key())).map_err(|e| e.to_string())?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_unspecified| "a wrong signature".to_owned())?;
    let (header, claims) = signed.split_once('.').ok_or("two parts")?;
    let parse =
        |part: &str| serde_json::from_slice(&decode(part)?).map_err(|error| error.to_string());
    Ok((parse(header)?, parse(claims)?))
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).expect("base64 in PEM")
}

/// Vertex AI.
fn answer(script: &Mutex<Script>, head: &str, _body: &str) -> Vec<u8> {
    let mut script = script.lock().expect("not poisoned");
    script.head = head.to_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let names = ["authorization: ", "x-goog-api-key: "];
    let shown = head.lines().find(|line| names.iter().any(|name| line.starts_with(name)));
    let shown = shown.unwrap_or_default().to_owned();
    let number = shown.strip_prefix(&format!("authorization: Bearer {TOKEN}"));
    let number: usize = number.and_then(|number| number.parse().ok()).unwrap_or(0);
    let streamed = line.contains("alt=sse");
    let key = shown.strip_prefix("x-goog-api-key: ").map(str::to_owned);
    let bad = script.bad_keys.iter().find(|(bad, _)| key.as_deref() == Some(*bad));
    let bad = bad.map(|(_, status)| *status);
    script.requests.push((line, shown));
    if let Some(status) = bad {
        let error = format!(r#"{{"error":{{"code":{status},"message":"as asked","status":"X"}}}}"#);
        return whole(status, "application/json", &error);
    }
    if key.is_none() && number <= script.refused {
        let error = r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}"#;
        return whole(401, "application/json", error);
    }
    if streamed {
        let body = String::from_utf8(stream_body()).expect("events are text");
        return whole(200, "text/event-stream", &body);
    }
    whole(200, "application/json", WHOLE)
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}
