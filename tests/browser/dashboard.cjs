// Opens the dashboard in a real Chromium while the gateway has traffic, uses it with the keyboard
// alone, and compares what it shows with the metrics and the ledger.
//
//   node dashboard.cjs URL ADMIN_KEY LIVE_ID [FOLDER]
//
// LIVE_ID is an exchange that runs and is to be cancelled. The line `seen` on standard output tells
// that no more traffic is needed; a line on standard input tells that it has ended. With FOLDER,
// pictures are written there.

const assert = require("node:assert/strict");
const readline = require("node:readline");
const { open, run } = require("./page.cjs");

const [url, key, live, folder] = process.argv.slice(2);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(path) {
  const answer = await fetch(url + path, { headers: { authorization: "Bearer " + key } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

// The percentiles of /metrics are rounded to hundredths, those of the page to what is worth reading.
function close(text, ms, what) {
  const [number, unit] = text.split(/\s/);
  const shown = Number(number) * { ms: 1, s: 1000, min: 60000 }[unit];
  assert.ok(Math.abs(shown - ms) <= Math.max(0.06, ms * 0.006), `${what}: ${text} is not ${ms} ms`);
}

async function pictures(page, name) {
  for (const scheme of folder ? ["light", "dark"] : []) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
    await pause(300);
    const clip = { x: 0, y: 0, ...page.viewportSize() };
    // A phone's picture ends with the costs.
    if (name) clip.height = await page.evaluate(() => document.getElementById("costs").getBoundingClientRect().bottom + 12);
    await page.screenshot({ path: `${folder}/dashboard-${name}${scheme}.png`, fullPage: true, clip });
  }
  await page.emulateMedia({ colorScheme: "light" });
}

// Nothing runs any more, so the page must come to say exactly what the metrics say.
async function compare({ page, text }) {
  let told = await ask("/metrics");
  for (let round = 0; round < 100 && told.requests_in_flight > 0; round += 1) {
    await pause(50);
    told = await ask("/metrics");
  }
  const all = `${told.total_requests} since the start`;
  await page.waitForFunction((all) => document.getElementById("rate-all").textContent === all, all);
  await pause(1500);
  assert.equal(await text("failed-all"), `${told.failed_requests} since the start, ${told.cancelled_requests} left`);
  assert.equal(await text("tokens-all"), `${told.prompt_tokens} in, ${told.completion_tokens} out`);
  const shown = (await text("p95-all")).replace("since the start ", "").split(" · ");
  for (const [place, name] of ["p50", "p95", "p99"].entries()) close(shown[place], told[name + "_latency_ms"], name);
  assert.equal(await text("health"), "ready");
  const errors = await text("errors");
  assert.ok(errors.includes("client left (499)"), errors);
}

// The panel of costs says what the ledger says; what has no price is unknown and not nothing.
async function costs({ page, text }) {
  const today = new Date().toISOString().slice(0, 10);
  const usage = await ask(`/admin/v1/usage?by=key,model&from=${today.slice(0, 8)}01&to=${today}`);
  const sum = Number(usage.cost_usd);
  const shown = "$" + (sum >= 1 ? sum.toFixed(2) : sum.toFixed(4));
  await page.waitForFunction((sum) => document.querySelector("#cost tfoot").textContent.includes(sum), shown);
  assert.equal(await text("cost-days"), `${today.slice(0, 8)}01 to ${today}, UTC`);
  const rows = await page.locator("#cost tbody tr").allInnerTexts();
  assert.equal(rows.length, Math.min(8, usage.rows.length));
  // What was refused is known to have cost nothing; that says nothing of the rest.
  const unknown = usage.rows.filter((row) => row.unpriced_requests > 0 && Number(row.cost_usd) === 0);
  assert.ok(unknown.length > 0, "a model without a price was asked");
  for (const { key, model } of unknown) {
    const row = rows.find((row) => row.includes(key) && row.includes(model)) || "";
    assert.ok(row.includes("unknown") && !row.includes("$"), row);
  }
  assert.ok((await text("cost-notes")).includes("whose cost is not known"), await text("cost-notes"));
}

// Every control has a name, and every text can be read.
async function access({ page }) {
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select, svg[role=img]")]
    .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || (node.labels && node.labels.length)))
    .map((node) => node.outerHTML.slice(0, 80)));
  assert.deepEqual(nameless, []);
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    assert.deepEqual(await page.evaluate(contrasts), [], `contrast in ${scheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

// Nothing is wider than the screen of a phone, and everything that is there can be reached.
async function phone({ page }) {
  const wide = await page.evaluate(() => document.scrollingElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} px wide`);
  await page.locator("#recent tbody button").first().click();
  await page.locator("#detail[open]").waitFor();
  const box = await page.locator("#detail").boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
  await page.locator("#detail button").click();
}

run(async () => {
  const opened = await open(url, key, folder && "UTC");
  const { browser, page, wrong, press, reach, signIn, find } = opened;
  await signIn();
  await page.waitForFunction(() => document.querySelectorAll("#chart-rate polyline").length > 0);
  await page.waitForFunction(() => Number(document.getElementById("rate").textContent) > 0);
  await page.waitForFunction(() => document.querySelectorAll("#recent tbody tr").length >= 20);

  // The exchange that runs is shown, and the keyboard alone cancels it.
  await page.locator("#live", { hasText: live }).waitFor();
  await reach("Cancel " + live);
  await press("Enter");
  await page.locator("#notice", { hasText: live }).waitFor();
  await page.waitForFunction((id) => !document.getElementById("live").textContent.includes(id), live);

  // Until the charts are full.
  if (folder) await pause(115000);
  await page.setViewportSize({ width: 1360, height: 1460 });
  await pictures(page, "");
  await page.setViewportSize({ width: 360, height: 780 });
  await pictures(page, "phone-");
  await page.setViewportSize({ width: 1440, height: 1000 });
  console.log("seen");
  await new Promise((resolve) => readline.createInterface({ input: process.stdin }).once("line", resolve));
  await compare(opened);
  await costs(opened);
  const told = await find(live);
  assert.ok(told.includes("client_cancelled"), told);
  await page.locator("#text").fill("");
  await page.waitForFunction(() => document.querySelectorAll("#recent tbody tr").length >= 20);
  await access(opened);
  await page.setViewportSize({ width: 360, height: 740 });
  await phone(opened);
  assert.deepEqual(wrong, []);

  await page.locator("#leave").click();
  await page.locator("#door").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, "the key is forgotten");
  await page.keyboard.type("sk-not-the-admin-key");
  await press("Enter");
  await page.locator("#door-error", { hasText: "valid key" }).waitFor();
  // A refused key is what the browser itself reports as an error of the console.
  assert.deepEqual(wrong.filter((one) => !one.includes("401")), []);
  await browser.close();
  console.log("all is well");
});

// Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
function contrasts() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([red, green, blue]) => {
    const linear = [red, green, blue].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.getClientRects().length || node.closest("script, style, option")) continue;
    const [one, other] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) poor.add(`${node.tagName} ${node.className} ${contrast.toFixed(2)}`);
  }
  return [...poor];
}
