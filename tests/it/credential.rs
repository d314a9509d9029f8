//! Signing and exchanging, against endpoints that misbehave.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops where it cannot go on, and waits in real time"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use vertex_bridge::config::{Secret, ServiceAccount};
use vertex_bridge::credential::{Endpoint, Granted, Signer, TokenError};
use vertex_bridge::net::{self, Connector};
use vertex_bridge::web::Trust;

fn account(private_key: &str, token_uri: &str) -> ServiceAccount {
    ServiceAccount {
        path: "account.json".to_owned(),
        client_email: "bridge@project.iam.gserviceaccount.com".to_owned(),
        private_key: Secret::new(private_key.to_owned()),
        private_key_id: None,
        token_uri: token_uri.to_owned(),
        project_id: None,
    }
}

/// What `openssl` makes of its input.
fn openssl(arguments: &[&str], input: &str) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("openssl runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("openssl reads");
    drop(stdin);
    child.wait_with_output().expect("openssl ends").stdout
}

#[test]
fn both_forms_of_an_rsa_key_sign_the_same() {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
    let pkcs8 = String::from_utf8(openssl(&arguments, "")).expect("PEM is text");
    let pkcs1 = openssl(&["rsa", "-traditional"], &pkcs8);
    let pkcs1 = String::from_utf8(pkcs1).expect("PEM is text");
    assert!(pkcs8.starts_with("-----BEGIN PRIVATE") && pkcs1.starts_with("-----BEGIN RSA PRIVATE"));
    let public = openssl(&["rsa", "-RSAPublicKey_out", "-outform", "DER"], &pkcs8);
    let mut texts = Vec::new();
    for key in [pkcs8, pkcs1] {
        let signer = Signer::new(&account(&key, "https://t.example/token")).expect("a key");
        assert_eq!(format!("{signer:?}"), "Signer(bridge@project.iam.gserviceaccount.com)");
        let assertion = signer.assertion(1_700_000_000).expect("a signature");
        let (signed, signature) = assertion.expose().rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public)
            .verify(signed.as_bytes(), &signature)
            .expect("a right signature");
        texts.push(assertion.expose().to_owned());
    }
    assert_eq!(texts[0], texts[1]);
    let parts: Vec<&str> = texts[0].split('.').collect();
    let text = |part: &str| {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("text")
    };
    assert_eq!(text(parts[0]), r#"{"alg":"RS256","typ":"JWT"}"#);
    assert_eq!(
        text(parts[1]),
        "{\"iss\":\"bridge@project.iam.gserviceaccount.com\",\
         \"scope\":\"https://www.googleapis.com/auth/cloud-platform\",\
         \"aud\":\"https://t.example/token\",\"iat\":1700000000,\"exp\":1700003600}"
    );
}

/// An endpoint that reads a request and writes `answer`; an empty one says nothing for a while.
fn endpoint(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let read = stream.read(&mut [0; 16 * 1024]);
            if answer.is_empty() {
                thread::sleep(Duration::from_secs(30));
            }
            // A client that has lost its patience does not listen.
            let _left = read.and_then(|_| stream.write_all(answer));
        }
    });
    address
}

fn exchange(scheme: &str, at: SocketAddr) -> Result<Granted, TokenError> {
    let account = account("", &format!("{scheme}://{at}/token"));
    let upstreams = Connector::new(&net::Trust::bundled(), None).expect("TLS");
    let trust = Trust::new(upstreams.config());
    Endpoint::new(&account, &trust, None).exchange(&Secret::new("a.b.c".to_owned()))
}

fn whole(status: &str, body: &str) -> &'static [u8] {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n");
    format!("{head}location: http://127.0.0.1:1/\r\n\r\n{body}").leak().as_bytes()
}

#[test]
fn tokens_that_can_be_sent_are_taken_and_others_are_not() {
    let granted = |body: &str| exchange("http", endpoint(whole("200 OK", body)));
    let token = granted(r#"{"access_token":"ya29.x-_/=","expires_in":12,"scope":"s"}"#);
    let token = token.expect("a token");
    assert_eq!(token.bearer.expose(), "Bearer ya29.x-_/=");
    assert_eq!(token.lifetime, Duration::from_secs(12));
    let endless = granted(r#"{"access_token":"t","token_type":"bearer"}"#).expect("a token");
    assert_eq!(endless.lifetime, Duration::from_secs(3600));
    let huge = format!(r#"{{"access_token":"{}","expires_in":9}}"#, "t".repeat(9000));
    let padded = format!(r#"{{"access_token":"t","expires_in":9,"x":"{}"}}"#, "x".repeat(70_000));
    for body in [
        "",
        "[]",
        "{}",
        r#"{"access_token":"","expires_in":9}"#,
        r#"{"access_token":"a b","expires_in":9}"#,
        r#"{"access_token":"a\r\nx: y","expires_in":9}"#,
        r#"{"access_token":"t","expires_in":-1}"#,
        r#"{"access_token":"t","token_type":"mac"}"#,
        &huge,
        &padded,
    ] {
        let shown = body.get(..40).unwrap_or(body);
        assert_eq!(granted(body).expect_err(shown), TokenError::Invalid, "{shown}");
    }
}

#[test]
fn refusals_keep_the_status_and_no_word_that_is_not_known() {
    for (status, body, want, said) in [
        (
            "400 X",
            r#"{"error":"invalid_grant","error_description":"canary"}"#,
            400,
            "400 invalid_grant",
        ),
        ("401 X", r#"{"error":"canary"}"#, 401, "401"),
        ("503 X", "<html>canary</html>", 503, "503"),
        // The assertion goes to the endpoint of the key file and to no other.
        ("302 X", "canary", 302, "302"),
        ("307 X", "", 307, "307"),
    ] {
        let error = exchange("http", endpoint(whole(status, body))).expect_err(status);
        assert!(matches!(error, TokenError::Refused(code, _) if code == want), "{error:?}");
        assert_eq!(error.to_string(), format!("the token endpoint answered {said}"));
        assert!(!format!("{error:?}").contains("canary"));
    }
}

#[test]
fn broken_endpoints_have_their_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    assert_eq!(exchange("http", closed).expect_err("closed"), TokenError::Connection);
    let error = exchange("http", endpoint(b"\x00\x01")).expect_err("no HTTP");
    assert!(matches!(error, TokenError::Invalid | TokenError::Connection), "{error:?}");
    let cut = endpoint(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access");
    let error = exchange("http", cut).expect_err("cut short");
    assert!(matches!(error, TokenError::Invalid | TokenError::Connection), "{error:?}");
    let plain = endpoint(whole("200 OK", "{}"));
    assert_eq!(exchange("https", plain).expect_err("no TLS"), TokenError::Tls);
}

#[test]
fn silent_endpoints_are_left_after_ten_seconds() {
    let late = |scheme: &'static str| {
        let began = Instant::now();
        let error = exchange(scheme, endpoint(b"")).expect_err("no answer");
        (error, began.elapsed())
    };
    // Silent before an answer, and silent in the handshake.
    let other = thread::spawn(move || late("https"));
    for (error, after) in [late("http"), other.join().expect("no panic")] {
        assert_eq!(error, TokenError::Timeout);
        assert!((9..15).contains(&after.as_secs()), "{after:?}");
    }
}
