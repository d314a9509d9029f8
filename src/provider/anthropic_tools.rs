//! Tools and the choice among them in Anthropic's wire format
//! (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview>).

use crate::chat::{Tool, ToolChoice, Tools};
use crate::wire::json;

use super::anthropic_model::Service;
use super::dropped::Dropped;
use super::put::{name, quoted};

/// Appends `tools` and `tool_choice`. `budgeted` says that the model thinks within a budget, which
/// Anthropic does not allow beside a forced call.
pub(super) fn tools(
    tools: &Tools<'_>,
    (service, budgeted): (Service, bool),
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'_>,
) {
    let allowed = |tool: &&Tool<'_>| match &tools.choice {
        ToolChoice::Allowed { names, .. } => names.contains(&tool.name),
        _ => true,
    };
    let mut any = false;
    for tool in tools.list.iter().filter(allowed) {
        if any {
            out.push(b',');
        } else {
            name(b"tools", out);
            out.push(b'[');
        }
        any = true;
        push_tool(tool, service, out);
    }
    if !any {
        return;
    }
    out.push(b']');
    if service == Service::Vertex && tools.list.iter().any(|tool| tool.strict == Some(true)) {
        dropped.push("tools[].function.strict".into());
    }
    choice(tools, budgeted, out, dropped);
}

fn push_tool(tool: &Tool<'_>, service: Service, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    quoted(tool.name, out);
    if let Some(description) = tool.description {
        name(b"description", out);
        quoted(description, out);
    }
    name(b"input_schema", out);
    let schema = tool.parameters.unwrap_or("{\"type\":\"object\",\"properties\":{}}");
    out.extend_from_slice(schema.as_bytes());
    // Vertex AI has no structured output, of which this is a part.
    if tool.strict == Some(true) && service == Service::Api {
        name(b"strict", out);
        out.extend_from_slice(b"true");
    }
    if let Some(cache) = tool.cache {
        name(b"cache_control", out);
        out.extend_from_slice(cache.as_bytes());
    }
    out.push(b'}');
}

fn choice(tools: &Tools<'_>, budgeted: bool, out: &mut Vec<u8>, dropped: &mut Dropped<'_>) {
    let alone = tools.parallel == Some(false);
    let (mut kind, mut named) = match &tools.choice {
        // Only a choice can say that calls come one by one.
        ToolChoice::Unsaid if alone => ("auto", None),
        ToolChoice::Unsaid => return,
        ToolChoice::None => ("none", None),
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => ("auto", None),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(*name)),
    };
    if budgeted && matches!(kind, "any" | "tool") {
        dropped.push("tool_choice".into());
        (kind, named) = ("auto", None);
    }
    name(b"tool_choice", out);
    out.extend_from_slice(b"{\"type\":");
    json::push_string(out, kind);
    if let Some(tool) = named {
        name(b"name", out);
        quoted(tool, out);
    }
    if alone && kind != "none" {
        name(b"disable_parallel_tool_use", out);
        out.extend_from_slice(b"true");
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use crate::chat::Request;

    use super::*;

    fn pushed(rest: &str, budgeted: bool) -> (String, String) {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"a"}}}},{{"type":"function","function":{{"name":"b"}}}}]{rest}}}"#
        );
        let request = Request::parse(body.as_bytes()).unwrap();
        let (mut out, mut dropped, mut names) = (b"{".to_vec(), Dropped::default(), Vec::new());
        tools(&request.tools, (Service::Api, budgeted), &mut out, &mut dropped);
        dropped.render(&mut names);
        let text = String::from_utf8(out).unwrap();
        let (before, choice) = text.split_once(",\"tool_choice\":").unwrap_or((&text, ""));
        let names_of = before.split("{\"name\":\"").skip(1);
        let tools: String = names_of.filter_map(|rest| rest.chars().next()).collect();
        (format!("{tools} {choice}"), String::from_utf8(names).unwrap())
    }

    #[test]
    fn every_choice_has_its_word() {
        let allowed = |mode: &str| {
            format!(
                r#","tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"{mode}","tools":[{{"type":"function","function":{{"name":"b"}}}}]}}}}"#
            )
        };
        let named = r#","tool_choice":{"type":"function","function":{"name":"a"}}"#;
        let alone = r#","parallel_tool_calls":false"#;
        let alone_and = |choice: &str| format!(r#","tool_choice":"{choice}"{alone}"#);
        for (rest, expected) in [
            ("", "ab "),
            (r#","tool_choice":"none""#, r#"ab {"type":"none"}"#),
            (r#","tool_choice":"auto""#, r#"ab {"type":"auto"}"#),
            (r#","tool_choice":"required""#, r#"ab {"type":"any"}"#),
            (named, r#"ab {"type":"tool","name":"a"}"#),
            (&allowed("auto"), r#"b {"type":"auto"}"#),
            (&allowed("required"), r#"b {"type":"any"}"#),
            (r#","parallel_tool_calls":true"#, "ab "),
            (alone, r#"ab {"type":"auto","disable_parallel_tool_use":true}"#),
            (&alone_and("required"), r#"ab {"type":"any","disable_parallel_tool_use":true}"#),
            (&alone_and("none"), r#"ab {"type":"none"}"#),
        ] {
            assert_eq!(pushed(rest, false), (expected.to_owned(), String::new()), "{rest}");
        }
        let auto = (r#"ab {"type":"auto"}"#.to_owned(), "tool_choice".to_owned());
        assert_eq!(pushed(named, true), auto, "no forced call beside a budget");
        assert_eq!(pushed(r#","tool_choice":"required""#, true), auto);
        assert_eq!(pushed(r#","tool_choice":"none""#, true).1, "");
    }
}
