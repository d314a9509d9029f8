// Two pages of other origins call the gateway from a real Chromium; only one of them may.
//
//   node pages.cjs URL KEY PORT OTHER_PORT
//
// The gateway serves pages of 127.0.0.1:PORT and not those of OTHER_PORT.

const assert = require("node:assert/strict");
const http = require("node:http");
const { launch, run } = require("./page.cjs");

// Everything that an application does: reads a stream as it comes, an error, and fields of heads.
async function call([url, key]) {
  const ask = (path, body, token = key) => fetch(url + path, {
    method: body ? "POST" : "GET",
    headers: { authorization: "Bearer " + token, "content-type": "application/json", "x-stainless-lang": "js" },
    body: body && JSON.stringify(body),
  });
  const question = { model: "gemini-2.5-flash", messages: [{ role: "user", content: "hello" }] };
  const stream = await ask("/v1/chat/completions", { ...question, stream: true });
  const text = await stream.text();
  const wrong = await ask("/v1/chat/completions", question, "sk-nobody-0123456789");
  const models = await ask("/v1/models");
  return {
    done: text.endsWith("data: [DONE]\n\n"),
    id: stream.headers.get("x-request-id"),
    wrong: [wrong.status, (await wrong.json()).error.code],
    models: (await models.json()).object,
  };
}

run(async () => {
  const [url, key, ...ports] = process.argv.slice(2);
  const servers = ports.map((port) => http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end("<!doctype html><title>a page</title>");
  }).listen(port, "127.0.0.1"));
  const browser = await launch();
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://127.0.0.1:${ports[0]}/`);
  const told = await page.evaluate(call, [url, key]);
  assert.ok(told.done && told.id, JSON.stringify(told));
  assert.deepEqual(told.wrong, [401, "invalid_api_key"]);
  assert.equal(told.models, "list");
  // What is for operators is for nobody's page.
  const metrics = ([url, key]) => fetch(url + "/metrics", { headers: { authorization: "Bearer " + key } });
  await assert.rejects(page.evaluate(metrics, [url, key]), /Failed to fetch/);
  await page.goto(`http://127.0.0.1:${ports[1]}/`);
  await assert.rejects(page.evaluate(call, [url, key]), /Failed to fetch/);
  await browser.close();
  servers.forEach((server) => server.close());
  console.log("all is well");
});
