"""Agents through Google's official SDK on its native endpoint, on any upstream:

    generate.py ORIGIN KEY MODEL...            the whole loop, streamed and not, and everything else
    generate.py ORIGIN KEY MODEL --save FILE   only the first turn; the conversation goes to a file
    generate.py ORIGIN KEY MODEL --resume FILE the other turns of it

The model is the simulator's: it calls the first two tools in two rounds, and says at the end what
results it saw, in order, and whether its arguments came back as it made them.
"""

import asyncio
import hashlib
import json
import sys
import urllib.error
import urllib.request

from google import genai
from google.genai import errors, types

ORIGIN, KEY, *MODELS = sys.argv[1:]
# Declared in Google's own form of schemas, and as JSON Schema.
DECLARATIONS = [
    types.FunctionDeclaration(
        name="get_weather",
        description="The weather of a city",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={
                "city": types.Schema(type=types.Type.STRING),
                "id": types.Schema(type=types.Type.INTEGER),
                "note": types.Schema(type=types.Type.STRING, nullable=True),
                "days": types.Schema(
                    type=types.Type.ARRAY, items=types.Schema(type=types.Type.NUMBER)
                ),
            },
            required=["city", "id"],
        ),
    ),
    types.FunctionDeclaration(
        name="get_time",
        parameters_json_schema={
            "type": "object",
            "properties": {"exact": {"type": "boolean"}},
        },
    ),
    types.FunctionDeclaration(name="never_called"),
]
TASK = "How is the weather, and how late is it?"

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=ORIGIN, timeout=30_000))


def config(**more):
    tools = [types.Tool(function_declarations=DECLARATIONS)]
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(tools=tools, automatic_function_calling=off, **more)


def whole(model, contents, **more):
    answer = client.models.generate_content(model=model, contents=contents, config=config(**more))
    return answer.candidates[0].content.parts, answer


def streamed(model, contents, **more):
    parts, last = [], None
    for chunk in client.models.generate_content_stream(
        model=model, contents=contents, config=config(**more)
    ):
        for candidate in chunk.candidates or []:
            if candidate.content and candidate.content.parts:
                parts += candidate.content.parts
        last = chunk
    return parts, last


def take_turn(ask, model, contents, number, **more):
    """One turn with calls: answers them and gives their results' fingerprints."""
    parts, answer = ask(model, contents, **more)
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP, (model, answer)
    assert answer.response_id and answer.model_version, answer
    calls = [part.function_call for part in parts if part.function_call]
    assert [call.name for call in calls] == ["get_weather", "get_time"], (model, answer)
    assert isinstance(calls[0].args["city"], str) and isinstance(calls[0].args["id"], int), calls
    # As users do it: what came goes back, with all that is in it.
    contents.append(types.Content(role="model", parts=parts))
    results, prints = [], []
    for call in calls:
        text = f"{call.name} says \u201c\u00e9{number}\u201d\n"
        print_ = hashlib.sha256(text.encode()).hexdigest()[:8]
        prints.append(f"{call.name}={print_}")
        response = types.FunctionResponse(id=call.id, name=call.name, response={"output": text})
        results.append(types.Part(function_response=response))
    contents.append(types.Content(role="user", parts=results))
    return prints


def said(parts):
    return "".join(part.text for part in parts if part.text and not part.thought)


def finish_well(ask, model, contents, seen, **more):
    parts, answer = ask(model, contents, **more)
    text = said(parts)
    for part in seen:
        assert part in text, (model, part, text)
    assert "All arguments came back intact" in text, (model, text)
    usage = answer.usage_metadata
    assert usage.prompt_token_count > 0 and usage.candidates_token_count > 0, answer


def loop(ask, model, returned=lambda contents: contents, **more):
    contents = [types.Content(role="user", parts=[types.Part(text=TASK)])]
    asked = lambda model, contents, **more: ask(model, returned(contents), **more)
    seen = take_turn(asked, model, contents, 1, **more)
    seen += take_turn(asked, model, contents, 2, **more)
    finish_well(asked, model, contents, seen, **more)


def without_ids(contents):
    """What older clients return: no ids, results by name and in order."""
    contents = [content.model_copy(deep=True) for content in contents]
    for content in contents:
        for part in content.parts:
            for function in (part.function_call, part.function_response):
                if function:
                    function.id = None
    return contents


