// The dashboard of a gateway whose ledger is off says so, and shows no sums.
//
//   node off.cjs URL ADMIN_KEY

const assert = require("node:assert/strict");
const { open, run } = require("./page.cjs");

run(async () => {
  const [url, key] = process.argv.slice(2);
  const { browser, page, wrong, text, signIn } = await open(url, key);
  await signIn();
  await page.locator("#cost-notes", { hasText: "The ledger is off" }).waitFor();
  assert.equal(await page.locator("#cost").isVisible(), false);
  assert.ok(!(await text("cost-notes")).includes("$"));
  assert.deepEqual(wrong, []);
  await browser.close();
  console.log("all is well");
});
