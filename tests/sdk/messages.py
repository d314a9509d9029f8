"""Agents through Anthropic's official SDK on /v1/messages, on any upstream:

    messages.py ORIGIN KEY MODEL...            the whole loop, streamed and not, and everything else
    messages.py ORIGIN KEY MODEL --save FILE   only the first turn; the conversation goes to a file
    messages.py ORIGIN KEY MODEL --resume FILE the other turns of it

The model is the simulator's: it calls the first two tools in two rounds, and says at the end what
results it saw, in order, and whether its arguments came back as it made them.
"""

import asyncio
import hashlib
import json
import sys

import anthropic

ORIGIN, KEY, *MODELS = sys.argv[1:]
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather of a city",
        "input_schema": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "id": {"type": "integer"},
                "days": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["city", "id"],
        },
    },
    {
        "name": "get_time",
        "input_schema": {
            "type": "object",
            "properties": {"exact": {"type": "boolean"}},
        },
    },
    {"name": "never_called", "input_schema": {"type": "object"}},
]
TASK = {"role": "user", "content": "How is the weather, and how late is it?"}
HELLO = {"max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}]}

client = anthropic.Anthropic(base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=30)


def whole(model, messages, **more):
    return client.messages.create(
        model=model, messages=messages, tools=TOOLS, max_tokens=4000, **more
    )


def streamed(model, messages, **more):
    with client.messages.stream(
        model=model, messages=messages, tools=TOOLS, max_tokens=4000, **more
    ) as stream:
        names = [event.type for event in stream]
        message = stream.get_final_message()
    assert names[0] == "message_start" and names[-1] == "message_stop", names
    assert names.count("content_block_start") == len(message.content), names
    return message


def take_turn(ask, model, messages, number, **more):
    """One turn with calls: answers them and gives their results' fingerprints."""
    message = ask(model, messages, **more)
    assert message.stop_reason == "tool_use", (model, message)
    assert message.id.startswith("msg_") and message.role == "assistant", message
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_time"], (model, message)
    assert len({call.id for call in calls}) == 2, calls
    assert all(call.id.startswith("toolu_") for call in calls), calls
    assert isinstance(calls[0].input["city"], str) and isinstance(calls[0].input["id"], int)
    # As users do it: what came goes back, with all that is in it.
    messages.append({"role": "assistant", "content": message.content})
    results, prints = [], []
    for call in calls:
        text = f"{call.name} says \u201c\u00e9{number}\u201d\n"
        print_ = hashlib.sha256(text.encode()).hexdigest()[:8]
        prints.append(f"{call.name}={print_}")
        results.append({"type": "tool_result", "tool_use_id": call.id, "content": text})
    # The results of one may come before those of the other.
    messages.append({"role": "user", "content": list(reversed(results))})
    return prints


def said(message):
    return "".join(block.text for block in message.content if block.type == "text")


def finish_well(ask, model, messages, seen, **more):
    message = ask(model, messages, **more)
    text = said(message)
    assert message.stop_reason == "end_turn", (model, message)
    for part in seen:
        assert part in text, (model, part, text)
    assert "All arguments came back intact" in text, (model, text)
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message


def loop(ask, model, **more):
    messages = [dict(TASK)]
    seen = take_turn(ask, model, messages, 1, **more)
    seen += take_turn(ask, model, messages, 2, **more)
    finish_well(ask, model, messages, seen, **more)


def plain(message):
    """Without any block that only carries marks: the gateway's own memory must do."""
    return [block for block in message if block.type in ("text", "tool_use")]


def forgetful(ask):
    def asked(model, messages, **more):
        kept = [
            {**message, "content": plain(message["content"])}
            if message["role"] == "assistant"
            else message
            for message in messages
        ]
        return ask(model, kept, **more)

    return asked


def fails(kind, status, **changes):
    """The request with `changes` must raise `kind`."""
    try:
        client.messages.create(**{**HELLO, **changes})
    except kind as error:
        assert error.status_code == status, error
        # A vendor's own error passes as it is, with the vendor's own id.
        theirs = error.response.headers.get("x-upstream-request-id")
        assert error.request_id and error.body["request_id"] in (error.request_id, theirs), error
        assert error.body["type"] == "error" and error.body["error"]["message"], error
    else:
        raise AssertionError(f"{changes} was served")


def counted(model):
    """Tokens are counted by the vendor who would answer, if it counts at all."""
    asked = {"model": model, "messages": HELLO["messages"], "system": "Be brief.", "tools": TOOLS}
    if model.startswith("gpt"):
        try:
            client.messages.count_tokens(**asked)
        except anthropic.BadRequestError as error:
            assert "count tokens" in error.body["error"]["message"], error
        else:
            raise AssertionError("tokens of a vendor that does not count were counted")
        return
    count = client.messages.count_tokens(**asked)
    assert count.input_tokens > 0, count
    more = client.messages.count_tokens(**{**asked, "system": "Be brief. " * 100})
    assert more.input_tokens > count.input_tokens + 50, (count, more)


def everything_else(model):
    hello = client.messages.create(model=model, **HELLO, system="Be brief.")
    text = said(hello)
    assert hello.stop_reason == "end_turn" and text.startswith("Hello"), hello
    few = client.messages.create(model=model, **{**HELLO, "max_tokens": 3})
    assert few.stop_reason == "max_tokens" and few.usage.output_tokens == 3, few
    raw = client.messages.with_raw_response.create(model=model, **HELLO)
    assert raw.headers["request-id"] and raw.headers["content-type"] == "application/json"
    with client.messages.stream(model=model, **HELLO) as stream:
        assert "".join(stream.text_stream) == text
    fails(anthropic.BadRequestError, 400, model=model, extra_body={"temperature": 9})
    fails(anthropic.BadRequestError, 400, model=model, messages=[])
    fails(anthropic.NotFoundError, 404, model="llama-3")
    try:
        client.with_options(api_key="sk-wrong").messages.create(model=model, **HELLO)
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error", error
    else:
        raise AssertionError("a wrong key was let in")
    bearer = anthropic.Anthropic(base_url=ORIGIN, auth_token=KEY, max_retries=0, timeout=30)
    bearer = bearer.messages.create(model=model, **HELLO)
    assert said(bearer) == text, bearer
    counted(model)
    models = list(client.models.list())
    assert models and all(one.type == "model" for one in models), models

    async def at_once():
        """Twenty at once on one pool of connections."""
        async with anthropic.AsyncAnthropic(
            base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=30
        ) as pool:

            async def one(index):
                if index % 2:
                    answer = await pool.messages.create(model=model, **HELLO)
                    return said(answer)
                async with pool.messages.stream(model=model, **HELLO) as stream:
                    return await stream.get_final_text()

            answers = await asyncio.gather(*(one(index) for index in range(20)))
            assert set(answers) == {text}, answers

    asyncio.run(at_once())


def kept(messages):
    return [
        {**message, "content": [block.model_dump(exclude_none=True) for block in message["content"]]}
        if message["role"] == "assistant"
        else message
        for message in messages
    ]


if "--save" in MODELS:
    model, _, file = MODELS
    messages = [dict(TASK)]
    seen = take_turn(streamed, model, messages, 1)
    with open(file, "w", encoding="utf-8") as saved:
        json.dump({"messages": kept(messages), "seen": seen}, saved)
elif "--resume" in MODELS:
    model, _, file = MODELS
    with open(file, encoding="utf-8") as saved:
        saved = json.load(saved)
    messages, seen = saved["messages"], saved["seen"]
    seen += take_turn(whole, model, messages, 2)
    finish_well(whole, model, messages, seen)
else:
    for model in MODELS:
        everything_else(model)
        for ask in (whole, streamed):
            loop(ask, model)
            loop(forgetful(ask), model)
            if not model.startswith("gpt-4o"):
                loop(ask, model, thinking={"type": "enabled", "budget_tokens": 1024})
print("all is well")
