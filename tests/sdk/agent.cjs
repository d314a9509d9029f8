// Agents through OpenAI's official SDK for Node: agent.cjs BASE_URL KEY MODEL...
//
// Three turns with two calls each, streamed and not, by clients that return all they got and by
// plain ones. The simulator's model says at the end what results it saw and whether its arguments
// came back as it made them.
"use strict";

const assert = require("node:assert/strict");
const { createHash } = require("node:crypto");
const OpenAI = require("openai");

const [baseURL, apiKey, ...models] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });

const named = (name, properties) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties } },
});
const tools = [
  named("get_weather", { city: { type: "string" }, id: { type: "integer" } }),
  named("get_time", { exact: { type: "boolean" } }),
  named("never_called", {}),
];

async function whole(model, messages) {
  const answer = await client.chat.completions.create({ model, messages, tools });
  return answer.choices[0];
}

// The SDK's own helper puts the stream together.
async function streamed(model, messages) {
  const stream = client.chat.completions.stream({ model, messages, tools });
  const answer = await stream.finalChatCompletion();
  const { finish_reason, message } = answer.choices[0];
  const { parsed, ...rest } = message;
  for (const call of rest.tool_calls ?? []) delete call.function.parsed_arguments;
  return { finish_reason, message: rest };
}

const same = (message) => message;
const plain = ({ role, content, tool_calls }) => ({
  role,
  content,
  tool_calls: tool_calls.map(({ id, type, function: { name, arguments: text } }) => ({
    id,
    type,
    function: { name, arguments: text },
  })),
});

async function loop(ask, keep, model) {
  const messages = [{ role: "user", content: "How is the weather, and how late is it?" }];
  const seen = [];
  for (let turn = 1; turn <= 2; turn += 1) {
    const { finish_reason, message } = await ask(model, messages);
    assert.equal(finish_reason, "tool_calls", JSON.stringify(message));
    const calls = message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ["get_weather", "get_time"]);
    assert.notEqual(calls[0].id, calls[1].id);
    messages.push(keep(message));
    for (const call of calls) {
      JSON.parse(call.function.arguments);
      const content = `${call.function.name} says é${turn}`;
      const print = createHash("sha256").update(content).digest("hex").slice(0, 8);
      seen.push(`${call.function.name}=${print}`);
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
  }
  const { finish_reason, message } = await ask(model, messages);
  assert.equal(finish_reason, "stop");
  for (const part of seen) assert.ok(message.content.includes(part), message.content);
  assert.match(message.content, /All arguments came back intact/);
}

async function main() {
  for (const model of models) {
    for (const ask of [whole, streamed]) {
      for (const keep of [same, plain]) await loop(ask, keep, model);
    }
  }
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
