// Opens the dashboard in Debian's Chromium and watches it: what it complains of, whom it asks.
// Needs playwright-core (NODE_PATH).

const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    // Tests run as root in containers, where Chromium's own sandbox cannot start.
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
}

// By default its clock is 14 hours ahead: days are the gateway's, and not the browser's.
async function open(url, key, timezoneId = "Pacific/Kiritimati") {
  const browser = await launch();
  const viewport = { width: 1440, height: 1000 };
  const page = await (await browser.newContext({ viewport, timezoneId })).newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push("console: " + message.text());
  });
  page.on("pageerror", (error) => wrong.push("error: " + error.message));
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(url + "/") && !asked.startsWith("data:")) wrong.push("asked " + asked);
    if (asked.includes(key)) wrong.push("the key stands in " + asked);
  });

  const text = (id) => page.locator("#" + id).innerText();
  const press = (one) => page.keyboard.press(one);
  const focused = () => page.evaluate(() => {
    const node = document.activeElement;
    return node.id || node.getAttribute("aria-label") || node.textContent;
  });
  // Goes on with the tabulator until this has the focus.
  async function reach(wanted) {
    for (let step = 0; step < 400; step += 1) {
      if ((await focused()) === wanted) return;
      await press("Tab");
    }
    throw new Error("the keyboard does not reach " + wanted);
  }
  // With the keyboard alone.
  async function signIn() {
    await page.goto(url + "/dashboard");
    await page.locator("#door").waitFor();
    assert.equal(await focused(), "key", "the field for the key has the focus");
    await page.keyboard.type(key);
    await press("Enter");
    await page.locator("#main").waitFor();
    assert.equal(page.url(), url + "/dashboard", "nothing of the key is in the address");
  }
  // Searches for one exchange and looks closer at it, with the keyboard alone.
  async function find(id) {
    await press("/");
    assert.equal(await focused(), "text");
    await page.keyboard.type(id);
    await page.waitForFunction(() => document.querySelectorAll("#recent tbody tr").length === 1);
    await reach(id);
    await press("Enter");
    await page.locator("#detail[open]").waitFor();
    const told = await text("detail");
    await press("Escape");
    assert.equal(await focused(), id, "the focus comes back");
    return told;
  }
  return { browser, page, wrong, text, press, focused, reach, signIn, find };
}

// Runs a script to its end; whatever goes wrong is its exit status.
function run(main) {
  main().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { launch, open, run };
