//! What is drawn. A narrow screen leaves columns out, a low one sections; nothing is drawn over.

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{self, Buffer};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::ask::Asked;
use super::figures::{Figures, Histogram};
use super::lists::{self, BAD, FAIR, GOOD, QUIET};
use super::sight::Sight;
use super::words::{NONE, age, count, short, span, time};

const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// What the figures of a tile need.
const TILE: usize = 12;

/// Below so many columns there is no room for the list of errors.
const WIDE: u16 = 70;

/// Below so many lines there is no room for the chart.
const TALL: u16 = 30;

/// Below so many lines there is no room for what runs.
const LOW: u16 = 20;

/// Draws everything that is known of the gateway at `url`.
pub(super) fn draw(frame: &mut Frame<'_>, sight: &Sight, url: &str, paused: bool) {
    let area = frame.area();
    let Some(last) = &sight.last else { return };
    let sections = heights(last, area.height).map(Constraint::Length);
    let [head, tiles, chart, both, live, recent, foot] = Layout::vertical(sections).areas(area);
    frame.render_widget(title(sight, last, url), head);
    draw_tiles(frame, sight, last, tiles);
    draw_chart(frame, sight, chart);
    draw_sides(frame, sight, last, both);
    lists::draw_running(frame, last, without_blank(live));
    lists::draw_ended(frame, last, recent);
    frame.render_widget(foot_line(sight, last, paused), foot);
}

/// How high each section is, from the top down. What comes later here has what is left over, or
/// nothing: a low screen leaves out whole sections.
fn heights(last: &Asked, height: u16) -> [u16; 7] {
    let mut left = height;
    let mut take = |wanted: u16| {
        let given = if wanted <= left { wanted } else { 0 };
        left -= given;
        given
    };
    let head = take(height.min(2));
    let foot = take(1);
    let tiles = take(5);
    let recent = take(4);
    let both = take(side_height(last, height));
    let live = take(running_height(last, height));
    let chart = if height >= TALL { take(5) } else { 0 };
    [head, tiles, chart, both, live, recent + left, foot]
}

/// The last line of a section is blank, so that the next one stands apart.
fn without_blank(area: Rect) -> Rect {
    Rect { height: area.height.saturating_sub(1), ..area }
}

/// The screen as plain text.
pub(super) fn text(sight: &Sight, url: &str, (width, height): (u16, u16)) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let drawn = terminal.draw(|frame| draw(frame, sight, url, false));
    drawn.map(|drawn| plain(drawn.buffer)).unwrap_or_default()
}

fn plain(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| {
        let cells = (area.left()..area.right()).filter_map(|x| buffer.cell((x, y)));
        let line: String = cells.map(buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    };
    (area.top()..area.bottom()).map(line).collect()
}

fn title(sight: &Sight, last: &Asked, url: &str) -> Line<'static> {
    let state = &last.state;
    let (word, style) = match () {
        () if sight.wrong.is_some() => ("no answer", BAD),
        () if state.draining => ("draining", FAIR),
        () if state.ready => ("ready", GOOD),
        () => ("not ready", BAD),
    };
    let shards = format!("{}/{} shards", state.listening, state.shards);
    Line::from(vec![
        Span::styled("vertex-bridge ", STRONG),
        Span::raw(format!("{}  ", state.version)),
        Span::styled(word, style),
        Span::raw(format!("  up {}  {shards}  ", age(state.uptime_seconds))),
        Span::styled(url.to_owned(), QUIET),
    ])
}

/// Which keys there are, and why the figures are not new.
fn foot_line(sight: &Sight, last: &Asked, paused: bool) -> Line<'static> {
    let keys = if paused { "q quit  p go on" } else { "q quit  p pause" };
    let at = time(last.figures.at_ms);
    let (old, style) = match &sight.wrong {
        _ if paused => (format!("  paused at {at}"), FAIR),
        Some(why) => (format!("  as of {at}: {why}"), BAD),
        None => (String::new(), QUIET),
    };
    Line::from(vec![Span::styled(keys, QUIET), Span::styled(old, style)])
}

/// A name, a figure, and two quiet lines below it.
type Tile = [String; 4];

