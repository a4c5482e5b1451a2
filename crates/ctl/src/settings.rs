//! `dynomesh settings list|set`.

use std::collections::HashMap;

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;

use crate::Session;
use crate::error::CliError;
use crate::options::WriteArgs;
use crate::output::Row;

/// Verbs on settings of the whole mesh.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum SettingsCommand {
    /// List all settings: value, default and meaning of each
    #[command(after_help = "Example:\n  dynomesh settings list")]
    List,
    /// Change some settings, all or none
    #[command(after_help = "Example:\n  dynomesh settings set rebalance=auto drain=45s")]
    Set(SetArgs),
}

/// What to change.
#[derive(Debug, Clone, clap::Args)]
pub struct SetArgs {
    /// A setting and its new value
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// What the write carries
    #[command(flatten)]
    pub write: WriteArgs,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("must be NAME=VALUE, for example rebalance=auto".into()),
    }
}

#[derive(Serialize)]
struct SettingRow {
    name: String,
    value: String,
    default: String,
    meaning: String,
}

impl From<wire::Setting> for SettingRow {
    fn from(setting: wire::Setting) -> Self {
        let wire::Setting { name, value, default, meaning } = setting;
        SettingRow { name, value, default, meaning }
    }
}

impl Row for SettingRow {
    const COLUMNS: &'static [&'static str] = &["name", "value", "default", "meaning"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.value.clone(), self.default.clone(), self.meaning.clone()]
    }
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
    version: u64,
    settings: Vec<SettingRow>,
}

pub(crate) async fn perform(command: SettingsCommand, session: &Session) -> Result<(), CliError> {
    match command {
        SettingsCommand::List => {
            let answer = session.client.read(wire::ListSettingsRequest {}).await?;
            session.output.list(&rows(answer.settings))
        }
        SettingsCommand::Set(args) => set(args, session).await,
    }
}

async fn set(args: SetArgs, session: &Session) -> Result<(), CliError> {
    let mut settings = HashMap::new();
    for (name, value) in args.settings {
        if settings.insert(name.clone(), value).is_some() {
            return Err(CliError::Usage(format!("{name} is given twice; leave one out")));
        }
    }
    let answer = session.client.write(wire::SetSettingsRequest { settings, options: None }, &args.write).await?;
    let done = if answer.changed { "changed" } else { "were already so" };
    let sentence = format!("settings {done}; version {}", answer.version);
    session.output.one(&Changed { changed: answer.changed, version: answer.version, settings: rows(answer.settings) }, &sentence)
}

fn rows(settings: Vec<wire::Setting>) -> Vec<SettingRow> {
    settings.into_iter().map(SettingRow::from).collect()
}
