//! A request whose bytes go on: nothing changes but what must, and that stays JSON.

use vertex_bridge::chat::{Form, Outline};

use super::cut;
use super::exact_json::{Members, depth, is_json, is_named};
use super::request::refused;

/// What other gateways put behind ids, which is taken away.
const MARK: &str = "__thought__";

pub(super) fn request(data: &[u8]) {
    for form in [Form::CHAT, Form::COMPLETIONS, Form::EMBEDDINGS] {
        match Outline::parse(data, &form) {
            Ok(outline) => hold(&form, data, &outline),
            Err(error) => refused(&error),
        }
    }
}

fn hold(form: &Form, data: &[u8], outline: &Outline<'_>) {
    assert!(is_json(data), "what is not JSON passes");
    let text = std::str::from_utf8(data).expect("text");
    assert!(depth(text) <= 128, "what is too deep passes");
    assert_eq!(outline.body(), text);
    let end = u64::try_from(data.trim_ascii_end().len()).expect("a length");
    let torn = usize::try_from(cut::rng_of(data).below(end)).expect("a length");
    assert!(Outline::parse(&data[..torn], form).is_err(), "cut at {torn}");
    let members = Members::of(text);
    for guarded in ["model", form.payload, "stream", "stream_options"] {
        let all = members.named(guarded).count();
        let known = form.streams || !guarded.starts_with("stream");
        assert!(all <= 1 || !known, "{guarded} stands twice: {text}");
    }
    let model = members.named("model").next().expect("a model");
    assert_eq!(serde_json::from_str::<String>(model).expect("a string"), outline.model);
    for (model, ask) in [(&*outline.model, false), ("a/b-1", false), ("a/b-1", true)] {
        changed(form, outline, &members, (model, ask && form.streams));
    }
}

fn changed(form: &Form, outline: &Outline<'_>, before: &Members<'_>, (model, ask): (&str, bool)) {
    let text = outline.body();
    let mut out = Vec::new();
    let changes = outline.changes(model, ask);
    changes.apply(text.as_bytes(), &mut out);
    let out = std::str::from_utf8(&out).expect("text");
    let marked = text.contains(MARK);
    if model == outline.model && !ask && !marked {
        assert!(changes.is_empty(), "nothing is to be changed");
        assert_eq!(out, text);
    }
    let model = if model == outline.model { None } else { Some(format!("\"{model}\"")) };
    if let (Some(model), false, false) = (&model, ask, marked) {
        let value = before.named("model").next().expect("a model");
        let at = value.as_ptr() as usize - text.as_ptr() as usize;
        let (head, tail) = text.split_at(at);
        assert_eq!(out, [head, model, tail.split_at(value.len()).1].concat());
    }
    let after = Members::of(out);
    assert!(is_json(out.as_bytes()) && after.0.len() >= before.0.len(), "{out}");
    for (old, new) in before.0.iter().zip(&after.0) {
        assert_eq!(old.0, new.0, "the order of the fields");
        let may_change = marked && is_named(old.0, form.payload);
        match &model {
            Some(model) if is_named(old.0, "model") => assert_eq!(new.1, model),
            _ if may_change || ask && is_named(old.0, "stream_options") => {}
            _ => assert_eq!(old.1, new.1, "{}", old.0),
        }
    }
    if !ask {
        return assert_eq!(before.0.len(), after.0.len());
    }
    let had = before.named("stream_options").count();
    assert_eq!(after.0.len(), before.0.len() + 1 - had);
    let options = Members::of(after.named("stream_options").next().expect("options"));
    assert_eq!(options.named("include_usage").last(), Some("true"), "{out}");
}