def fails(code, status, model, **changes):
    """The request with `changes` must fail like this."""
    try:
        client.models.generate_content(
            **{"model": model, "contents": "Say hello.", **changes}
        )
    except errors.ClientError as error:
        assert (error.code, error.status) == (code, status), error
        # Google's own errors pass as they are, with and without details.
        details = error.details["error"].get("details") or model.startswith("gemini")
        assert error.message and details, error
    else:
        raise AssertionError(f"{model} {changes} was served")


def everything_else(model):
    hello = client.models.generate_content(
        model=model,
        contents="Say hello.",
        config=types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.5),
    )
    assert hello.text.startswith("Hello"), hello
    few = client.models.generate_content(
        model=model,
        contents="Say hello.",
        config=types.GenerateContentConfig(max_output_tokens=3),
    )
    assert few.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS, few
    usage = few.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + 3, few
    chunks = list(client.models.generate_content_stream(model=model, contents="Say hello."))
    assert "".join(chunk.text or "" for chunk in chunks) == hello.text, chunks
    assert len({chunk.response_id for chunk in chunks}) == 1, chunks
    schema = {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}, "required": ["a"]}
    shaped = client.models.generate_content(
        model=model,
        contents="Say hello.",
        config=types.GenerateContentConfig(
            response_mime_type="application/json", response_schema=schema
        ),
    )
    assert isinstance(json.loads(shaped.text)["a"], int), shaped
    fails(400, "INVALID_ARGUMENT", model, config={"temperature": 9})
    fails(404, "NOT_FOUND", "llama-3")
    wrong = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=ORIGIN))
    try:
        wrong.models.generate_content(model=model, contents="Say hello.")
    except errors.ClientError as error:
        assert (error.code, error.status) == (401, "UNAUTHENTICATED"), error
    else:
        raise AssertionError("a wrong key was let in")
    # Without `alt=sse` the chunks are the elements of one array.
    request = urllib.request.Request(
        f"{ORIGIN}/v1beta/models/{model}:streamGenerateContent",
        json.dumps({"contents": [{"parts": [{"text": "Say hello."}]}]}).encode(),
        {"content-type": "application/json", "x-goog-api-key": KEY},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["content-type"].lower() == "application/json; charset=utf-8"
        array = json.load(answer)
    parts = [
        part.get("text", "")
        for chunk in array
        for part in chunk["candidates"][0]["content"]["parts"]
        if not part.get("thought")
    ]
    assert "".join(parts) == hello.text, array
    # A key in the URL ends in logs.
    request = urllib.request.Request(
        f"{ORIGIN}/v1beta/models/{model}:generateContent?key={KEY}",
        b"{}",
        {"content-type": "application/json"},
    )
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        body = error.read().decode()
        assert error.code == 401 and "URL" in body and KEY not in body, body
    else:
        raise AssertionError("a key in the URL was taken")
    names = [one.name for one in client.models.list()]
    assert all(name.startswith("models/") for name in names) and names, names
    assert client.models.get(model=model).name == f"models/{model}"

    async def at_once():
        """Twenty at once."""

        async def one(index):
            if index % 2:
                answer = await client.aio.models.generate_content(
                    model=model, contents="Say hello."
                )
                return answer.text
            stream = await client.aio.models.generate_content_stream(
                model=model, contents="Say hello."
            )
            return "".join([chunk.text or "" async for chunk in stream])

        answers = await asyncio.gather(*(one(index) for index in range(20)))
        assert set(answers) == {hello.text}, answers

    asyncio.run(at_once())


if "--save" in MODELS:
    model, _, file = MODELS
    contents = [types.Content(role="user", parts=[types.Part(text=TASK)])]
    seen = take_turn(streamed, model, contents, 1)
    with open(file, "w", encoding="utf-8") as saved:
        kept = [content.model_dump(mode="json", exclude_none=True) for content in contents]
        json.dump({"contents": kept, "seen": seen}, saved)
elif "--resume" in MODELS:
    model, _, file = MODELS
    with open(file, encoding="utf-8") as saved:
        saved = json.load(saved)
    contents = [types.Content.model_validate(content) for content in saved["contents"]]
    seen = saved["seen"]
    seen += take_turn(whole, model, contents, 2)
    finish_well(whole, model, contents, seen)
else:
    for model in MODELS:
        everything_else(model)
        for ask in (whole, streamed):
            loop(ask, model)
            loop(ask, model, without_ids)
            if not model.startswith("gpt-4o"):
                thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
                loop(ask, model, thinking_config=thinking, max_output_tokens=4000)
print("all is well")
