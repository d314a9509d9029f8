"""Lets prompts be completed by the official SDK: completions.py BASE_URL KEY."""

import sys

import openai

BASE_URL, KEY = sys.argv[1:]
HELLO = {"model": "gemini-2.5-flash", "prompt": "Say hello."}

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)

whole = client.completions.create(**HELLO, max_tokens=3, temperature=0.5)
assert whole.object == "text_completion" and whole.model == "gemini-2.5-flash", whole
assert whole.id.startswith("cmpl-"), whole
assert whole.choices[0].text.startswith("Hello"), whole
assert whole.choices[0].finish_reason == "length", whole
assert whole.usage.completion_tokens == 3, whole
full = client.completions.create(**HELLO).choices[0].text

stream = client.completions.create(
    **HELLO, n=2, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 3, chunks[-1]
assert len({chunk.id for chunk in chunks}) == 1, chunks
for index in range(2):
    choices = [c for chunk in chunks for c in chunk.choices if c.index == index]
    assert "".join(choice.text for choice in choices) == full, choices
    assert [choice.finish_reason for choice in choices[-2:]] == [None, "stop"], choices


def fails(kind, code, param, **changes):
    """The request with `changes` must raise `kind`."""
    try:
        client.completions.create(**{**HELLO, **changes})
    except kind as error:
        assert (error.code, error.param) == (code, param), error
    else:
        raise AssertionError(f"{changes} was served")


for name, value in [
    ("prompt", ["one", "two"]),
    ("prompt", [1, 2, 3]),
    ("suffix", "the end"),
    ("echo", True),
    ("best_of", 3),
    ("logprobs", 2),
]:
    fails(openai.BadRequestError, "invalid_value", name, **{name: value})
fails(openai.NotFoundError, "model_not_found", "model", model="llama-3")
fails(openai.RateLimitError, "rate_limit_exceeded", None, model="gemini-2.5-flash-fault-429")

raw = client.completions.with_raw_response.create(**HELLO, logit_bias={"50256": -100}, user="u")
assert raw.headers["x-vertex-bridge-dropped"] == "logit_bias, user", raw.headers

# A stream that breaks off is an error, not a short answer.
broken = client.completions.create(
    **{**HELLO, "model": "gemini-2.5-flash-fault-cut"}, stream=True
)
try:
    for _ in broken:
        pass
except openai.APIError as error:
    assert error.code == "upstream_truncated", error
else:
    raise AssertionError("a broken stream looked whole")

print("all is well")
