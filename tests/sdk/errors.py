"""Failures of vendors as OpenAI's official SDK raises them: errors.py BASE_URL KEY FILE.

FILE has a list of cases: which answer the upstream gives, and what must become of it.
"""

import json
import sys

import openai

BASE_URL, KEY, FILE = sys.argv[1:]
client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)

with open(FILE, encoding="utf-8") as file:
    cases = json.load(file)
for case in cases:
    final = case["told"][2] == "upstream_auth_error"
    for stream in (False, True):
        asked = {
            "model": case["model"],
            "messages": [{"role": "user", "content": f"case:{case['case']}"}],
            "stream": stream,
        }
        try:
            client.chat.completions.create(**asked)
        except openai.APIStatusError as error:
            told = (error.status_code, error.type, error.code, type(error).__name__)
            expected = (*case["told"], case["raised"])
            assert told == expected, (case["case"], told, expected, error)
            head = error.response.headers
            after = head.get("retry-after")
            assert after == (case["retry_after"] and str(case["retry_after"])), (case, after)
            if after:
                assert int(head["retry-after-ms"]) > 1000 * (int(after) - 1), head
            assert (head.get("x-should-retry") == "false") == final, (case, head)
            assert head["x-request-id"] and error.message, (case, error)
            seen = f"{error.response.text}{head}"
            for secret in case["secrets"]:
                assert secret not in seen, (case["case"], seen)
        else:
            raise AssertionError(f"{case['case']} was served")
print("all is well")
