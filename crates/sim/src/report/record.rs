//! Results as programs read them: one record per line of a table, as JSON objects or as lines of CSV.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A figure; one that is not a number, such as the width of an interval from a single run, is `null` in JSON and empty in CSV.
    Number(f64),
    /// Fields that belong together: an object in JSON, in CSV a column each, named `group_field`.
    Group(Record),
}

/// Named fields in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record(Vec<(String, Value)>);

impl Record {
    /// The same with one more field.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The fields one by one, groups taken apart.
    fn flat(&self) -> Vec<(String, String)> {
        let field = |(name, value): &(String, Value)| match value {
            Value::Text(text) => vec![(name.clone(), text.clone())],
            Value::Count(count) => vec![(name.clone(), count.to_string())],
            Value::Number(number) => vec![(name.clone(), if number.is_finite() { number.to_string() } else { String::new() })],
            Value::Group(group) => group.flat().into_iter().map(|(field, text)| (format!("{name}_{field}"), text)).collect(),
        };
        self.0.iter().flat_map(field).collect()
    }
}

/// An array of objects, one per record.
pub fn json(records: &[Record]) -> String {
    serde_json::to_string_pretty(records).expect("texts and numbers under text keys are always JSON") + "\n"
}

/// A head and a line per record, after RFC 4180. All records have the same fields; where one lacks a field, its cell is empty.
pub fn csv(records: &[Record]) -> String {
    let lines: Vec<Vec<(String, String)>> = records.iter().map(Record::flat).collect();
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in lines.iter().flatten() {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let cell = |line: &[(String, String)], column: &str| {
        let found = line.iter().find(|(name, _)| name == column);
        found.map(|(_, text)| quoted(text)).unwrap_or_default()
    };
    let head: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let mut text = head.join(",") + "\n";
    for line in &lines {
        let cells: Vec<String> = columns.iter().map(|column| cell(line, column)).collect();
        text += &(cells.join(",") + "\n");
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

// === impl conversions ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Value::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl From<Record> for Value {
    fn from(group: Record) -> Self {
        Value::Group(group)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Text(text) => text.serialize(serializer),
            Value::Count(count) => count.serialize(serializer),
            Value::Number(number) => number.serialize(serializer),
            Value::Group(group) => group.serialize(serializer),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_the_order_of_their_fields_and_groups_become_columns() {
        let half = |p50: f64| Record::default().with("p50", p50);
        let records = [
            Record::default().with("variant", "two, \"fresh\"").with("requests", 7u64).with("p50", 93.5).with("half", half(0.25)),
            Record::default().with("variant", "one").with("requests", 8u64).with("p50", 1.0).with("half", half(f64::INFINITY)),
        ];
        assert_eq!(csv(&records), "variant,requests,p50,half_p50\n\"two, \"\"fresh\"\"\",7,93.5,0.25\none,8,1,\n");
        let json: String = json(&records[1..]).split_whitespace().collect();
        assert_eq!(json, r#"[{"variant":"one","requests":8,"p50":1.0,"half":{"p50":null}}]"#);
    }
}