fn draw_tiles(frame: &mut Frame<'_>, sight: &Sight, last: &Asked, area: Rect) {
    let figures = &last.figures;
    let shown = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| NONE.to_owned(), |value| format!("{}{unit}", short(value)))
    };
    let tokens = |kind: &str| figures.tokens.get(kind).copied().unwrap_or(0);
    let tiles: [Tile; 6] = [
        [
            "requests".to_owned(),
            shown(sight.rate(|figures| figures.requests), " /s"),
            format!("{} in all", figures.requests),
            String::new(),
        ],
        [
            "running".to_owned(),
            figures.in_flight.to_string(),
            format!("{} conn.", figures.connections_open),
            String::new(),
        ],
        [
            "failed".to_owned(),
            shown(sight.failed(), " %"),
            format!("{} in all", figures.failed),
            format!("{} left", figures.cancelled),
        ],
        times(["latency", "latency, all"], sight, |figures| &figures.times_us.duration),
        times(["first token", "first, all"], sight, |figures| &figures.times_us.first_token),
        [
            "tokens".to_owned(),
            shown(sight.rate(Figures::all_tokens), " /s"),
            format!("{} in", count(tokens("prompt"))),
            format!("{} out", count(tokens("completion"))),
        ],
    ];
    let fitting = usize::from(area.width + 1) / (TILE + 1);
    let widths = vec![Constraint::Fill(1); fitting.clamp(1, tiles.len())];
    let places = Layout::horizontal(widths).spacing(1).split(area);
    for ([name, figure, below, more], place) in tiles.into_iter().zip(places.iter()) {
        let lines = vec![
            Line::from(Span::styled(name, QUIET)),
            Line::from(Span::styled(figure, STRONG)),
            Line::from(Span::styled(below, QUIET)),
            Line::from(Span::styled(more, QUIET)),
        ];
        frame.render_widget(Paragraph::new(lines), *place);
    }
}

/// Percentiles of the last looks; of everything where nothing has ended lately.
fn times([lately, ever]: [&str; 2], sight: &Sight, of: fn(&Figures) -> &Histogram) -> Tile {
    let (name, counted) = match sight.lately(of) {
        Some(counted) => (lately, counted),
        None => (ever, sight.ever(of)),
    };
    let [p50, p95, p99] = [50, 95, 99].map(|percent| span(counted.percentile_ms(percent)));
    [name.to_owned(), format!("p50 {p50}"), format!("p95 {p95}"), format!("p99 {p99}")]
}

/// Requests per second, the newest at the right.
fn draw_chart(frame: &mut Frame<'_>, sight: &Sight, area: Rect) {
    let rates = sight.rates(|figures| figures.requests);
    let most = rates.iter().copied().fold(0.0, f64::max);
    let [name, bars, _] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(area);
    let told = format!("requests per second, at most {}", short(most));
    frame.render_widget(Line::from(Span::styled(told, QUIET)), name);
    let room = usize::from(bars.width);
    let skipped = rates.len().saturating_sub(room);
    let mut data = vec![0; room.saturating_sub(rates.len())];
    data.extend(rates.iter().skip(skipped).map(|rate| whole(*rate * 100.0)));
    frame.render_widget(Sparkline::default().data(data).style(Style::new().fg(Color::Blue)), bars);
}

/// Lists beside each other.
fn draw_sides(frame: &mut Frame<'_>, sight: &Sight, last: &Asked, area: Rect) {
    let wide = area.width >= WIDE;
    let widths = if wide {
        [Constraint::Ratio(28, 100), Constraint::Length(28), Constraint::Fill(1)]
    } else {
        [Constraint::Fill(1), Constraint::Length(28), Constraint::Length(0)]
    };
    let places = Layout::horizontal(widths).spacing(if wide { 2 } else { 1 });
    let [left, middle, right] = places.areas(without_blank(area));
    lists::draw_upstreams(frame, last, left);
    lists::draw_shards(frame, sight, last, middle);
    lists::draw_errors(frame, &last.figures, right);
}

/// With a name and a blank line.
fn side_height(last: &Asked, height: u16) -> u16 {
    let most = if height >= TALL { height / 4 } else { 4 };
    rows(lists::longest(last), most.max(2)) + 2
}

fn running_height(last: &Asked, height: u16) -> u16 {
    match last.running.len() {
        _ if height < LOW => 0,
        0 if height < TALL => 0,
        count if height < TALL => rows(count, 3) + 2,
        count => rows(count, height / 4) + 2,
    }
}

fn rows(count: usize, most: u16) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).clamp(1, most)
}

