//! Lists: what runs, what has ended, upstreams, shards, errors. A narrow screen has fewer columns;
//! a low one has fewer rows, and tells how many are missing.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::ask::{Asked, Ended, Running};
use super::figures::{Figures, Shard, real};
use super::sight::Sight;
use super::words::{NONE, count, fit, micros, money, short, span, time};

pub(super) const QUIET: Style = Style::new().fg(Color::DarkGray);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const FAIR: Style = Style::new().fg(Color::Yellow);
pub(super) const BAD: Style = Style::new().fg(Color::Red);

/// A column of a table. The first ones are the most important.
struct Column<T> {
    name: &'static str,
    width: u16,
    /// May it have what is left over?
    grows: bool,
    cell: fn(&T) -> Cell<'static>,
}

const fn column<T>(name: &'static str, width: u16, cell: fn(&T) -> Cell<'static>) -> Column<T> {
    Column { name, width, grows: false, cell }
}

const fn growing<T>(name: &'static str, width: u16, cell: fn(&T) -> Cell<'static>) -> Column<T> {
    Column { name, width, grows: true, cell }
}

const RUNNING: [Column<Running>; 5] = [
    column("running", 8, |one| span(Some(real(one.age_ms))).into()),
    growing("model", 16, |one| model(&one.model, &one.route)),
    column("request", 30, |one| one.id.clone().into()),
    column("upstream", 12, |one| one.upstream.clone().into()),
    column("key", 20, |one| one.key.clone().into()),
];

const ENDED: [Column<Ended>; 14] = [
    column("ended", 8, |one| time(one.started_ms + one.phases_us.total / 1000).into()),
    column("status", 6, status),
    growing("model", 16, |one| model(&one.model, &one.route)),
    column("total", 8, |one| micros(one.phases_us.total).into()),
    column("first", 8, |one| micros(one.phases_us.first_token).into()),
    column("in", 6, |one| count(one.tokens.prompt).into()),
    column("out", 6, |one| count(one.tokens.completion).into()),
    column("cost", 9, |one| money(one.cost_usd.as_deref()).into()),
    column("upstream", 12, |one| one.upstream.clone().into()),
    column("cause", 20, |one| one.cause.clone().into()),
    column("key", 14, |one| one.key.clone().into()),
    column("queued", 8, |one| micros(one.phases_us.queue).into()),
    column("vendor", 8, |one| micros(one.phases_us.upstream).into()),
    column("request", 30, |one| one.id.clone().into()),
];

/// What runs, the oldest first.
pub(super) fn draw_running(frame: &mut Frame<'_>, last: &Asked, area: Rect) {
    draw_table(frame, &RUNNING, &last.running, area);
}

/// What has ended, the newest first.
pub(super) fn draw_ended(frame: &mut Frame<'_>, last: &Asked, area: Rect) {
    draw_table(frame, &ENDED, &last.ended, area);
}

/// As many columns as there is room for, and as many rows.
fn draw_table<T>(frame: &mut Frame<'_>, columns: &[Column<T>], data: &[T], area: Rect) {
    let mut used = 0;
    let fitting = columns.iter().take_while(|column| {
        used += column.width + 1;
        used <= area.width.saturating_add(1)
    });
    let fitting: Vec<_> = fitting.collect();
    let widths = fitting.iter().map(|column| match column.grows {
        true => Constraint::Min(column.width),
        false => Constraint::Length(column.width),
    });
    let names = Row::new(fitting.iter().map(|column| column.name)).style(QUIET);
    let rows = data.iter().take(usize::from(area.height));
    let rows = rows.map(|one| Row::new(fitting.iter().map(|column| (column.cell)(one))));
    frame.render_widget(Table::new(rows, widths).header(names), area);
}

fn status(one: &Ended) -> Cell<'static> {
    let style = match one.ending.as_str() {
        "answered" => GOOD,
        "client_cancelled" => QUIET,
        _ => BAD,
    };
    let text = match one.ending.as_str() {
        "broken" => "broken".to_owned(),
        "client_cancelled" => "left".to_owned(),
        _ => one.status.to_string(),
    };
    Cell::from(text).style(style)
}

