//! The tokens file: `ROLE NAME SHA256HEX` on each line, `#` before a comment.
//!
//! The file holds digests, so that who reads it cannot call; a token is random and long, so that nobody guesses one from its
//! digest. It is read again when it changes. One that cannot be read any more changes nothing: callers are not locked out by a slip of
//! the pen, and the log says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{Caller, Role};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Largest tokens file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Most tokens: every one of them is compared at every call.
const TOKENS_MAX: usize = 1_000;

/// Known tokens. Cheap to clone; all clones know the same.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Arc<RwLock<Vec<Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    caller: Caller,
    digest: [u8; 32],
}

impl Tokens {
    /// The tokens of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&load(path)?)
    }

    /// The tokens of a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(Tokens(Arc::new(RwLock::new(entries(text)?))))
    }

    /// Whose token this is. Takes as long for a wrong one as for a right one.
    pub(crate) fn find(&self, token: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = u32::MAX;
        for (nth, entry) in (0u32..).zip(entries.iter()) {
            let same: Choice = entry.digest.ct_eq(&digest);
            found = u32::conditional_select(&found, &nth, same);
        }
        entries.get(usize::try_from(found).ok()?).map(|entry| entry.caller.clone())
    }

    /// Reads the file again whenever it changes, until it is dropped.
    pub(crate) async fn follow(self, path: PathBuf) {
        let mut last = stamp(&path);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = stamp(&path);
            if now == last {
                continue;
            }
            last = now;
            match load(&path).and_then(|text| entries(&text)) {
                Ok(entries) => {
                    tracing::info!(path = %path.display(), tokens = entries.len(), "tokens read again");
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = entries;
                }
                Err(problem) => {
                    tracing::warn!(path = %path.display(), problem, "the tokens file cannot be read; the tokens known before stay")
                }
            }
        }
    }
}

/// What changes when the file does.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn load(path: &Path) -> Result<String, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    if std::fs::metadata(path).map_err(said)?.len() > FILE_LEN_MAX {
        return Err(format!("{}: is longer than {FILE_LEN_MAX} bytes", path.display()));
    }
    std::fs::read_to_string(path).map_err(said)
}

fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let entries = lines.map(|(nth, line)| entry(line).map_err(|problem| format!("line {nth}: {problem}")));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    match entries.len() {
        0 => Err("names no token; a line is `ROLE NAME SHA256HEX`".into()),
        many if many > TOKENS_MAX => Err(format!("has {many} tokens; must be at most {TOKENS_MAX}")),
        _ => Ok(entries),
    }
}

fn entry(line: &str) -> Result<Entry, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[role, name, digest] = &words[..] else {
        return Err(format!("must be `ROLE NAME SHA256HEX`; it has {} words", words.len()));
    };
    let role: Role = role.parse()?;
    // The refused text might be the token itself: it is not repeated.
    let digest = hex(digest).ok_or("the digest must have 64 hexadecimal digits; it is that of the token, not the token")?;
    Ok(Entry { caller: Caller { name: name.into(), role }, digest })
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of `test` and `other`.
    const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const OTHER: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

    #[test]
    fn a_token_is_known_by_its_digest() {
        let tokens = Tokens::parse(&format!("# who\n\nread ann {OTHER}\nadmin  bob {}\n", TEST.to_uppercase())).unwrap();
        let bob = tokens.find("test").unwrap();
        assert_eq!((&*bob.name, bob.role), ("bob", Role::Admin));
        assert_eq!(&*tokens.find("other").unwrap().name, "ann");
        for wrong in ["", "tes", "test ", TEST] {
            assert_eq!(tokens.find(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_its_digest_not_repeated() {
        for (line, names) in [
            ("admin bob", "has 2 words"),
            ("root bob 00", "no role"),
            ("admin bob secret", "64 hexadecimal digits"),
            ("", "names no token"),
        ] {
            let problem = Tokens::parse(&format!("# first\n{line}")).unwrap_err();
            assert!(problem.contains(names) && !problem.contains("secret"), "{problem}");
        }
        let problem = Tokens::parse(&format!("read ann {TEST}\nwrong")).unwrap_err();
        assert!(problem.starts_with("line 2: "), "{problem}");
    }
}
