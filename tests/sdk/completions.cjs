// Lets prompts be completed by the official SDK: completions.cjs BASE_URL KEY.
"use strict";

const assert = require("node:assert/strict");
const OpenAI = require("openai");

const [baseURL, apiKey] = process.argv.slice(2);
const hello = { model: "gemini-2.5-flash", prompt: "Say hello." };

async function main() {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });

  const whole = await client.completions.create({ ...hello, max_tokens: 3 });
  assert.equal(whole.object, "text_completion");
  assert.match(whole.id, /^cmpl-/);
  assert.match(whole.choices[0].text, /^Hello/);
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.usage.completion_tokens, 3);
  const full = (await client.completions.create(hello)).choices[0].text;

  const stream = await client.completions.create({ ...hello, stream: true });
  let said = "";
  let last;
  for await (const chunk of stream) {
    said += chunk.choices[0].text;
    last = chunk;
  }
  assert.equal(said, full);
  assert.equal(last.choices[0].finish_reason, "stop");

  await assert.rejects(client.completions.create({ ...hello, echo: true }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, error);
    assert.deepEqual([error.code, error.param], ["invalid_value", "echo"]);
    return true;
  });
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
