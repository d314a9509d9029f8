"""OpenAI's official SDK on /v1/embeddings, on the upstreams of every vendor:

    embeddings.py BASE_URL KEY MODEL...
"""

import sys

import openai

BASE_URL, KEY, *MODELS = sys.argv[1:]
client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)


def fails(field, **changes):
    try:
        client.embeddings.create(**{"model": MODELS[0], "input": "x", **changes})
    except openai.BadRequestError as error:
        assert error.body["param"] == field and error.body["message"], error
    else:
        raise AssertionError(f"{changes} was served")


for model in MODELS:
    # Without a format the SDK asks for base64 and unpacks it.
    packed = client.embeddings.create(model=model, input="Hello", dimensions=8)
    assert packed.object == "list" and packed.model == model, packed
    vector = packed.data[0].embedding
    assert len(vector) == 8 and all(isinstance(number, float) for number in vector), packed
    plain = client.embeddings.create(
        model=model, input="Hello", dimensions=8, encoding_format="float"
    )
    pairs = zip(vector, plain.data[0].embedding, strict=True)
    assert all(abs(one - other) < 1e-6 for one, other in pairs), (packed, plain)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == plain.usage.total_tokens
    texts = ["one", "two \u201c\u00e9\u201d\n", "one"]
    many = client.embeddings.create(model=model, input=texts)
    assert [one.index for one in many.data] == [0, 1, 2], many
    first, second, third = (one.embedding for one in many.data)
    assert first == third != second and len(first) > 8, many

fails("input", input=[1, 2, 3])
fails("input", input=[[1], [2]])
fails("input", input=[])
fails("dimensions", dimensions=0)
fails("encoding_format", encoding_format="hex")
print("all is well")
