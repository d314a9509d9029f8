
"use strict";

// What the page knows: the key of this tab, two minutes of figures, what was asked last.
const KEY = "vertex-bridge-admin-key";
const EVERY_MS = 1000;
const KEPT = 120; // looks
const WINDOW = 10; // looks that percentiles are over
const seen = []; // the last figures, the newest last
const state = { session: 0, paused: false, turn: 0, timer: 0, last: -1, query: "", rows: new Map() };

const $ = (id) => document.getElementById(id);

// --- Small things to build a page of ----------------------------------------------------------

function make(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function draw(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Changes a text only when it is another one, so that nothing flickers and readers stay calm.
function tell(id, text) {
  const node = $(id);
  if (node.textContent !== text) node.textContent = text;
}

function number(value) {
  if (value >= 1e6) return (value / 1e6).toFixed(value >= 1e7 ? 0 : 1) + " M";
  if (value >= 1e4) return (value / 1e3).toFixed(0) + " k";
  if (value >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

// With spaces that do not break, so that a number stays with its unit.
function span(ms) {
  if (ms === null || Number.isNaN(ms)) return "–";
  if (ms >= 60000) return (ms / 60000).toFixed(1) + "\u00a0min";
  if (ms >= 1000) return (ms / 1000).toFixed(ms >= 10000 ? 1 : 2) + "\u00a0s";
  if (ms >= 100) return ms.toFixed(0) + "\u00a0ms";
  return ms.toFixed(ms >= 10 ? 1 : 2) + "\u00a0ms";
}

function age(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60];
  if (days >= 1) return `${Math.floor(days)} d ${Math.floor(hours)} h`;
  if (seconds >= 3600) return `${Math.floor(hours)} h ${Math.floor(minutes)} min`;
  if (seconds >= 60) return `${Math.floor(minutes)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds)} s`;
}

function money(usd) {
  const value = Math.abs(Number(usd));
  if (value === 0) return "$0";
  const digits = value >= 1 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 3 };
  return (Number(usd) < 0 ? "−$" : "$") + value.toLocaleString("en-US", digits);
}

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

// --- Asking -----------------------------------------------------------------------------------

class Refused extends Error {}

async function ask(path, method = "GET", body) {
  const response = await fetch("/admin/v1/" + path, {
    method,
    cache: "no-store",
    headers: { authorization: "Bearer " + sessionStorage.getItem(KEY) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const why = answer.error ? answer.error.message : "status " + response.status;
  if (response.status === 401 || response.status === 403) throw new Refused(why);
  throw new Error(why);
}

let quiet = 0;
function notice(text) {
  tell("notice", text);
  clearTimeout(quiet);
  quiet = setTimeout(() => tell("notice", ""), 6000);
}

async function change(path, method, body, done) {
  try {
    await ask(path, method, body);
    notice(done);
  } catch (error) {
    notice(error.message);
  }
}

// --- Histograms: the same sums, and the same percentiles of them, as /metrics ------------------

function between(now, then) {
  const before = new Map(then ? then.buckets.map(([from, , count]) => [from, count]) : []);
  const buckets = now.buckets.map(([from, to, count]) => [from, to, count - (before.get(from) || 0)]);
  return { buckets, count: now.count - (then ? then.count : 0) };
}

function percentile(histogram, share) {
  if (histogram.count <= 0) return null;
  const wanted = Math.max(1, Math.ceil(histogram.count * share));
  let passed = 0;
  for (const [from, to, count] of histogram.buckets) {
    passed += count;
    if (count > 0 && passed >= wanted) return (from + to) / 2 / 1000;
  }
  return null;
}

// --- What is drawn of the figures ---------------------------------------------------------------

function keep(figures) {
  const before = seen.at(-1);
  // Another process answers, or it was restarted: what was before is not comparable.
  if (before && (figures.uptime_seconds < before.uptime_seconds || figures.requests < before.requests)) seen.length = 0;
  if (before && figures.at_ms <= before.at_ms) return;
  seen.push(figures);
  if (seen.length > KEPT + WINDOW) seen.shift();
}

function rate(index, of) {
  const [now, then] = [seen[index], seen[index - 1]];
  if (!then) return null;
  return Math.max(0, (of(now) - of(then)) / ((now.at_ms - then.at_ms) / 1000));
}

function share(index, name, part) {
  const then = seen[Math.max(0, index - WINDOW)];
  if (then === seen[index]) return null;
  return percentile(between(seen[index].times_us[name], then.times_us[name]), part);
}

const made = (figures) => figures.tokens.prompt + figures.tokens.completion;

function tiles() {
  const at = seen.length - 1;
  const now = seen[at];
  const then = seen[Math.max(0, at - WINDOW)];
  const shown = (value, format) => (value === null ? "–" : format(value));
  tell("rate", shown(rate(at, (f) => f.requests), number));
  tell("rate-all", `${now.requests} since the start`);
  tell("running", number(now.in_flight));
  tell("running-all", `${now.connections_open} connections`);
  const ended = now.requests - then.requests;
  tell("failed", ended ? ((100 * (now.failed - then.failed)) / ended).toFixed(1) + " %" : "–");
  tell("failed-all", `${now.failed} since the start, ${now.cancelled} left`);
  tell("p95", span(share(at, "duration", 0.95)));
  const all = between(now.times_us.duration);
  const parts = [0.5, 0.95, 0.99].map((part) => span(percentile(all, part)));
  tell("p95-all", `since the start ${parts.join(" · ")}`);
  $("p95-all").title = "p50, p95 and p99 since the start";
  tell("first", span(share(at, "first_token", 0.95)));
  const first = between(now.times_us.first_token);
  tell("first-all", `since the start ${span(percentile(first, 0.5))} · ${span(percentile(first, 0.95))}`);
  tell("tokens", shown(rate(at, made), number));
  tell("tokens-all", `${now.tokens.prompt} in, ${now.tokens.completion} out`);
}

// One chart: lines over the last two minutes, the largest value, and what the lines are.
function chart(id, lines, format) {
  const svg = $(id);
  const [width, height] = [KEPT, 100];
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const top = Math.max(...values, 0) || 1;
  const place = (value, index, line) => {
    const x = width - (line.values.length - 1 - index);
    return `${x.toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`;
  };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const parts = [0.5, 1].map((part) => {
    const y = height - 2 - part * (height - 6);
    return draw("line", { class: "grid", x1: 0, x2: width, y1: y, y2: y });
  });
  for (const [order, line] of lines.entries()) {
    const points = line.values.map((value, index) => (value === null ? null : place(value, index, line)));
    const known = points.filter((point) => point !== null);
    if (known.length < 2) continue;
    if (order === 0) {
      const [left, right] = [known[0].split(",")[0], known.at(-1).split(",")[0]];
      parts.push(draw("path", { class: "area", d: `M${left},${height} L${known.join(" L")} L${right},${height}Z` }));
    }
    parts.push(draw("polyline", { class: "line " + line.color, points: known.join(" ") }));
  }
  svg.replaceChildren(...parts);
  const last = lines.map((line) => `${line.name} ${line.values.at(-1) === null ? "–" : format(line.values.at(-1))}`);
  svg.setAttribute("aria-label", `${last.join(", ")}; at most ${format(top)} in the last two minutes`);
  const caption = svg.parentNode.firstElementChild;
  if (!caption.lastElementChild) {
    caption.append(make("span"), make("span"));
    caption.firstElementChild.append(...lines.flatMap((line) => [make("span", { className: "ink-" + line.color }, line.name), " "]));
  }
  caption.lastElementChild.textContent = "max " + format(top);
}

function charts() {
  const first = Math.max(0, seen.length - KEPT);
  const places = Array.from({ length: seen.length - first }, (_, index) => first + index);
  const line = (name, color, of) => ({ name, color, values: places.map(of) });
  chart("chart-rate", [
    line("all", "blue", (at) => rate(at, (f) => f.requests)),
    line("failed", "red", (at) => rate(at, (f) => f.failed)),
  ], number);
  chart("chart-latency", [
    line("p50", "teal", (at) => share(at, "duration", 0.5)),
    line("p95", "blue", (at) => share(at, "duration", 0.95)),
    line("p99", "violet", (at) => share(at, "duration", 0.99)),
  ], span);
  chart("chart-first", [
    line("p50", "teal", (at) => share(at, "first_token", 0.5)),
    line("p95", "blue", (at) => share(at, "first_token", 0.95)),
  ], span);
  chart("chart-tokens", [
    line("out", "blue", (at) => rate(at, (f) => f.tokens.completion)),
    line("in", "grey", (at) => rate(at, (f) => f.tokens.prompt)),
  ], number);
}

// Rows of a name, a value and a bar. `items` are [name, text, share from 0 to 1, color, more text].
function bars(id, items, none) {
  const rows = items.map(([name, text, part, color, more]) => {
    const width = (100 * Math.min(1, Math.max(0, part))).toFixed(1) + "%";
    return make("li", {},
      make("div", { className: "text" }, make("span", {}, name), make("span", {}, text)),
      draw("svg", { "aria-hidden": "true" },
        draw("rect", { class: "track", width: "100%", height: "100%", rx: 3 }),
        draw("rect", { class: color, width, height: "100%", rx: 3 })),
      more ? make("p", { className: "quiet" }, more) : "");
  });
  $(id).replaceChildren(...(rows.length ? rows : [make("li", { className: "none" }, none)]));
}

function errors() {
  const now = seen.at(-1);
  const causes = new Map();
  const add = (name, count) => count && causes.set(name, (causes.get(name) || 0) + count);
  for (const { code, count } of now.answers) {
    if (code !== "200") add(code === "499" ? "client left (499)" : `answered ${code}`, count);
  }
  for (const [reason, count] of Object.entries(now.upstream_failures)) add(`upstream: ${reason}`, count);
  for (const [limit, count] of Object.entries(now.limited)) add(`limit: ${limit}`, count);
  const sorted = [...causes].sort((one, other) => other[1] - one[1]).slice(0, 12);
  const most = sorted.length ? sorted[0][1] : 1;
  bars("errors", sorted.map(([name, count]) => [name, String(count), count / most, "red"]), "none since the start");
}

function shards() {
  const [now, then] = [seen.at(-1), seen.at(-2)];
  bars("shards", now.shards.map((shard, index) => {
    const before = then && then.shards[index];
    const seconds = then ? (now.at_ms - then.at_ms) / 1000 : 0;
    const busy = before && shard.busy_us !== null ? (shard.busy_us - before.busy_us) / 1e6 / seconds : 0;
    const requests = before ? (shard.requests - before.requests) / seconds : 0;
    const more = `${number(requests)} /s · ${shard.in_flight} running · ${shard.connections_open} connections`;
    return [`shard ${shard.shard}`, `${(100 * busy).toFixed(0)} % busy`, busy, busy > 0.85 ? "amber" : "blue", more];
  }), "none");
}

// --- What was used and what it cost, out of the ledger --------------------------------------------

const COSTS_SHOWN = 8;

// Amounts that stand below each other. What is too small to be seen is still not nothing.
function amount(usd) {
  const value = Math.abs(Number(usd));
  if (value === 0) return "$0";
  const sign = Number(usd) < 0 ? "−" : "";
  if (value < 0.0001) return `${sign}<$0.0001`;
  const digits = value >= 1 ? 2 : 4;
  return sign + "$" + value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// As the command `usage` marks sums: ~ with estimates, + without what has no price.
function cost(sums) {
  if (!sums || (!sums.requests && Number(sums.cost_usd) === 0)) return "–";
  if (sums.cost_usd === null) return "unknown";
  return (sums.estimated_requests ? "~" : "") + amount(sums.cost_usd) + (sums.unpriced_requests ? "+" : "");
}

function costCell(sums) {
  const text = cost(sums);
  const node = make("td", { className: text === "unknown" ? "number quiet" : "number" }, text);
  if (sums && text !== "unknown") node.title = `$${sums.cost_usd} for ${sums.requests} requests`;
  return node;
}

function costRow({ key, model, today, month }, most) {
  const width = most > 0 ? (100 * Math.max(0, Number(month.cost_usd))) / most : 0;
  const bar = draw("svg", { "aria-hidden": "true" },
    draw("rect", { class: "track", width: "100%", height: "100%", rx: 3 }),
    draw("rect", { class: "blue", width: width.toFixed(1) + "%", height: "100%", rx: 3 }));
  const name = make("th", { scope: "row" }, key || "no key", make("span", { className: "narrow quiet" }, model || "no model"));
  return make("tr", {}, name, cell(model || "no model", "wide"), make("td", { className: "share" }, bar),
    costCell(today), costCell(month));
}

function costs(today, month) {
  const place = ({ key, model }) => JSON.stringify([key, model]);
  const ofToday = new Map(today.rows.map((row) => [place(row), row]));
  const rows = month.rows.map((row) => ({ ...row, month: row, today: ofToday.get(place(row)) }));
  const most = Math.max(...rows.map((row) => Number(row.month.cost_usd)), 0);
  const table = $("cost");
  table.hidden = rows.length === 0;
  table.tBodies[0].replaceChildren(...rows.slice(0, COSTS_SHOWN).map((row) => costRow(row, most)));
  const [allToday, allMonth] = [...table.tFoot.rows[0].cells].slice(-2);
  allToday.textContent = cost(today);
  allMonth.textContent = cost(month);
  const requests = (count) => `${count} ${count === 1 ? "request" : "requests"}`;
  const { unpriced_requests: unpriced, estimated_requests: estimated } = month;
  const notes = [
    !month.recording && "The ledger is off: what is used is not recorded (ledger.enabled).",
    month.recording && !rows.length && "nothing this month",
    rows.length > COSTS_SHOWN && `and ${rows.length - COSTS_SHOWN} more, which are in the sums`,
    unpriced && `without ${requests(unpriced)} of this month whose cost is not known (+)`,
    estimated && `with ${requests(estimated)} of this month whose tokens are estimated (~)`,
  ];
  $("cost-notes").replaceChildren(...notes.filter(Boolean).map((note) => make("li", {}, note)));
}

// The days of the gateway's clock, not of the browser's.
async function spent(nowMs) {
  const today = new Date(nowMs).toISOString().slice(0, 10);
  const month = today.slice(0, 8) + "01";
  const usage = (from) => ask(`usage?by=key,model&from=${from}&to=${today}`);
  tell("cost-days", `${month} to ${today}, UTC`);
  try {
    costs(...(await Promise.all([usage(today), usage(month)])));
  } catch (error) {
    // A key that is refused is refused to the rest of the page too, which then closes.
    if (error instanceof Refused) return;
    $("cost").hidden = true;
    $("cost-notes").replaceChildren(make("li", {}, error.message));
  }
}

// --- Upstreams, running and recent exchanges ------------------------------------------------------

const HEALTH = { usable: "good", circuit_half_open: "fair", circuit_open: "bad", no_token: "bad", unresolved: "bad" };

function upstreams(list) {
  const known = JSON.stringify(list);
  if (upstreams.known === known) return;
  upstreams.known = known;
  const focused = document.activeElement && document.activeElement.dataset.upstream;
  $("upstreams").replaceChildren(...list.map(({ name, status, breaker }) => {
    const closed = breaker === "closed";
    const [word, to] = closed ? ["Open breaker", "open"] : ["Close breaker", "closed"];
    const act = () => change(`breakers/${encodeURIComponent(name)}`, "PUT", { state: to }, `${name}: breaker ${to}`);
    const button = make("button", { type: "button", className: "small", onclick: act }, word);
    button.dataset.upstream = name;
    button.setAttribute("aria-label", `${word} of ${name}`);
    return make("li", {},
      make("span", { className: "name" }, name),
      make("span", { className: "pill " + (HEALTH[status] || "bad") }, status.replaceAll("_", " ")),
      make("span", { className: "act" }, button));
  }));
  if (focused) [...$("upstreams").querySelectorAll("button")].find((b) => b.dataset.upstream === focused)?.focus();
}

function cell(text, className = "") {
  return make("td", { className, title: className.includes("text") ? text : "" }, text);
}

// Puts rows into a table in this order and leaves those alone that are there already.
function put(table, rows) {
  const body = table.tBodies[0];
  const wanted = new Set(rows);
  for (const row of [...body.rows]) if (!wanted.has(row)) row.remove();
  let at = body.firstElementChild;
  for (const row of rows) {
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
}

const running = new Map();
function live(list) {
  const rows = list.slice(0, 200).map((one) => {
    let row = running.get(one.id);
    if (!row) {
      const stop = () => change(`exchanges/${encodeURIComponent(one.id)}`, "DELETE", undefined, `${one.id} cancelled`);
      const button = make("button", { type: "button", className: "small", onclick: stop }, "Cancel");
      button.setAttribute("aria-label", "Cancel " + one.id);
      row = make("tr", {}, cell(""), cell(one.id, "mono text"), cell(one.key || "–", "wide"),
        cell(one.model || one.route, "text"), cell(one.upstream || "–", "wide"), cell(String(one.shard), "wide"),
        make("td", { className: "number" }, button));
      running.set(one.id, row);
    }
    row.cells[0].textContent = span(one.age_ms);
    return row;
  });
  const ids = new Set(list.map((one) => one.id));
  for (const id of [...running.keys()]) if (!ids.has(id)) running.delete(id);
  put($("live"), rows);
  tell("live-count", list.length ? String(list.length) : "none");
}

const PHASES = [["parse", "grey"], ["queue", "amber"], ["connect", "violet"], ["tls", "red"], ["upstream", "blue"], ["answer", "teal"]];

function phases(one) {
  const us = one.phases_us;
  const known = { parse: us.parse, queue: us.queue, connect: us.connect, tls: us.tls, upstream: us.upstream };
  const sum = Object.values(known).reduce((all, part) => all + part, 0);
  known.answer = Math.max(0, us.total - sum);
  const all = sum + known.answer || 1;
  let x = 0;
  const parts = PHASES.map(([name, color]) => {
    const width = (100 * known[name]) / all;
    const rect = draw("rect", { class: color, x: x + "%", width: width + "%", height: "100%" });
    x += width;
    return rect;
  });
  const told = PHASES.filter(([name]) => known[name] > 0).map(([name]) => `${name} ${span(known[name] / 1000)}`);
  return draw("svg", { role: "img", "aria-label": told.join(", ") }, draw("title", {}, told.join("\n")), ...parts);
}

function detail(one) {
  tell("detail-title", one.id);
  const us = one.phases_us;
  const facts = {
    started: new Date(one.started_ms).toISOString(), status: `${one.status} ${one.ending}`, cause: one.cause,
    key: one.key, route: one.route, upstream: one.upstream, model: one.model, stream: one.stream ? "yes" : "no",
    cache: one.cache_hit ? "hit" : "", attempts: one.attempts, shard: one.shard,
    tokens: `${one.tokens.prompt} in (${one.tokens.cached} cached), ${one.tokens.completion} out (${one.tokens.reasoning} reasoning)${one.tokens.estimated ? ", estimated" : ""}`,
    cost: one.cost_usd === null ? "not known" : "$" + one.cost_usd, bytes: `${one.bytes.in} in, ${one.bytes.out} out`,
    parse: span(us.parse / 1000), queue: span(us.queue / 1000), connect: span(us.connect / 1000), TLS: span(us.tls / 1000),
    "upstream's first byte": span(us.upstream / 1000), "first token": us.first_token ? span(us.first_token / 1000) : "",
    "waited in all": span(us.waited / 1000), total: span(us.total / 1000), trace: one.trace || "",
  };
  const told = Object.entries(facts).filter(([, value]) => value !== "");
  $("detail").querySelector("dl").replaceChildren(...told.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
  $("detail").showModal();
}

function ended(one) {
  const color = one.ending === "answered" ? "ink-teal" : one.ending === "client_cancelled" ? "ink-grey" : "ink-red";
  const status = make("td", { className: color }, one.ending === "broken" ? "broken" : String(one.status));
  if (one.cause) status.title = one.cause;
  const button = make("button", { type: "button", className: "plain mono", onclick: () => detail(one) }, one.id);
  return make("tr", {}, cell(clock(one.started_ms)), status, cell(one.model || one.route || "–", "text"),
    cell(one.key || "–", "wide text"), cell(one.upstream || "–", "wide text"), make("td", {}, phases(one)),
    cell(span(one.phases_us.total / 1000), "number"),
    cell(one.phases_us.first_token ? span(one.phases_us.first_token / 1000) : "–", "number wide"),
    cell(`${one.tokens.prompt} → ${one.tokens.completion}`, "number wide"),
    cell(one.cost_usd === null ? "unknown" : money(one.cost_usd), "number wide"), make("td", { className: "text" }, button));
}

function recent({ data, last }, query) {
  if (state.last === last && state.shown === query) return;
  if (state.last > last) state.rows.clear();
  [state.last, state.shown] = [last, query];
  const rows = data.map((one) => {
    const row = state.rows.get(one.number) || ended(one);
    state.rows.set(one.number, row);
    return row;
  });
  for (const known of [...state.rows.keys()].slice(0, -2000)) state.rows.delete(known);
  put($("recent"), rows);
  tell("found", `${data.length} of the last ${Math.min(last, 4096)}`);
}

function about(now) {
  const word = now.draining ? "draining" : now.ready ? "ready" : "not ready";
  tell("health", word);
  $("health").className = "pill " + (now.draining ? "fair" : now.ready ? "good" : "bad");
  tell("about", `${now.version} · up ${age(now.uptime_seconds)} · ${now.listening} of ${now.shards} shards`);
}

// --- The round --------------------------------------------------------------------------------

async function look() {
  const every = (turns) => state.turn % turns === 0;
  const query = state.query;
  const [figures, running, ends, now, health] = await Promise.all([
    ask("figures"), ask("exchanges"), ask("recent?limit=100" + query),
    every(5) ? ask("state") : null, every(2) ? ask("upstreams") : null,
  ]);
  keep(figures);
  tiles();
  charts();
  errors();
  shards();
  live(running.data);
  recent(ends, query);
  if (now) about(now);
  if (health) upstreams(health.data);
  // Nobody waits for it: a ledger of years may take its time.
  if (every(10)) spent(figures.at_ms);
  state.turn += 1;
}

async function round() {
  clearTimeout(state.timer);
  if (!sessionStorage.getItem(KEY)) return shut("");
  // Who signs out while an answer is on its way has left all the same.
  const session = state.session;
  if (!state.paused && !document.hidden) {
    try {
      await look();
      if (session !== state.session) return;
      $("main").hidden = false;
      $("leave").hidden = false;
      $("door").hidden = true;
    } catch (error) {
      if (session !== state.session) return;
      if (error instanceof Refused) return shut(error.message);
      tell("health", "no answer");
      $("health").className = "pill bad";
    }
  }
  clearTimeout(state.timer);
  state.timer = setTimeout(round, EVERY_MS);
}

function shut(why) {
  sessionStorage.removeItem(KEY);
  clearTimeout(state.timer);
  state.session += 1;
  seen.length = 0;
  state.turn = 0;
  $("main").hidden = true;
  $("leave").hidden = true;
  $("door").hidden = false;
  tell("door-error", why);
  tell("health", "not connected");
  $("health").className = "pill";
  $("key").focus();
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value);
  $("key").value = "";
  round();
});
$("leave").addEventListener("click", () => shut(""));
$("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  $("pause").setAttribute("aria-pressed", String(state.paused));
  tell("pause", state.paused ? "Go on" : "Pause");
});
let typing = 0;
function search() {
  const parts = [["q", $("text").value.trim()], ["status", $("status").value]].filter(([, value]) => value);
  state.query = parts.map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
  clearTimeout(typing);
  typing = setTimeout(round, 200);
}
$("text").addEventListener("input", search);
$("status").addEventListener("change", search);
$("search").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  const writes = event.target instanceof Element && event.target.matches("input, select");
  if (event.key === "/" && !writes && !$("main").hidden) {
    event.preventDefault();
    $("text").focus();
  }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) round(); });
$("legend").append(...PHASES.map(([name, color]) => make("li", {}, draw("svg", { "aria-hidden": "true" }, draw("rect", { class: color, width: "100%", height: "100%" })), name)));
round();
