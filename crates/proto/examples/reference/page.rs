//! A Markdown page from the compiled description of the admin API, whose comments travel with it.
//!
//! A call is told with its request and its answer; what several calls share comes after them. The page holds nothing that the wire file
//! does not say, so that there is one place to write it.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};

const PACKAGE: &str = "dynomesh.admin.v1";

/// Numbers of the parts of a description, by which the places of comments are told.
const SYNTAX: i32 = 12;
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const PARTS: i32 = 2;

/// The page.
pub(crate) fn page(descriptors: &[u8]) -> String {
    let set = FileDescriptorSet::decode(descriptors).expect("the description was compiled with this program");
    let file = set.file.iter().find(|file| file.package() == PACKAGE).expect("the admin API is part of the description");
    Page { file, comments: comments(file) }.write()
}

struct Page<'f> {
    file: &'f FileDescriptorProto,
    comments: BTreeMap<&'f [i32], String>,
}

/// Comments by the place they stand above.
fn comments(file: &FileDescriptorProto) -> BTreeMap<&[i32], String> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.map(|location| (location.path.as_slice(), location.leading_comments().trim().to_owned())).collect()
}

impl Page<'_> {
    fn write(&self) -> String {
        let mut page = format!(
            "# The admin API\n\nWritten by `cargo run -p dynomesh-proto --example reference > docs/api.md` from\n`proto/dynomesh/admin/v1/admin.proto`; a test keeps it so. Each call has a command: see [the command line](cli.md).\n\n{}\n",
            lines(self.comment(&[SYNTAX]))
        );
        page += &self.service();
        page += "\n## What calls share\n";
        for (n, message) in (0..).zip(&self.file.message_type) {
            if !self.of_one_call(message.name()) {
                page += &format!("\n### {}\n{}\n\n{}", message.name(), self.line(&[MESSAGES, n]), self.fields(n, message));
            }
        }
        page += &self.enums();
        page
    }

    /// The service: a table of all calls, then each with its request and its answer.
    fn service(&self) -> String {
        let service = &self.file.service[0];
        let mut table = format!("\n## Calls\n{}\n\n| call | role | what it does |\n|---|---|---|\n", lines(self.comment(&[SERVICES, 0])));
        let mut sections = String::new();
        for (n, method) in (0..).zip(&service.method) {
            let comment = self.line(&[SERVICES, 0, PARTS, n]);
            let (role, text) = comment.split_once(". ").unwrap_or(("", &comment));
            let first = text.split_once(". ").map_or(text.to_owned(), |(first, _)| format!("{first}."));
            table += &format!("| [{name}](#{link}) | {role} | {first} |\n", name = method.name(), link = method.name().to_lowercase());
            sections += &format!("\n### {}\nRole: {role}. {text}\n", method.name());
            sections += &self.side("Request", method.input_type(), false);
            sections += &self.side("Answer", method.output_type(), streamed(method));
        }
        table + &sections
    }

    /// One side of a call: its fields, or where they are told if it is shared.
    fn side(&self, side: &str, full: &str, streamed: bool) -> String {
        let name = short(full);
        let stream = if streamed { "a stream of " } else { "" };
        if !self.of_one_call(name) {
            return format!("\n{side}: {stream}[{name}](#{}).\n", name.to_lowercase());
        }
        let (n, message) =
            (0..).zip(&self.file.message_type).find(|(_, message)| message.name() == name).expect("calls name known messages");
        format!("\n{side}: `{name}`{}\n{}", if message.field.is_empty() { ", without fields." } else { "\n" }, self.fields(n, message))
    }

    fn fields(&self, n: i32, message: &DescriptorProto) -> String {
        if message.field.is_empty() {
            return String::new();
        }
        let mut table = String::from("| field | type | number | meaning |\n|---|---|---|---|\n");
        for (place, field) in (0..).zip(&message.field) {
            let meaning = self.line(&[MESSAGES, n, PARTS, place]);
            table += &format!("| `{}` | {} | {} | {meaning} |\n", field.name(), kind(field, message), field.number());
        }
        table
    }

    fn enums(&self) -> String {
        let mut text = String::new();
        for (n, words) in (0..).zip(&self.file.enum_type) {
            text += &format!("\n### {}\n{}\n\n| value | number | meaning |\n|---|---|---|\n", words.name(), self.line(&[ENUMS, n]));
            for (place, word) in (0..).zip(&words.value) {
                text += &format!("| `{}` | {} | {} |\n", word.name(), word.number(), self.line(&[ENUMS, n, PARTS, place]));
            }
        }
        text
    }

    /// Whether a message is the request or the answer of a call and no part of another message.
    fn of_one_call(&self, name: &str) -> bool {
        let mut methods = self.file.service[0].method.iter();
        let side = methods.any(|method| short(method.input_type()) == name || short(method.output_type()) == name);
        side && (name.ends_with("Request") || name.ends_with("Response")) && !self.is_part(name)
    }

    /// Whether a message is a field of another.
    fn is_part(&self, name: &str) -> bool {
        self.file.message_type.iter().flat_map(|message| &message.field).any(|field| short(field.type_name()) == name)
    }

    fn comment(&self, place: &[i32]) -> &str {
        self.comments.get(place).map(String::as_str).unwrap_or_default()
    }

    /// A comment as one line, fit for a table.
    fn line(&self, place: &[i32]) -> String {
        self.comment(place).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
    }
}

/// A comment with its lines as they were broken, without the space that follows the slashes.
fn lines(comment: &str) -> String {
    comment.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn streamed(method: &MethodDescriptorProto) -> bool {
    method.server_streaming()
}

/// A name without its package.
fn short(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

/// A field's type in words.
fn kind(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let name = short(field.type_name());
    let entry = message.nested_type.iter().find(|nested| nested.name() == name);
    if let Some([key, value]) = entry.map(|entry| entry.field.as_slice()) {
        return format!("map of {} to {}", kind(key, message), kind(value, message));
    }
    let one = match field.r#type() {
        Type::Message | Type::Enum => format!("[{name}](#{})", name.to_lowercase()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("list of {one}"),
        _ if field.proto3_optional() => format!("optional {one}"),
        _ => one,
    }
}