/// What the upstream was asked for; the route before anybody was.
fn model(model: &str, route: &str) -> Cell<'static> {
    Cell::from(if model.is_empty() { route.to_owned() } else { model.to_owned() })
}

/// How many rows the longest of the lists beside each other has.
pub(super) fn longest(last: &Asked) -> usize {
    let Asked { upstreams, figures, .. } = last;
    upstreams.len().max(figures.shards.len()).max(figures.errors().len())
}

/// Each upstream with its state, which is never cut off.
pub(super) fn draw_upstreams(frame: &mut Frame<'_>, last: &Asked, area: Rect) {
    let rows = last.upstreams.iter().map(|upstream| {
        let style = match upstream.status.as_str() {
            "usable" => GOOD,
            "circuit_half_open" => FAIR,
            _ => BAD,
        };
        let status = upstream.status.replace('_', " ");
        let room = usize::from(area.width).saturating_sub(status.len() + 1);
        let name = format!("{} ", fit(&upstream.name, room));
        Line::from(vec![Span::raw(name), Span::styled(status, style)])
    });
    draw_list(frame, "upstreams".to_owned(), rows.collect(), area);
}

/// Each shard: how busy its core is, requests per second, what runs, connections.
pub(super) fn draw_shards(frame: &mut Frame<'_>, sight: &Sight, last: &Asked, area: Rect) {
    let name = format!("{:<5} {:>4} {:>6} {:>4} {:>5}", "shard", "busy", "req/s", "run", "conn");
    let rows = last.figures.shards.iter().enumerate().map(|(place, shard)| {
        let before = sight
            .pair()
            .and_then(|(now, before)| Some((before.shards.get(place)?, now.seconds_since(before))));
        let before = before.filter(|(_, seconds)| *seconds > 0.0);
        let busy = before.and_then(|(before, seconds)| busy(shard, before, seconds));
        let rate = before.map(|(before, seconds)| {
            short(real(shard.requests.saturating_sub(before.requests)) / seconds)
        });
        let shown = |figure: Option<String>| figure.unwrap_or_else(|| NONE.to_owned());
        Line::from(format!(
            "{:<5} {:>4} {:>6} {:>4} {:>5}",
            shard.shard,
            shown(busy.map(|share| format!("{share:.0}%"))),
            shown(rate),
            count(shard.in_flight),
            count(shard.connections_open)
        ))
    });
    draw_list(frame, name, rows.collect(), area);
}

/// The part of the time that a shard has spent on its core, in percent.
fn busy(now: &Shard, before: &Shard, seconds: f64) -> Option<f64> {
    let micros = now.busy_us?.saturating_sub(before.busy_us?);
    Some(real(micros) / 10_000.0 / seconds)
}

/// What has gone wrong since the start, the most frequent first.
pub(super) fn draw_errors(frame: &mut Frame<'_>, figures: &Figures, area: Rect) {
    let room = usize::from(area.width).saturating_sub(7);
    let errors = figures.errors().into_iter().map(|(cause, times)| {
        let cause = fit(&cause, room);
        Line::from(vec![Span::styled(format!("{:>6} ", count(times)), BAD), Span::raw(cause)])
    });
    let mut errors: Vec<Line<'_>> = errors.collect();
    if errors.is_empty() {
        errors.push(Line::from(Span::styled("  none", QUIET)));
    }
    draw_list(frame, "errors since the start".to_owned(), errors, area);
}

fn draw_list(frame: &mut Frame<'_>, name: String, mut rows: Vec<Line<'_>>, area: Rect) {
    let room = usize::from(area.height.saturating_sub(1));
    if rows.len() > room && room > 0 {
        let missing = rows.len() - (room - 1);
        rows.truncate(room - 1);
        rows.push(Line::from(Span::styled(format!("… {missing} more"), QUIET)));
    }
    rows.insert(0, Line::from(Span::styled(name, QUIET)));
    frame.render_widget(Paragraph::new(rows), area);
}
