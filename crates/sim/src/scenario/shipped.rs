//! The studies that come with the program, so that every figure of the documentation can be had again by its name.

/// A scenario file of `studies/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name: that of its file, and the `name` in it.
    pub name: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

macro_rules! studies {
    ($($name:literal)*) => {
        /// All of them, in the order of a list.
        pub const STUDIES: &[Shipped] = &[$(Shipped { name: $name, text: include_str!(concat!("../../studies/", $name, ".toml")) },)*];
    };
}

studies! {
    "policy"
    "ablation"
    "edges"
    "load"
    "field-load"
    "field-blocks"
    "field-hold"
    "gossip"
    "apps"
    "concurrent"
    "hedging"
    "slow"
    "zones"
    "crashes"
    "moves"
    "moves-cost"
    "overlap"
    "pins"
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::scenario::{Scenario, Size, run};

    /// Enough for every part of a stack to be run through.
    const TINY: Size = Size { seeds: Some(2), first_seed: None, requests: Some(400) };

    #[test]
    fn every_study_can_be_run_as_it_is_written() {
        for study in STUDIES {
            let scenario = Scenario::parse(study.name, study.text, Size::default()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, study.name, "the name in the file is that of the file");
            assert!(scenario.seeds >= 12, "{}: too few seeds for a claim", study.name);
            let tiny = Scenario::parse(study.name, study.text, TINY).unwrap();
            let results = run(&tiny, NonZero::new(2).unwrap(), || ());
            assert!(results.lines.iter().all(|line| line.spread.max.mean > 0.0), "{}: nothing was served", study.name);
        }
    }

    #[test]
    fn every_file_is_shipped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/studies");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap().replace(".toml", "")).collect();
        let mut shipped: Vec<&str> = STUDIES.iter().map(|study| study.name).collect();
        files.sort_unstable();
        shipped.sort_unstable();
        assert_eq!(files, shipped);
    }
}
