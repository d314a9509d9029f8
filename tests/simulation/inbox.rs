//! Reading and writing on a connection of a client or an upstream.

use std::time::Duration;

use vertex_bridge::rt::virt::{Virt, VirtConn};
use vertex_bridge::rt::{Conn, Runtime};

/// Bytes read from a connection and not used yet.
pub(super) struct Inbox {
    pub(super) conn: VirtConn,
    bytes: Vec<u8>,
    /// Those before it are used.
    at: usize,
    /// Everything that was read.
    pub(super) taken: usize,
    /// So many bytes with each read, and a wait before it.
    pub(super) pace: Option<(usize, Duration)>,
    /// Nothing was read for so long that the gateway may have given up.
    pub(super) stalled: bool,
}

impl Inbox {
    pub(super) fn new(conn: VirtConn) -> Self {
        Self { conn, bytes: Vec::new(), at: 0, taken: 0, pace: None, stalled: false }
    }

    /// More bytes; false at the end.
    pub(super) async fn more(&mut self, rt: &Virt) -> bool {
        let mut room = 4096;
        if let Some((most, wait)) = self.pace {
            rt.sleep(wait).await;
            room = most;
        }
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
        let (result, buffer) = self.conn.read(Vec::with_capacity(room)).await;
        self.bytes.extend_from_slice(&buffer);
        self.taken += buffer.len();
        matches!(result, Ok(1..))
    }

    /// Has anything of a next message come?
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Everything up to and including `mark`.
    async fn until(&mut self, rt: &Virt, mark: &[u8]) -> Option<String> {
        let mut seen = 0;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let from = seen.min(rest.len());
            let found = rest.get(from..)?.windows(mark.len()).position(|window| window == mark);
            if let Some(place) = found {
                let end = from + place + mark.len();
                let text = String::from_utf8(rest.get(..end)?.to_vec()).ok()?;
                self.at += end;
                return Some(text);
            }
            seen = rest.len().saturating_sub(mark.len() - 1);
            if !self.more(rt).await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, rt: &Virt, count: usize) -> Option<&[u8]> {
        while self.bytes.len() - self.at < count {
            if !self.more(rt).await {
                return None;
            }
        }
        let from = self.at;
        self.at += count;
        self.bytes.get(from..from + count)
    }

    /// A head, and the body that it announces by length or in chunks.
    pub(super) async fn message(&mut self, rt: &Virt) -> Option<(String, String)> {
        let head = self.until(rt, b"\r\n\r\n").await?.to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.until(rt, b"\r\n").await?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                body.extend_from_slice(self.exactly(rt, size + 2).await?.get(..size)?);
                if size == 0 {
                    return Some((head, String::from_utf8(body).ok()?));
                }
            }
        }
        let length = head.split("content-length:").nth(1).unwrap_or("0");
        let length = length.split("\r\n").next()?.trim().parse().ok()?;
        let body = self.exactly(rt, length).await?.to_vec();
        Some((head, String::from_utf8(body).ok()?))
    }
}

pub(super) async fn send(conn: &VirtConn, bytes: &[u8]) -> bool {
    conn.write_all(bytes.to_vec()).await.0.is_ok()
}
