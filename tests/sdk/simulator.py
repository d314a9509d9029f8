"""Agent loops by each vendor's own SDK, straight against the simulator, which has written the key
file of its service account: simulator.py ORIGIN FILE."""

import hashlib
import json
import sys

import anthropic
import openai
from google import genai
from google.genai import types
from google.oauth2 import service_account

ORIGIN, FILE = sys.argv[1:]
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CREDENTIALS = service_account.Credentials.from_service_account_file(FILE, scopes=[SCOPE])
PROJECT = {"location": "us-central1", "project": "simulated-project"}
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


def by_responses(model, stream):
    client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key="sk-test", max_retries=0)
    tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in NAMES]
    asked = {"model": model, "tools": tools, "store": False}
    if model.startswith("gpt-5"):
        asked["include"] = ["reasoning.encrypted_content"]
        asked["reasoning"] = {"summary": "auto"}
    items, results = [{"role": "user", "content": "Go."}], []
    for turn in range(3):
        if stream:
            with client.responses.stream(**asked, input=items) as events:
                for _ in events:
                    pass
                answer = events.get_final_response()
        else:
            answer = client.responses.create(**asked, input=items)
        calls = [item for item in answer.output if item.type == "function_call"]
        if turn == 2:
            assert not calls and answer.status == "completed", answer
            return check(results, answer.output_text)
        assert [call.name for call in calls] == NAMES, answer
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        for item in items:
            for part in item.get("content", []) if isinstance(item.get("content"), list) else []:
                part.pop("parsed", None)
        for call in calls:
            results.append(run(call.name, json.loads(call.arguments)))
            output = json.dumps(results[-1])
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def by_anthropic(client, stream, thinking):
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


def by_genai(client, model, stream):
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


def by_others():
    """What is no conversation."""
    client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key="sk-test", max_retries=0)
    asked = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    by_base64 = client.embeddings.create(**asked)
    by_float = client.embeddings.create(**asked, encoding_format="float")
    for one, other in zip(by_base64.data, by_float.data):
        pairs = zip(one.embedding, other.embedding)
        assert len(one.embedding) == 8 and all(abs(a - b) < 1e-6 for a, b in pairs), one
    done = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi", max_tokens=2)
    assert done.choices[0].text == "Hello from", done
    assert [model.id for model in client.models.list()], "models"
    hello = [{"role": "user", "content": "Hello."}]
    counted = ANTHROPIC.messages.count_tokens(model="claude-haiku-4-5", messages=hello)
    assert counted.input_tokens > 0, counted
    assert ANTHROPIC.models.list().data[0].type == "model"
    for google, model in ((STUDIO, "gemini-embedding-001"), (VERTEX, "text-embedding-005")):
        config = types.EmbedContentConfig(output_dimensionality=8)
        vectors = google.models.embed_content(model=model, contents=["a"], config=config)
        assert len(vectors.embeddings[0].values) == 8, vectors
        counted = google.models.count_tokens(model="gemini-2.5-flash", contents="12345678")
        assert counted.total_tokens == 2, counted


ANTHROPIC = anthropic.Anthropic(base_url=ORIGIN, api_key="sk-ant-test", max_retries=0)
CLAUDE = anthropic.AnthropicVertex(
    base_url=f"{ORIGIN}/v1",
    region=PROJECT["location"],
    project_id=PROJECT["project"],
    credentials=CREDENTIALS,
    max_retries=0,
)
OPTIONS = types.HttpOptions(base_url=ORIGIN)
STUDIO = genai.Client(api_key="AIza-test", http_options=OPTIONS)
VERTEX = genai.Client(vertexai=True, credentials=CREDENTIALS, http_options=OPTIONS, **PROJECT)
for stream in (False, True):
    by_openai(stream)
    for model in ("gpt-4o", "gpt-5"):
        by_responses(model, stream)
    for client in (ANTHROPIC, CLAUDE):
        for thinking in (False, True):
            by_anthropic(client, stream, thinking)
    for client in (STUDIO, VERTEX):
        for model in ("gemini-2.5-flash", "gemini-3-pro-preview"):
            by_genai(client, model, stream)
by_others()
print("all is well")
