"""Agents through OpenAI's official SDK on /v1/responses, on any upstream:

    responses.py ORIGIN KEY MODEL...            the whole loop, streamed and not, and everything else
    responses.py ORIGIN KEY MODEL --save FILE   only the first turn; the conversation goes to a file
    responses.py ORIGIN KEY MODEL --resume FILE the other turns of it

The model is the simulator's: it calls the first two tools in two rounds, and says at the end what
results it saw, in order, and whether its arguments came back as it made them.
"""

import asyncio
import hashlib
import json
import sys

import openai

ORIGIN, KEY, *MODELS = sys.argv[1:]
TOOLS = [
    {
        "type": "function",
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
        "strict": False,
    },
    {
        "type": "function",
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"exact": {"type": "boolean"}}},
        "strict": False,
    },
    {"type": "function", "name": "never_called", "parameters": {"type": "object", "properties": {}}, "strict": False},
]
TASK = {"role": "user", "content": "How is the weather, and how late is it?"}
HELLO = {"input": "Say hello.", "store": False}

client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0, timeout=30)


def whole(model, items, **more):
    return client.responses.create(model=model, input=items, tools=TOOLS, store=False, **more)


def streamed(model, items, **more):
    with client.responses.stream(
        model=model, input=items, tools=TOOLS, store=False, **more
    ) as stream:
        events = list(stream)
        response = stream.get_final_response()
    names = [event.type for event in events]
    assert names[:2] == ["response.created", "response.in_progress"], names
    assert names[-1] == "response.completed", names
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers)), numbers
    assert names.count("response.output_item.added") == len(response.output), names
    assert names.count("response.output_item.done") == len(response.output), names
    return response


def take_turn(ask, model, items, number, **more):
    """One turn with calls: answers them and gives their results' fingerprints."""
    response = ask(model, items, **more)
    assert response.status == "completed" and response.id.startswith("resp_"), response
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"], (model, response)
    assert len({call.call_id for call in calls}) == 2, calls
    assert all(call.call_id.startswith("call_") for call in calls), calls
    weather = json.loads(calls[0].arguments)
    assert isinstance(weather["city"], str) and isinstance(weather["id"], int), weather
    # As users do it: what came goes back, with all that is in it.
    items += [item.to_dict(exclude_none=True) for item in response.output]
    prints = []
    for call in calls:
        text = f"{call.name} says \u201c\u00e9{number}\u201d\n"
        print_ = hashlib.sha256(text.encode()).hexdigest()[:8]
        prints.append(f"{call.name}={print_}")
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": text})
    # The results of one may come before those of the other.
    items[-2:] = reversed(items[-2:])
    return prints


def finish_well(ask, model, items, seen, **more):
    response = ask(model, items, **more)
    text = response.output_text
    assert response.status == "completed", (model, response)
    for part in seen:
        assert part in text, (model, part, text)
    assert "All arguments came back intact" in text, (model, text)
    usage = response.usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0, response


def loop(ask, model, returned=lambda items: items, **more):
    items = [dict(TASK)]
    asked = lambda model, items, **more: ask(model, returned(items), **more)
    seen = take_turn(asked, model, items, 1, **more)
    seen += take_turn(asked, model, items, 2, **more)
    finish_well(asked, model, items, seen, **more)


def forgetful(items):
    """Without any reasoning: the gateway's own memory must do."""
    return [item for item in items if item.get("type") != "reasoning"]


def fails(kind, code, param, **changes):
    """The request with `changes` must raise `kind`."""
    try:
        client.responses.create(**{**HELLO, **changes})
    except kind as error:
        assert (error.code, error.param) == (code, param), error
        assert error.request_id, error
    else:
        raise AssertionError(f"{changes} was served")


def everything_else(model):
    hello = client.responses.create(model=model, **HELLO, instructions="Be brief.")
    text = hello.output_text
    assert hello.status == "completed" and text.startswith("Hello"), hello
    assert hello.instructions == "Be brief." and hello.object == "response", hello
    few = client.responses.create(model=model, **HELLO, max_output_tokens=16 if "gpt" in model else 3)
    assert few.status in ("incomplete", "completed"), few
    if few.status == "incomplete":
        assert few.incomplete_details.reason == "max_output_tokens", few
    pieces = [
        event.delta
        for event in client.responses.create(model=model, **HELLO, stream=True)
        if event.type == "response.output_text.delta"
    ]
    assert "".join(pieces) == text, pieces
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "form", "schema": schema, "strict": True}
    shaped = client.responses.create(model=model, **HELLO, text={"format": form})
    assert isinstance(json.loads(shaped.output_text)["a"], int), shaped
    if not model.startswith("gpt"):
        fails(openai.BadRequestError, "invalid_value", "temperature", model=model, temperature=9)
        fails(
            openai.BadRequestError,
            "invalid_value",
            "previous_response_id",
            model=model,
            previous_response_id="resp_1",
        )
        search = [{"type": "web_search"}]
        fails(openai.BadRequestError, "invalid_value", "tools[0].type", model=model, tools=search)
    fails(openai.NotFoundError, "model_not_found", "model", model="llama-3")
    # A stream that breaks off is an error, not a short answer.
    broken = client.responses.create(model=f"{model}-fault-cut", **HELLO, stream=True)
    try:
        events = [event.type for event in broken]
    except openai.APIError as error:
        assert error.code == "upstream_truncated", error
    else:
        raise AssertionError(f"a broken stream looked whole: {events}")

    async def at_once():
        """Twenty at once on one pool of connections."""
        async with openai.AsyncOpenAI(
            base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0, timeout=30
        ) as pool:

            async def one(index):
                if index % 2:
                    return (await pool.responses.create(model=model, **HELLO)).output_text
                stream = await pool.responses.create(model=model, **HELLO, stream=True)
                return "".join(
                    [
                        event.delta
                        async for event in stream
                        if event.type == "response.output_text.delta"
                    ]
                )

            answers = await asyncio.gather(*(one(index) for index in range(20)))
            assert set(answers) == {text}, answers

    asyncio.run(at_once())


if "--save" in MODELS:
    model, _, file = MODELS
    items = [dict(TASK)]
    seen = take_turn(streamed, model, items, 1)
    with open(file, "w", encoding="utf-8") as saved:
        json.dump({"items": items, "seen": seen}, saved)
elif "--resume" in MODELS:
    model, _, file = MODELS
    with open(file, encoding="utf-8") as saved:
        saved = json.load(saved)
    items, seen = saved["items"], saved["seen"]
    seen += take_turn(whole, model, items, 2)
    finish_well(whole, model, items, seen)
else:
    for model in MODELS:
        everything_else(model)
        for ask in (whole, streamed):
            loop(ask, model)
            if not model.startswith("gpt"):
                loop(ask, model, forgetful)
            if not model.startswith("gpt-4o"):
                loop(ask, model, reasoning={"effort": "low", "summary": "auto"})
print("all is well")
