// Finds one exchange by its id in the dashboard, and prints what the page tells of it.
//
//   node find.cjs URL ADMIN_KEY ID

const assert = require("node:assert/strict");
const { open, run } = require("./page.cjs");

run(async () => {
  const [url, key, id] = process.argv.slice(2);
  const { browser, wrong, signIn, find } = await open(url, key);
  await signIn();
  console.log(await find(id));
  assert.deepEqual(wrong, []);
  await browser.close();
});
