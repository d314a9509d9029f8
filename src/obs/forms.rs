//! The two text forms of a scrape, from the one that the library writes (`OpenMetrics` 1.0 without
//! exemplars): that one with exemplars, and the older one of Prometheus (0.0.4), which knows no
//! exemplars and names counters with their suffix.

use std::fmt::Write as _;

use super::seen::{Exemplars, Last};

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What every reader of Prometheus's format takes.
    Classic,
    /// `OpenMetrics`, with exemplars.
    Open,
}

/// All labels of an exemplar together have at most so many characters.
const LABELS_MAX: usize = 128;

/// Writes the older form.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 1024);
    let mut counter = "";
    for line in open.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| {
            let (keyword, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            Some((keyword, name, rest))
        });
        match comment {
            Some((keyword, name, rest)) => {
                // The type of a family stands behind its help, but one look ahead is enough.
                let is_counter = counter == name || is_counter(open, name);
                counter = if is_counter { name } else { "" };
                let suffix = if is_counter { "_total" } else { "" };
                let _infallible = writeln!(text, "# {keyword} {name}{suffix} {rest}");
            }
            None if line == "# EOF" => {}
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn is_counter(open: &str, name: &str) -> bool {
    let mark = format!("# TYPE {name} ");
    open.split_once(&mark).is_some_and(|(_, rest)| rest.starts_with("counter"))
}

/// Adds exemplars to the buckets that have one.
pub(super) fn with_exemplars(open: &str, exemplars: &Exemplars) -> String {
    let families = [
        ("http_request_duration_seconds_bucket{", &exemplars.total),
        ("vertex_bridge_request_duration_seconds_bucket{", &exemplars.total),
        ("vertex_bridge_time_to_first_token_seconds_bucket{", &exemplars.first_token),
        ("vertex_bridge_gateway_overhead_seconds_bucket{", &exemplars.overhead),
    ];
    let mut text = String::with_capacity(open.len() + 8 * 1024);
    let mut place = 0;
    for line in open.lines() {
        text.push_str(line);
        let family = families.iter().find(|(start, _)| line.starts_with(start));
        match family {
            Some((_, last)) => {
                push(last, place, &mut text);
                place += 1;
            }
            None => place = 0,
        }
        text.push('\n');
    }
    text
}

fn push(last: &Last, place: usize, text: &mut String) {
    let Some(exemplar) = last.get(place).and_then(Option::as_ref) else { return };
    let mut labels = String::new();
    // `request_id` and `trace_id` with their values; a client's own id may be too long for both.
    if "request_id".len() + exemplar.id.len() <= LABELS_MAX {
        let _infallible = write!(labels, "request_id=\"{}\"", exemplar.id);
    }
    let both = "request_idtrace_id".len() + exemplar.id.len() + 32 <= LABELS_MAX;
    if exemplar.trace != 0 && (both || labels.is_empty()) {
        let comma = if labels.is_empty() { "" } else { "," };
        let _infallible = write!(labels, "{comma}trace_id=\"{:032x}\"", exemplar.trace);
    }
    let (seconds, millis) = (exemplar.at_ms / 1000, exemplar.at_ms % 1000);
    let value = exemplar.seconds;
    let _infallible = write!(text, " # {{{labels}}} {value} {seconds}.{millis:03}");
}

#[cfg(test)]
mod tests {
    use super::super::seen::Exemplar;
    use super::*;

    const OPEN: &str = "# HELP requests API requests.\n# TYPE requests counter\n\
                        requests_total 4\n# HELP g A gauge.\n# TYPE g gauge\ng 1.0\n\
                        # HELP vertex_bridge_request_duration_seconds D.\n\
                        # TYPE vertex_bridge_request_duration_seconds histogram\n\
                        vertex_bridge_request_duration_seconds_sum 0.3\n\
                        vertex_bridge_request_duration_seconds_bucket{le=\"0.00025\"} 0\n\
                        vertex_bridge_request_duration_seconds_bucket{le=\"0.0005\"} 1\n# EOF\n";

    #[test]
    fn the_older_form_names_counters_as_their_samples() {
        let text = classic(OPEN);
        assert!(text.starts_with("# HELP requests_total API requests.\n# TYPE requests_total counter\nrequests_total 4\n# HELP g "), "{text}");
        assert!(!text.contains("EOF") && text.contains("# TYPE g gauge\ng 1.0\n"), "{text}");
    }

    #[test]
    fn a_bucket_leads_to_its_last_exchange() {
        let mut exemplars = Exemplars::default();
        let exemplar = |id: &str| Exemplar {
            id: id.to_owned(),
            trace: 0xab,
            seconds: 0.0004,
            at_ms: 1_700_000_000_042,
        };
        exemplars.total[1] = Some(exemplar("req_1"));
        let text = with_exemplars(OPEN, &exemplars);
        let line = "le=\"0.0005\"} 1 # {request_id=\"req_1\",\
                    trace_id=\"000000000000000000000000000000ab\"} 0.0004 1700000000.042\n# EOF\n";
        assert!(text.ends_with(line), "{text}");
        assert_eq!(text.matches(" # {").count(), 1);
        for (length, want) in [(78, "request_id=\"i"), (118, "request_id=\"i"), (119, "trace_id=")]
        {
            exemplars.total[1] = Some(exemplar(&"i".repeat(length)));
            let text = with_exemplars(OPEN, &exemplars);
            let (_, labels) = text.split_once(" # {").expect("an exemplar");
            assert!(labels.starts_with(want), "{length}: {labels}");
            let (labels, _) = labels.split_once('}').expect("an end");
            let said = labels.replace(['=', '"', ','], "").len();
            assert!(said <= LABELS_MAX, "{said}");
        }
    }
}
