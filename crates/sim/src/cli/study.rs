//! `dynomesh sim study`: the studies that come with the program.

use super::SimError;
use super::output::{self, Format};
use super::run::How;
use crate::report::{Grid, Record, Side};
use crate::scenario::{STUDIES, Scenario, ScenarioError, Size};

/// The name that stands for the list.
const LIST: &str = "list";

/// Run a study that comes with this program, or list them
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  dynomesh sim study                       list the studies
  dynomesh sim study load                  run one
  dynomesh sim study load --show           print its scenario file, to start one of your own from
  dynomesh sim study load --plot load.svg  run it and draw it")]
pub(super) struct StudyArgs {
    /// Which; `list` for what there is
    #[arg(value_name = "NAME", default_value = LIST)]
    name: String,
    /// Print the study's scenario file instead of running it
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    how: How,
}

pub(super) fn perform(args: &StudyArgs, format: Format) -> Result<(), SimError> {
    if args.name == LIST {
        return list(format);
    }
    let Some(study) = STUDIES.iter().find(|study| study.name == args.name) else {
        let known = STUDIES.iter().map(|study| study.name).collect();
        return Err(SimError::NoStudy { name: args.name.clone(), known });
    };
    if args.show {
        return output::stdout(study.text);
    }
    args.how.perform(&Scenario::parse(study.name, study.text, args.how.size())?, format)
}

fn list(format: Format) -> Result<(), SimError> {
    let mut grid = Grid::new(["study", "what it shows"].map(|head| (head.to_owned(), Side::Left)));
    let mut records = Vec::new();
    let scenarios: Result<Vec<Scenario>, ScenarioError> =
        STUDIES.iter().map(|study| Scenario::parse(study.name, study.text, Size::default())).collect();
    for Scenario { name, title, question, .. } in scenarios? {
        grid.push(vec![name.clone(), title.clone()]);
        records.push(Record::default().with("study", name.as_str()).with("title", title.as_str()).with("question", question.trim()));
    }
    output::write(format, "", &grid, "", &records)
}