/// A figure for a bar, which need not be exact.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bars are small")]
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(at: u64) -> Asked {
        let times = json!({"buckets": [[80_000, 84_000, at], [900_000, 910_000, 1]]});
        let figures = json!({
            "at_ms": 1000 * at, "uptime_seconds": at, "requests": 40 * at, "failed": at,
            "cancelled": 1, "in_flight": 2, "connections_open": 7,
            "tokens": {"prompt": 30_000, "completion": 12 * at, "cached": 0, "reasoning": 0},
            "limited": {"bucket": 0}, "upstream_failures": {"eof": 3, "reset": 0},
            "answers": [{"code": "200", "count": 9}, {"code": "502", "count": 4}],
            "times_us": {"duration": times, "first_token": times},
            "shards": [{"shard": 0, "requests": 20 * at, "in_flight": 1, "connections_open": 4,
                "busy_us": 250_000 * at}],
        });
        let ended = json!({
            "id": "req_ended", "started_ms": 3_600_000, "key": "team-a", "model": "gemini-2.5-pro",
            "route": "gemini-*", "upstream": "google", "status": 502, "ending": "failed",
            "cause": "upstream_error", "tokens": {"prompt": 5, "completion": 0},
            "cost_usd": "0.00125",
            "phases_us": {"queue": 0, "upstream": 80_000, "first_token": 0, "total": 1_234_000},
        });
        let running = json!({
            "id": "req_running", "age_ms": 90_000, "key": "team-a", "model": "claude-haiku-4-5",
            "route": "claude-*", "upstream": "anthropic",
        });
        let state = json!({
            "version": "9.9.9", "uptime_seconds": 3700, "ready": true, "draining": false,
            "shards": 2, "listening": 2,
        });
        let upstreams = json!([{"name": "google", "status": "usable"},
            {"name": "anthropic", "status": "circuit_open"}]);
        Asked {
            state: serde_json::from_value(state).expect("a state"),
            figures: serde_json::from_value(figures).expect("figures"),
            upstreams: serde_json::from_value(upstreams).expect("upstreams"),
            running: vec![serde_json::from_value(running).expect("one")],
            ended: vec![serde_json::from_value(ended).expect("one")],
        }
    }

    fn sight() -> Sight {
        let mut sight = Sight::default();
        (1..=3).for_each(|at| sight.on_look(Ok(asked(at))));
        sight
    }

    fn has(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn a_small_screen_has_the_figures_and_the_last_exchanges() {
        let text = text(&sight(), "http://gateway", (80, 24));
        assert_eq!(text.lines().count(), 24);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        has(
            &text,
            &[
                "vertex-bridge 9.9.9  ready  up 1 h 1 min  2/2 shards  http://gateway",
                "40 /s",
                "120 in all",
                "2.5 %",
                "p95 82.0 ms",
                "30k in",
                "google usable",
                "anthropic circuit open",
                "0      25%     20    1     4",
                "4 answered 502",
                "3 upstream eof",
                "1.5 min  claude-haiku-4-5",
                "req_running",
                "01:00:01 502",
                "gemini-2.5-pro",
                "1.23 s",
                "$0.00125",
                "q quit",
            ],
        );
    }

    #[test]
    fn a_large_screen_has_the_chart_and_more_columns() {
        let text = text(&sight(), "http://gateway", (200, 50));
        has(&text, &["requests per second, at most 40", "req_ended", "upstream_error", "team-a"]);
    }

    #[test]
    fn any_size_is_drawn_from_the_title_to_the_keys() {
        for height in (1..32).chain([100]) {
            for width in [1, 40, 80, 200] {
                let text = text(&sight(), "u", (width, height));
                let lines: Vec<&str> = text.lines().collect();
                assert_eq!(lines.len(), usize::from(height));
                assert!(lines.first().is_some_and(|first| first.starts_with('v')), "{text}");
                let keys = lines.last().is_some_and(|last| last.starts_with('q'));
                assert!(keys || height < 3, "{text}");
            }
        }
    }

    #[test]
    fn no_answer_is_said_with_the_reason_and_the_age_of_the_figures() {
        let mut lost = sight();
        lost.on_look(Err("http://gateway: Connection refused".to_owned()));
        let text = text(&lost, "u", (80, 24));
        has(&text, &["9.9.9  no answer", "as of 00:00:03: http://gateway: Connection refused"]);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut many = asked(1);
        let shard = many.figures.shards.first().copied().expect("a shard");
        many.figures.shards.resize(64, shard);
        let mut sight = Sight::default();
        sight.on_look(Ok(many));
        has(&text(&sight, "u", (80, 24)), &["… 61 more"]);
    }

    #[test]
    fn texts_of_others_cannot_move_the_cursor() {
        let mut evil = asked(1);
        evil.ended.iter_mut().for_each(|one| one.model = "a\u{1b}[2Jb\nc".to_owned());
        evil.upstreams.iter_mut().for_each(|one| one.name = "\u{9b}31mx\r".to_owned());
        let mut sight = Sight::default();
        sight.on_look(Ok(evil));
        let text = text(&sight, "u", (80, 24));
        let mut odd = text.chars().filter(|letter| letter.is_control() && *letter != '\n');
        assert_eq!((odd.next(), text.lines().count()), (None, 24), "{text}");
    }
}
