// Chats with a gateway on its simulator by the official SDK: chat.cjs BASE_URL KEY.
"use strict";

const assert = require("node:assert/strict");
const OpenAI = require("openai");

const [baseURL, apiKey] = process.argv.slice(2);
const hello = {
  model: "gemini-2.5-flash",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Say hello." },
  ],
};

async function main() {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });

  const whole = await client.chat.completions.create({ ...hello, max_tokens: 3 });
  assert.equal(whole.object, "chat.completion");
  assert.equal(whole.model, "gemini-2.5-flash");
  assert.match(whole.choices[0].message.content, /^Hello/);
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.usage.completion_tokens, 3);

  const { data, response } = await client.chat.completions.create(hello).withResponse();
  assert.equal(response.headers.get("x-vertex-bridge-simulated"), "true");
  const full = data.choices[0].message.content;

  const stream = await client.chat.completions.create({
    ...hello,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 3);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  const said = chunks.slice(0, -1).map((chunk) => chunk.choices[0].delta.content ?? "").join("");
  assert.equal(said, full);

  // The SDK's own collector of streams agrees.
  const collected = await client.chat.completions.stream(hello).finalChatCompletion();
  assert.equal(collected.choices[0].message.content, full);

  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  assert.ok(models.includes("gemini-*"), models);

  const fails = async (kind, code, param, changes) => {
    const call = client.chat.completions.create({ ...hello, ...changes });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof kind, error);
      assert.deepEqual([error.code, error.param], [code, param]);
      return true;
    });
  };
  await fails(OpenAI.NotFoundError, "model_not_found", "model", { model: "llama-3" });
  await fails(OpenAI.BadRequestError, "invalid_value", "temperature", { temperature: 9 });
  const limited = { model: "gemini-2.5-flash-fault-429" };
  await fails(OpenAI.RateLimitError, "rate_limit_exceeded", null, limited);
  const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(stranger.chat.completions.create(hello), OpenAI.AuthenticationError);

  // A stream that breaks off is an error, not a short answer.
  const cut = { ...hello, model: "gemini-2.5-flash-fault-cut", stream: true };
  await assert.rejects(
    async () => {
      for await (const chunk of await client.chat.completions.create(cut)) assert.ok(chunk);
    },
    (error) => error instanceof OpenAI.APIError && error.code === "upstream_truncated",
  );

  // Twenty at once on one pool of connections.
  const one = async () => {
    const answer = await client.chat.completions.create(hello);
    return answer.choices[0].message.content;
  };
  const answers = await Promise.all(Array.from({ length: 20 }, one));
  assert.deepEqual(new Set(answers), new Set([full]));
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
