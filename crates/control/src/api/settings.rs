//! Settings of the whole mesh, by name.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use dynomesh_core::directory::{Command, MeshSettings, Rebalance};
use dynomesh_proto::admin::v1 as wire;
use dynomesh_proto::convert::FieldError;
use dynomesh_proto::convert::write::demands;
use tonic::Status;

use super::Api;
use super::call::Call;
use super::refusal::invalid;
use super::write::Change;

/// One setting: its name, what it means, and how it is read and written.
struct Known {
    name: &'static str,
    meaning: &'static str,
    get: fn(&MeshSettings) -> String,
    set: fn(&mut MeshSettings, &str) -> Result<(), String>,
}

const KNOWN: [Known; 9] = [
    Known {
        name: "blocks_min",
        meaning: "blocks that an app shall have at least, where it has as many dynos; 1 to 16",
        get: |it| it.blocks_min.to_string(),
        set: |it, text| number(text).map(|value| it.blocks_min = value),
    },
    Known {
        name: "drain",
        meaning: "how long running requests may go on at a dyno that is drained, moved or removed; then they are cut; 0s to 24h",
        get: |it| it.drain.to_string(),
        set: |it, text| span(text).map(|value| it.drain = value),
    },
    Known {
        name: "evict_after",
        meaning: "how long a block must not have been seen before it may be evicted without an operator; longer than twice the longest \
                  request, 10s to 24h",
        get: |it| it.evict_after.to_string(),
        set: |it, text| span(text).map(|value| it.evict_after = value),
    },
    Known {
        name: "gain_min",
        meaning: "what a move for balance must gain at least, in hundredths of the load it evens out; 5 to 90",
        get: |it| it.gain_min.to_string(),
        set: |it, text| number(text).map(|value| it.gain_min = value),
    },
    Known {
        name: "group",
        meaning: "dynos of an app in a block that make least-conn work well; 1 to 1000",
        get: |it| it.group.to_string(),
        set: |it, text| number(text).map(|value| it.group = value),
    },
    Known {
        name: "moves_max",
        meaning: "moves under way at once; 1 to 1000",
        get: |it| it.moves_max.to_string(),
        set: |it, text| number(text).map(|value| it.moves_max = value),
    },
    Known {
        name: "pace",
        meaning: "least time between two rounds of moves, never less than some convergences of the map; 100ms to 24h",
        get: |it| it.pace.to_string(),
        set: |it, text| span(text).map(|value| it.pace = value),
    },
    Known {
        name: "rebalance",
        meaning: "whether dynos are moved for balance without being asked: manual or auto; drained and evicted blocks are emptied either way",
        get: |it| word(it.rebalance).into(),
        set: |it, text| mode(text).map(|value| it.rebalance = value),
    },
    Known {
        name: "rest",
        meaning: "how long a dyno that was moved stays before it is moved again for balance; 0s to 24h",
        get: |it| it.rest.to_string(),
        set: |it, text| span(text).map(|value| it.rest = value),
    },
];

impl Api {
    /// All settings by name.
    pub(super) async fn settings(&self) -> Result<wire::ListSettingsResponse, Status> {
        let (settings, version) = self.read(|state| (*state.settings(), state.settings_version())).await?;
        Ok(wire::ListSettingsResponse { settings: listed(&settings), version: version.0 })
    }

    /// Changes all of those named, or none. Settings are one record: it is changed as it was read, or read again.
    pub(super) async fn set_settings(&self, call: &Call, request: wire::SetSettingsRequest) -> Result<wire::SetSettingsResponse, Status> {
        let mut demands = demands(request.options).map_err(invalid)?;
        let demanded = demands.expect.is_some();
        loop {
            let (mut settings, version) = self.read(|state| (*state.settings(), state.settings_version())).await?;
            change(&mut settings, &request.settings).map_err(invalid)?;
            if !demanded {
                demands.expect = Some(version.0);
            }
            match self.write(call, Change::new(Command::SetSettings { settings }, demands.clone())).await {
                // Somebody else was faster, and the caller has not said that this would matter.
                Err(status) if status.code() == tonic::Code::Aborted && !demanded && tokio::time::Instant::now() < call.end => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                reply => {
                    let reply = reply?;
                    return Ok(wire::SetSettingsResponse { settings: listed(&settings), version: reply.stamp(), changed: reply.changed() });
                }
            }
        }
    }
}

fn listed(settings: &MeshSettings) -> Vec<wire::Setting> {
    let default = MeshSettings::default();
    let row = |known: &Known| wire::Setting {
        name: known.name.into(),
        value: (known.get)(settings),
        default: (known.get)(&default),
        meaning: known.meaning.into(),
    };
    KNOWN.iter().map(row).collect()
}

fn change(settings: &mut MeshSettings, wanted: &HashMap<String, String>) -> Result<(), FieldError> {
    if wanted.is_empty() {
        return Err(FieldError::new("settings", "names no setting; `dynomesh settings list` names all"));
    }
    for (name, value) in wanted {
        let field = format!("settings[{name}]");
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
            return Err(FieldError::new(field, format!("is not known; must be one of {}", names.join(", "))));
        };
        (known.set)(settings, value.trim()).map_err(|problem| FieldError::new(field, problem))?;
    }
    settings.check().map_err(|invalid| FieldError::new(format!("settings[{}]", invalid.what), &invalid))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} must be a whole number"))
}

fn span<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{error}"))
}

fn mode(text: &str) -> Result<Rebalance, String> {
    match text {
        "manual" => Ok(Rebalance::Manual),
        "auto" => Ok(Rebalance::Auto),
        other => Err(format!("{other:?} must be manual or auto")),
    }
}

fn word(mode: Rebalance) -> &'static str {
    match mode {
        Rebalance::Manual => "manual",
        Rebalance::Auto => "auto",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<MeshSettings, FieldError> {
        let mut settings = MeshSettings::default();
        change(&mut settings, &HashMap::from([(name.to_owned(), value.to_owned())])).map(|()| settings)
    }

    #[test]
    fn every_setting_takes_back_what_it_tells() {
        let settings = MeshSettings::default();
        for row in listed(&settings) {
            assert_eq!(set(&row.name, &row.value).unwrap(), settings, "{}", row.name);
            assert_eq!(row.value, row.default);
        }
        assert_eq!(set("rebalance", "auto").unwrap().rebalance, Rebalance::Auto);
        assert_eq!(set("drain", "5m").unwrap().drain, dynomesh_core::time::Span::from_secs(300));
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        for (name, value) in
            [("drain", "30"), ("drain", "25h"), ("group", "0"), ("group", "many"), ("rebalance", "on"), ("pace", "1ms"), ("x", "1")]
        {
            let error = set(name, value).unwrap_err();
            assert_eq!(error.field, format!("settings[{name}]"), "{error}");
        }
    }
}
