"""Agents through OpenAI's official SDK on /v1/chat/completions, on any upstream:

    agent.py BASE_URL KEY MODEL...            three turns with two calls each, streamed and not,
                                              by clients that return all they got, and plain ones
    agent.py BASE_URL KEY MODEL --save FILE   only the first turn; the conversation goes to a file
    agent.py BASE_URL KEY MODEL --resume FILE the other turns of it

The model is the simulator's: it calls the first two tools in two rounds, and says at the end what
results it saw, in order, and whether its arguments came back as it made them. A model that marks
its calls or its thoughts refuses a turn that lacks them.
"""

import hashlib
import json
import sys

import openai

BASE_URL, KEY, *MODELS = sys.argv[1:]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "id": {"type": "integer"},
                    "days": {"type": "array", "items": {"type": "number"}},
                },
                "required": ["city", "id"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_time",
            "parameters": {"type": "object", "properties": {"exact": {"type": "boolean"}}},
        },
    },
    {
        "type": "function",
        "function": {"name": "never_called", "parameters": {"type": "object", "properties": {}}},
    },
]
TASK = {"role": "user", "content": "How is the weather, and how late is it?"}

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)


def whole(model, messages, **more):
    answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, **more)
    assert answer.object == "chat.completion" and answer.usage.total_tokens > 0, answer
    choice = answer.choices[0]
    return choice.finish_reason, choice.message.model_dump(exclude_none=True)


def streamed(model, messages, **more):
    """Puts a stream together as the SDK's own helper does."""
    asked = {"model": model, "messages": messages, "tools": TOOLS, **more}
    with client.chat.completions.stream(
        **asked, stream_options={"include_usage": True}
    ) as events:
        for _ in events:
            pass
        answer = events.get_final_completion()
    assert answer.usage.total_tokens > 0, answer
    choice = answer.choices[0]
    message = choice.message.model_dump(exclude_none=True)
    # What the helper has added is not the API's.
    message.pop("parsed", None)
    for call in message.get("tool_calls", []):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return choice.finish_reason, message


def plain(message):
    """What a client keeps that knows nothing but the API's own fields."""
    kept = {"role": "assistant", "content": message.get("content")}
    if "tool_calls" in message:
        kept["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {key: call["function"][key] for key in ("name", "arguments")},
            }
            for call in message["tool_calls"]
        ]
    return kept


def take_turn(ask, keep, model, messages, number, **more):
    """One turn with calls: answers them and gives their results' fingerprints."""
    reason, message = ask(model, messages, **more)
    assert reason == "tool_calls" and message["role"] == "assistant", (model, reason, message)
    calls = message["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"], message
    assert len({call["id"] for call in calls}) == 2, calls
    assert all(call["type"] == "function" for call in calls), calls
    arguments = json.loads(calls[0]["function"]["arguments"])
    assert isinstance(arguments["city"], str) and isinstance(arguments["id"], int), arguments
    messages.append(keep(message))
    prints, results = [], []
    for call in calls:
        text = f"{call['function']['name']} says \u201c\u00e9{number}\u201d\n"
        prints.append(f"{call['function']['name']}={hashlib.sha256(text.encode()).hexdigest()[:8]}")
        results.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    # The results of one may come before those of the other.
    messages += reversed(results)
    return prints


def finish_well(ask, model, messages, seen, **more):
    reason, message = ask(model, messages, **more)
    assert reason == "stop", (model, reason, message)
    for part in seen:
        assert part in message["content"], (model, part, message)
    assert "All arguments came back intact" in message["content"], (model, message)


def loop(ask, keep, model, **more):
    messages = [dict(TASK)]
    seen = take_turn(ask, keep, model, messages, 1, **more)
    seen += take_turn(ask, keep, model, messages, 2, **more)
    finish_well(ask, model, messages, seen, **more)


def same(message):
    return message


if "--save" in MODELS:
    model, _, file = MODELS
    messages = [dict(TASK)]
    seen = take_turn(streamed, same, model, messages, 1)
    with open(file, "w", encoding="utf-8") as saved:
        json.dump({"messages": messages, "seen": seen}, saved)
elif "--resume" in MODELS:
    model, _, file = MODELS
    with open(file, encoding="utf-8") as saved:
        saved = json.load(saved)
    messages, seen = saved["messages"], saved["seen"]
    seen += take_turn(whole, same, model, messages, 2)
    finish_well(whole, model, messages, seen)
else:
    for model in MODELS:
        for ask in (whole, streamed):
            for keep in (same, plain):
                loop(ask, keep, model)
                if not model.startswith("gpt-4o"):
                    loop(ask, keep, model, reasoning_effort="low")
print("all is well")
