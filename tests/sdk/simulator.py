"""Agent loops by each vendor's own SDK, straight against the simulator: simulator.py ORIGIN."""

import hashlib
import json
import sys

import anthropic
import openai
from google import genai
from google.genai import types

ORIGIN = sys.argv[1]
BIG = 9007199254740993
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "dry": {"type": "boolean"},
        "unit": {"type": "string", "enum": ["c", "f"]},
        "days": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    "required": ["city"],
}
NAMES = ["weather", "clock"]


def run(name, arguments):
    """A tool: its result depends on every bit of what it was asked."""
    assert arguments["count"] in (BIG, BIG + 1), arguments
    assert arguments["unit"] in "cf" and "Zürich" in arguments["city"], arguments
    assert arguments["days"][0]["n"] >= BIG, arguments
    return {"tool": name, "echo": arguments["city"], "n": arguments["count"]}


def fingerprint(result):
    text = json.dumps(result, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def check(results, text):
    """The last answer names every result in its order."""
    prints = ", ".join(f"{result['tool']}={fingerprint(result)}" for result in results)
    expected = f"I saw 4 tool results in 2 rounds: {prints}. All arguments came back intact."
    assert text == expected, (text, expected)


def by_openai(stream):
    client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key="sk-test", max_retries=0)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in NAMES
    ]
    messages, results = [{"role": "user", "content": "Go."}], []
    for _ in range(2):
        asked = {"model": "gpt-4o", "messages": messages, "tools": tools}
        if stream:
            with client.chat.completions.stream(**asked) as events:
                for _ in events:
                    pass
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**asked).choices[0].message
        message = message.model_dump(exclude_none=True)
        for call in message["tool_calls"]:
            # The helper for streams adds what it has parsed.
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        message.pop("parsed", None)
        messages.append(message)
        assert [call["function"]["name"] for call in message["tool_calls"]] == NAMES, message
        for call in message["tool_calls"]:
            function = call["function"]
            results.append(run(function["name"], json.loads(function["arguments"])))
            content = json.dumps(results[-1])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    last = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    check(results, last.choices[0].message.content)


def by_anthropic(stream, thinking):
    client = anthropic.Anthropic(base_url=ORIGIN, api_key="sk-ant-test", max_retries=0)
    tools = [{"name": name, "input_schema": SCHEMA} for name in NAMES]
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 4096, "tools": tools}
    if thinking:
        asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    messages, results = [{"role": "user", "content": "Go."}], []
    for turn in range(3):
        if stream:
            with client.messages.stream(**asked, messages=messages) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**asked, messages=messages)
        assert (answer.content[0].type == "thinking") == thinking, answer
        messages.append({"role": "assistant", "content": answer.content})
        calls = [block for block in answer.content if block.type == "tool_use"]
        if turn == 2:
            assert not calls and answer.stop_reason == "end_turn", answer
            return check(results, answer.content[-1].text)
        assert [call.name for call in calls] == NAMES and answer.stop_reason == "tool_use", answer
        blocks = []
        for call in calls:
            results.append(run(call.name, call.input))
            content = json.dumps(results[-1])
            blocks.append({"type": "tool_result", "tool_use_id": call.id, "content": content})
        messages.append({"role": "user", "content": blocks})


def by_genai(model, stream):
    options = types.HttpOptions(base_url=ORIGIN)
    client = genai.Client(api_key="AIza-test", http_options=options)
    functions = [
        types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in NAMES
    ]
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=functions)])
    contents, results = [types.Content(role="user", parts=[types.Part(text="Go.")])], []
    for turn in range(3):
        asked = {"model": model, "contents": contents, "config": config}
        if stream:
            parts = []
            for chunk in client.models.generate_content_stream(**asked):
                parts += chunk.candidates[0].content.parts or []
            content = types.Content(role="model", parts=parts)
        else:
            content = client.models.generate_content(**asked).candidates[0].content
        contents.append(content)
        calls = [part.function_call for part in content.parts if part.function_call]
        if turn == 2:
            assert not calls, content
            return check(results, "".join(part.text or "" for part in content.parts))
        assert [call.name for call in calls] == NAMES, content
        parts = []
        for call in calls:
            results.append(run(call.name, call.args))
            answer = types.FunctionResponse(id=call.id, name=call.name, response=results[-1])
            parts.append(types.Part(function_response=answer))
        contents.append(types.Content(role="user", parts=parts))


for stream in (False, True):
    by_openai(stream)
    for thinking in (False, True):
        by_anthropic(stream, thinking)
    for model in ("gemini-2.5-flash", "gemini-3-pro-preview"):
        by_genai(model, stream)
print("all is well")
