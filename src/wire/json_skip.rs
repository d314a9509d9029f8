//! Goes over values that nobody asks for, and checks them on the way.

use super::json::{DEPTH_MAX, JsonError, Reader};
use super::json_scan::{behind_space, is_space, text_end};

/// Where it is in the text, and in which containers.
struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    /// One bit for each container around the place: is it an object?
    objects: u128,
}

impl Reader<'_> {
    /// Goes through a container and all in it, without recursion.
    pub(super) fn skip_container(&mut self) -> Result<(), JsonError> {
        let bytes = self.text.as_bytes();
        let mut walk = Walk { bytes, at: self.at, depth: self.depth, objects: 0 };
        loop {
            match walk.peek() {
                Some(b'"') => walk.string()?,
                Some(bracket @ (b'{' | b'[')) => {
                    if !walk.open(bracket == b'{')? {
                        continue;
                    }
                }
                other => {
                    self.at = walk.at;
                    match other {
                        Some(b't' | b'f') => self.boolean().map(drop)?,
                        Some(b'n') => self.null().map(drop)?,
                        _ => self.number().map(drop)?,
                    }
                    walk.at = self.at;
                }
            }
            if walk.close(self.depth)? {
                self.at = walk.at;
                return Ok(());
            }
        }
    }
}

impl Walk<'_> {
    /// Goes into a container, to its first value. Says whether it is empty; then it is behind it.
    #[inline]
    fn open(&mut self, object: bool) -> Result<bool, JsonError> {
        if self.depth == DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        self.at += 1;
        if self.peek() == Some(closing(object)) {
            self.at += 1;
            return Ok(true);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if object {
            self.key()?;
        }
        Ok(false)
    }

    /// Goes behind what ends with the value before. Says whether that is all outside of `depth`;
    /// if not, the next value follows.
    #[inline]
    fn close(&mut self, depth: usize) -> Result<bool, JsonError> {
        while self.depth != depth {
            let object = self.objects & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                Some(bracket) if bracket == closing(object) => self.at += 1,
                _ => return Err(JsonError::Syntax),
            }
            self.depth -= 1;
            self.objects >>= 1;
        }
        Ok(true)
    }

    /// The key of the next member, and the colon behind it.
    #[inline]
    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(JsonError::Syntax);
        }
        self.string()?;
        if self.peek() != Some(b':') {
            return Err(JsonError::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    /// The string whose quote is next.
    #[inline]
    fn string(&mut self) -> Result<(), JsonError> {
        self.at = text_end(self.bytes, self.at + 1).ok_or(JsonError::Syntax)? + 1;
        Ok(())
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        if !byte.is_some_and(is_space) {
            return byte;
        }
        // One space stands behind many a colon and comma.
        self.at = behind_space(self.bytes, self.at + 1);
        self.bytes.get(self.at).copied()
    }
}

/// The bracket that ends an object or an array.
const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}
