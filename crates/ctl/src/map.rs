//! `dynomesh map`.

use clap::builder::PossibleValuesParser;
use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;
use serde_json::Value;

use crate::Session;
use crate::error::CliError;
use crate::output::Row;

/// Kinds of facts, as the admin API names them.
const KINDS: [&str; 10] = ["app", "assigned", "owned", "released", "leader", "load", "node", "wish", "bound", "evicted"];

/// Which facts to show.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  dynomesh map --kind owned\n  dynomesh map -o json")]
pub struct MapArgs {
    /// Only facts of this kind
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    pub kind: Option<String>,
}

#[derive(Serialize)]
struct FactRow {
    key: String,
    fact: Value,
}

impl From<wire::MapFact> for FactRow {
    fn from(fact: wire::MapFact) -> Self {
        let wire::MapFact { key, json } = fact;
        FactRow { key, fact: serde_json::from_str(&json).unwrap_or(Value::String(json)) }
    }
}

impl Row for FactRow {
    const COLUMNS: &'static [&'static str] = &["key", "fact"];

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.fact.to_string()]
    }
}

pub(crate) async fn perform(args: MapArgs, session: &Session) -> Result<(), CliError> {
    let request = wire::GetMapRequest { kind: args.kind.unwrap_or_default(), ..Default::default() };
    let rows: Vec<FactRow> = session.client.list(request).await?.into_iter().map(FactRow::from).collect();
    session.output.list(&rows)
}
