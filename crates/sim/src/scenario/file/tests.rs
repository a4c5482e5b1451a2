//! Scenarios as they are written, good ones and bad ones.

use super::*;

const HEAD: &str = "name = \"a\"\ntitle = \"A\"\nquestion = \"Why?\"\n";

fn parse(rest: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("a.toml", &format!("{HEAD}{rest}"), Size::default())
}

#[test]
fn variants_and_values_stand_over_the_base() {
    let scenario = parse(
        "seeds = 3\nfirst_seed = 100\n\
         [base]\nload = 0.8\nblocks = 5\n\
         [[variant]]\nname = \"short hold\"\nhold = \"10ms\"\n\
         [[variant]]\nname = \"as it is\"\n\
         [sweep]\ndynos = [100, 200]\n\
         [plot]\nkind = \"percentiles\"\nfigure = \"p95\"\n",
    )
    .unwrap();
    let cases: Vec<_> =
        scenario.cases.iter().map(|case| (case.variant.as_str(), case.point, case.setup.dynos, case.setup.hold.as_millis())).collect();
    assert_eq!(
        cases,
        [
            ("short hold", Some(0), 100, 10),
            ("short hold", Some(1), 200, 10),
            ("as it is", Some(0), 100, 1000),
            ("as it is", Some(1), 200, 1000)
        ]
    );
    assert!(scenario.cases.iter().all(|case| (case.setup.load, case.setup.blocks) == (0.8, 5)));
    assert_eq!((scenario.seeds, scenario.first_seed, scenario.plot.figure, scenario.runs()), (3, 100, Figure::P95, 12));
    let axis = scenario.axis.unwrap();
    assert_eq!((axis.setting.as_str(), axis.points[1].number), ("dynos", Some(200.0)));
}

#[test]
fn a_scenario_without_variants_is_one_itself() {
    let scenario = parse("").unwrap();
    assert_eq!((scenario.cases.len(), scenario.seeds, scenario.plot.kind), (1, 12, PlotKind::Cdf));
    assert_eq!(scenario.cases[0].setup, Setup::default());
}

#[test]
fn the_command_line_stands_over_the_file() {
    let text = format!("{HEAD}seeds = 3\n[base]\nrequests = 5000\n");
    let scenario = Scenario::parse("a.toml", &text, Size { seeds: Some(2), requests: Some(600), ..Size::default() }).unwrap();
    assert_eq!((scenario.seeds, scenario.cases[0].setup.requests), (2, 600));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_was_expected() {
    for (rest, line, told) in [
        ("sedes = 3\n", 4, &["unknown field `sedes`", "seeds"][..]),
        ("seeds = 0\n", 4, &["seeds = 0: must be from 1 to 10000"]),
        ("seeds = -1\n", 4, &["-1", "u64"]),
        ("seeds = 1000000\n", 4, &["from 1 to 10000"]),
        ("[base\n", 4, &["]"]),
        ("[base]\nload = 0.5\nlaod = 0.7\n", 6, &["unknown field `laod`", "load"]),
        ("[base]\nload = \"much\"\n", 5, &["load:", "much", "f64"]),
        ("[base]\nload = nan\n", 5, &["load = NaN: must be a number above 0"]),
        ("[base]\n\nload = 1.5\n", 6, &["load = 1.5: must be below 0.952", "overload = true"]),
        ("[base]\ndynos = 0\n", 5, &["dynos = 0: must be from 1"]),
        ("[base]\nhold = \"1.5s\"\n", 5, &["hold:", "1.5s", "250ms"]),
        ("[base]\nservice = \"20ms exp\"\n", 5, &["service:", "20ms+exp100ms"]),
        ("[base]\npolicy = \"magic\"\n", 5, &["policy:", "magic", "dynomesh"]),
        ("[base]\ndyno_failures = { up = \"exp20s\" }\n", 5, &["dyno_failures:", "missing field `down`"]),
        ("[base]\nblocks = 20\n[[variant]]\nname = \"few\"\ndynos = 10\n", 5, &["blocks = 20", "from 1 to 10"]),
        ("[[variant]]\nload = 0.5\n", 4, &["needs a name"]),
        ("[[variant]]\nname = 7\n", 5, &["is a text"]),
        ("[[variant]]\nname = \"a\"\n[[variant]]\nname = \"a\"\n", 7, &["each is given once"]),
        ("[[variant]]\nname = \"a\"\nload = 0.5\n[sweep]\nload = [0.5]\n", 6, &["load is what the sweep varies"]),
        ("[sweep]\n", 4, &["sweep one setting"]),
        ("[sweep]\nload = [0.5]\ndynos = [7]\n", 4, &["sweep one setting"]),
        ("[sweep]\nload = 0.5\n", 5, &["sweep one setting"]),
        ("[sweep]\nload = []\n", 5, &["sweep one setting"]),
        ("[sweep]\nlaod = [0.5]\n", 5, &["unknown field `laod`"]),
        ("[sweep]\nload = [0.5, -0.5]\n", 5, &["load = -0.5"]),
        ("[sweep]\nload = [0.5, \"x\"]\n", 5, &["load:", "x"]),
        ("[plot]\nkind = \"pie\"\n", 5, &["pie", "percentiles", "cdf", "timeline"]),
        ("[plot]\nkind = \"percentiles\"\n", 4, &["needs a [sweep]"]),
        ("[plot]\nkind = \"timeline\"\nfrom = \"5s\"\nto = \"4s\"\n", 4, &["from 5s must end later"]),
    ] {
        let said = parse(rest).expect_err(rest).to_string();
        assert!(said.starts_with(&format!("a.toml:{line}: ")), "{rest:?}: {said}");
        for part in told {
            assert!(said.contains(part), "{rest:?}: no {part:?} in {said}");
        }
        assert!(!said.contains('\n'), "{said}");
    }
    let nameless = Scenario::parse("b.toml", "title = \"A\"\nquestion = \"?\"\n", Size::default()).unwrap_err();
    assert!(nameless.to_string().contains("missing field `name`"), "{nameless}");
    let named = Scenario::parse("b.toml", &HEAD.replace("\"a\"", "\"A b\""), Size::default()).unwrap_err();
    assert!(named.to_string().starts_with("b.toml:1: name \"A b\" must be lower-case"), "{named}");
}

#[test]
fn overload_runs_if_it_is_meant() {
    parse("overload = true\n[base]\nload = 1.5\n").unwrap();
}
