//! Many dynos at once: read from the line or a file, sent in batches, told one by one.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use dynomesh_proto::admin::v1 as wire;
use serde::{Deserialize, Serialize};

use super::AddArgs;
use crate::Session;
use crate::effect::Effect;
use crate::error::CliError;
use crate::options::new_key;
use crate::output::Row;

/// Dynos of one call, as the admin API has it.
const BATCH_LEN: usize = 1000;

/// One dyno of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    addr: String,
    app: Option<String>,
    id: Option<String>,
    max_conns: Option<u32>,
    block: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    dyno: Vec<Entry>,
}

/// What became of one dyno.
#[derive(Debug, Serialize)]
struct AddedRow {
    id: String,
    app: String,
    addr: String,
    block: String,
    changed: bool,
    code: i32,
    error: String,
}

impl Row for AddedRow {
    const COLUMNS: &'static [&'static str] = &["id", "app", "addr", "block", "result"];

    fn cells(&self) -> Vec<String> {
        let result = match (self.error.as_str(), self.changed) {
            ("", true) => "added".to_owned(),
            ("", false) => "was already there".to_owned(),
            (error, _) => format!("refused: {error}"),
        };
        vec![self.id.clone(), self.app.clone(), self.addr.clone(), self.block.clone(), result]
    }
}

pub(super) async fn add(args: &AddArgs, session: &Session) -> Result<(), CliError> {
    let requests = requests(args)?;
    let mut rows = Vec::new();
    for batch in requests.chunks(BATCH_LEN) {
        let answer = session.client.read(wire::AddDynosRequest { dynos: batch.to_vec() }).await?;
        rows.extend(batch.iter().zip(answer.dynos).map(|(request, added)| row(request, added)));
    }
    if args.wait.wait {
        for row in rows.iter().filter(|row| row.error.is_empty()) {
            session.on_dyno(&row.id, Effect::Serves).await?;
        }
    }
    session.output.list(&rows)?;
    match rows.iter().filter(|row| !row.error.is_empty()).count() {
        0 => Ok(()),
        refused => Err(CliError::Partly { refused, all: rows.len() }),
    }
}

fn row(request: &wire::AddDynoRequest, added: wire::AddedDyno) -> AddedRow {
    let asked = || wire::Dyno { id: request.id.clone(), app: request.app.clone(), addr: request.addr.clone(), ..Default::default() };
    let dyno = added.dyno.unwrap_or_else(asked);
    let wire::AddedDyno { changed, code, error, .. } = added;
    AddedRow { id: dyno.id, app: dyno.app, addr: dyno.addr, block: dyno.block, changed, code, error }
}

/// The requests of a line, each with a key of its own that follows from the line's.
fn requests(args: &AddArgs) -> Result<Vec<wire::AddDynoRequest>, CliError> {
    let entries = match &args.file {
        Some(file) => read(file)?,
        None => args.addrs.iter().map(|addr| Entry { addr: addr.clone(), app: None, id: None, max_conns: None, block: None }).collect(),
    };
    let key = args.write.key.clone().unwrap_or_else(new_key);
    let request = |(n, entry): (usize, Entry)| {
        let app = entry.app.or_else(|| args.app.clone());
        Ok(wire::AddDynoRequest {
            app: app
                .ok_or_else(|| CliError::Usage(format!("dyno {} ({}) names no app; give it there or on the line", n + 1, entry.addr)))?,
            addr: entry.addr,
            id: entry.id.unwrap_or_default(),
            max_conns: entry.max_conns.or(args.max_conns),
            block: entry.block.or_else(|| args.block.clone()).unwrap_or_default(),
            options: Some(wire::WriteOptions { idempotency_key: format!("{key}-{n}"), expect_version: args.write.expect }),
        })
    };
    entries.into_iter().enumerate().map(request).collect()
}

fn read(file: &Path) -> Result<Vec<Entry>, CliError> {
    let name = file.display();
    let unreadable = |cause: io::Error| CliError::Usage(format!("--file {name}: {cause}"));
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        text
    } else {
        fs::read_to_string(file).map_err(unreadable)?
    };
    let entries = if file.extension().is_some_and(|ext| ext == "toml") { from_toml(&text) } else { from_lines(&text) };
    match entries.map_err(|what| CliError::Usage(format!("--file {name}{what}")))? {
        entries if entries.is_empty() => Err(CliError::Usage(format!("--file {name} names no dyno"))),
        entries => Ok(entries),
    }
}

/// One JSON object per line; empty lines are passed over.
pub(crate) fn from_lines(text: &str) -> Result<Vec<Entry>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(n, line)| serde_json::from_str(line).map_err(|cause| format!(":{}: {cause}", n + 1))).collect()
}

/// Tables `[[dyno]]`.
pub(crate) fn from_toml(text: &str) -> Result<Vec<Entry>, String> {
    let file: TomlFile = toml::from_str(text).map_err(|cause| {
        let line = cause.span().map(|span| text[..span.start].lines().count().max(1));
        format!("{}: {}", line.map(|line| format!(":{line}")).unwrap_or_default(), cause.message())
    })?;
    Ok(file.dyno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_tables_say_the_same() {
        let lines =
            from_lines("{\"addr\": \"10.0.0.1:1\", \"id\": \"a\"}\n\n{\"addr\": \"10.0.0.2:1\", \"app\": \"shop\", \"max_conns\": 2}\n");
        let tables = "[[dyno]]\naddr = \"10.0.0.1:1\"\nid = \"a\"\n[[dyno]]\naddr = \"10.0.0.2:1\"\napp = \"shop\"\nmax_conns = 2\n";
        assert_eq!(lines.unwrap(), from_toml(tables).unwrap());
    }

    #[test]
    fn a_mistake_is_told_by_its_line() {
        let wrong = from_lines("{\"addr\": \"10.0.0.1:1\"}\n{\"adr\": \"x\"}").unwrap_err();
        assert!(wrong.starts_with(":2: unknown field `adr`"), "{wrong}");
        let wrong = from_toml("[[dyno]]\naddr = \"10.0.0.1:1\"\nport = 3\n").unwrap_err();
        assert!(wrong.starts_with(":3: unknown field `port`") || wrong.contains("unknown field `port`"), "{wrong}");
    }
}
