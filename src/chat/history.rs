//! The conversation in the steps that vendors want: neighbours of one role together, and the
//! results of tools matched with their calls.

use std::ops::Range;

use smallvec::SmallVec;

use super::problem::{ChatError, Problem};
use super::turn::{Call, Role, Turn};

/// Where a call stands: its turn, and its place among the calls of the turn.
pub type Place = (usize, usize);

/// One step of a conversation. Ranges are of the request's turns and may hold system turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the user says.
    User(Range<usize>),
    /// What the model said, and which tools it called.
    Model(Range<usize>),
    /// What the tools answered: pairs of the call (turn, place) and the answering turn, in the
    /// order of the calls.
    Results(Vec<(Place, usize)>),
}

/// The steps of one conversation; short ones cost no allocation.
pub type Steps = SmallVec<[Step; 4]>;

/// Splits a conversation into steps.
///
/// # Errors
/// When results and calls do not match: vendors refuse that with worse words.
pub fn steps(turns: &[Turn<'_>]) -> Result<Steps, ChatError> {
    let mut steps = Steps::with_capacity(turns.len());
    let mut at = 0;
    // The calls of the last model step that nobody has answered yet.
    let mut open: Vec<Place> = Vec::new();
    while let Some(turn) = turns.get(at) {
        if turn.role == Role::System {
            at += 1;
            continue;
        }
        let run = at..run_end(turns, at, turn.role);
        at = run.end;
        match turn.role {
            Role::Tool => {
                steps.push(Step::Results(results(turns, run, std::mem::take(&mut open))?));
            }
            Role::Assistant => {
                let calls = |index: usize| turns.get(index).map_or(0, |turn| turn.calls.len());
                open = run.clone().flat_map(|i| (0..calls(i)).map(move |call| (i, call))).collect();
                steps.push(Step::Model(run));
            }
            Role::User | Role::System => {
                if let Some(unanswered) = open.first() {
                    return Err(missing(turns, *unanswered));
                }
                steps.push(Step::User(run));
            }
        }
    }
    Ok(steps)
}

/// The end of the run of turns of one role that begins at `from`; system turns do not end it.
fn run_end(turns: &[Turn<'_>], from: usize, role: Role) -> usize {
    let mut end = from;
    for (index, turn) in turns.iter().enumerate().skip(from) {
        if turn.role == role {
            end = index + 1;
        } else if turn.role != Role::System {
            break;
        }
    }
    end
}

fn results(
    turns: &[Turn<'_>],
    run: Range<usize>,
    mut open: Vec<Place>,
) -> Result<Vec<(Place, usize)>, ChatError> {
    let mut pairs = Vec::with_capacity(open.len());
    for (index, turn) in run.filter_map(|index| Some((index, turns.get(index)?))) {
        if turn.role != Role::Tool {
            continue;
        }
        let answered =
            |place: &Place| call(turns, *place).is_some_and(|call| Some(call.id) == turn.answers);
        let Some(found) = open.iter().position(answered) else {
            let what = "the id of a call of the message before that has no result yet";
            let param = format!("messages[{index}].tool_call_id");
            return Err(ChatError::at(param, Problem::Expected(what)));
        };
        pairs.push((open.remove(found), index));
    }
    if let Some(unanswered) = open.first() {
        return Err(missing(turns, *unanswered));
    }
    pairs.sort_unstable();
    Ok(pairs)
}

/// The call at a place.
pub fn call<'t, 'b>(turns: &'t [Turn<'b>], (turn, place): Place) -> Option<&'t Call<'b>> {
    turns.get(turn)?.calls.get(place)
}

fn missing(turns: &[Turn<'_>], (turn, place): Place) -> ChatError {
    let id = call(turns, (turn, place)).map(|call| call.id.unescape()).unwrap_or_default();
    let id: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    let param = format!("messages[{turn}].tool_calls[{place}] ({id})");
    ChatError::at(param, Problem::Expected("answered by a tool message right behind it"))
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::*;

    fn split(messages: &str) -> Result<Steps, ChatError> {
        let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
        steps(&Request::parse(body.as_bytes()).unwrap().turns)
    }

    const USER: &str = r#"{"role":"user","content":"x"}"#;
    const SYSTEM: &str = r#"{"role":"system","content":"x"}"#;

    fn calls(ids: &[&str]) -> String {
        let calls = ids.iter().map(|id| {
            format!(r#"{{"id":"{id}","type":"function","function":{{"name":"f","arguments":""}}}}"#)
        });
        let calls: Vec<String> = calls.collect();
        format!(r#"{{"role":"assistant","tool_calls":[{}]}}"#, calls.join(","))
    }

    fn result(id: &str) -> String {
        format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#)
    }

    #[test]
    fn results_stand_in_the_order_of_the_calls() {
        let messages =
            [USER, SYSTEM, USER, &calls(&["a"]), &calls(&["b"]), &result("b"), &result("a"), USER]
                .join(",");
        let expected = [
            Step::User(0..3),
            Step::Model(3..5),
            Step::Results(vec![((3, 0), 6), ((4, 0), 5)]),
            Step::User(7..8),
        ];
        assert_eq!(split(&messages).unwrap().as_slice(), expected);
    }

    #[test]
    fn ids_may_come_again_in_a_later_round() {
        let round = [calls(&["a", "a"]), result("a"), result("a")].join(",");
        assert!(split(&[USER, &round, &round].join(",")).is_ok());
        assert!(split(&[USER, &calls(&["a"])].join(",")).is_ok(), "the vendor may judge the last");
    }

    #[test]
    fn missing_and_surplus_results_are_named() {
        let param = |messages: &[&str]| split(&messages.join(",")).unwrap_err().param;
        let both = calls(&["a", "b"]);
        assert_eq!(param(&[USER, &both, &result("a")]), "messages[1].tool_calls[1] (b)");
        assert_eq!(param(&[USER, &both, USER]), "messages[1].tool_calls[0] (a)");
        let surplus = [USER, &calls(&["a"]), &result("a"), &result("a")];
        assert_eq!(param(&surplus), "messages[3].tool_call_id");
        assert_eq!(param(&[USER, &result("z")]), "messages[1].tool_call_id");
    }
}
