"""Chats with a gateway on its simulator by the official SDK: chat.py BASE_URL KEY."""

import asyncio
import sys

import openai

BASE_URL, KEY = sys.argv[1:]
HELLO = {
    "model": "gemini-2.5-flash",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
    ],
}

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)

whole = client.chat.completions.create(**HELLO, max_tokens=3, temperature=0.5)
assert whole.object == "chat.completion" and whole.model == "gemini-2.5-flash", whole
text = whole.choices[0].message.content
assert text.startswith("Hello"), whole
assert whole.choices[0].message.role == "assistant", whole
assert whole.choices[0].finish_reason == "length", whole
assert whole.usage.completion_tokens == 3, whole
assert whole.usage.total_tokens == whole.usage.prompt_tokens + 3, whole

raw = client.chat.completions.with_raw_response.create(**HELLO)
assert raw.headers["x-vertex-bridge-simulated"] == "true", raw.headers
assert raw.headers["x-request-id"], raw.headers
full = raw.parse().choices[0].message.content

stream = client.chat.completions.create(
    **HELLO, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 3, chunks[-1]
assert chunks[-2].choices[0].finish_reason == "stop", chunks[-2]
said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
assert said == full, (said, full)
assert len({chunk.id for chunk in chunks}) == 1, chunks

models = [model.id for model in client.models.list()]
assert "gemini-*" in models, models
assert client.models.retrieve("gemini-2.5-pro").id == "gemini-2.5-pro"


def fails(kind, code, param, **changes):
    """The request with `changes` must raise `kind`."""
    try:
        client.chat.completions.create(**{**HELLO, **changes})
    except kind as error:
        assert (error.code, error.param) == (code, param), error
        assert error.request_id, error
    else:
        raise AssertionError(f"{changes} was served")


fails(openai.NotFoundError, "model_not_found", "model", model="llama-3")
fails(openai.BadRequestError, "invalid_value", "temperature", temperature=9)
fails(openai.BadRequestError, "invalid_value", "messages", messages=[])
fails(openai.RateLimitError, "rate_limit_exceeded", None, model="gemini-2.5-flash-fault-429")
fails(openai.InternalServerError, "upstream_overloaded", None, model="gemini-2.5-flash-fault-503")
try:
    client.with_options(api_key="sk-wrong").chat.completions.create(**HELLO)
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key", error
else:
    raise AssertionError("a wrong key was let in")

# A stream that breaks off is an error, not a short answer.
broken = client.chat.completions.create(
    **{**HELLO, "model": "gemini-2.5-flash-fault-cut"}, stream=True
)
try:
    for _ in broken:
        pass
except openai.APIError as error:
    assert error.code == "upstream_truncated", error
else:
    raise AssertionError("a broken stream looked whole")


async def at_once():
    """Twenty at once on one pool of connections."""
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as pool:

        async def one(index):
            if index % 2:
                answer = await pool.chat.completions.create(**HELLO)
                return answer.choices[0].message.content
            stream = await pool.chat.completions.create(**HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        answers = await asyncio.gather(*(one(index) for index in range(20)))
        assert set(answers) == {full}, answers


asyncio.run(at_once())
print("all is well")
