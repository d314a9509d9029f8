-- A chat request for wrk:
--
--   wrk -t4 -c10 -d30s -H "Authorization: Bearer KEY" -H "Content-Type: application/json" \
--     -s scripts/load-test-lua.lua http://localhost:4000/v1/chat/completions
--
-- Fields given with -H are kept: wrk has put them into wrk.headers before it runs this file, and
-- nothing here replaces that table. LOAD_TEST_BODY replaces the body.

wrk.method = "POST"
wrk.body = os.getenv("LOAD_TEST_BODY")
  or '{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}],"max_tokens":10}'

local has_type = false
for name in pairs(wrk.headers) do
  has_type = has_type or name:lower() == "content-type"
end
if not has_type then
  wrk.headers["Content-Type"] = "application/json"
end

-- Runs once at the end. wrk shows no 95th percentile and no count of good answers by itself.
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.status
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write("Latency in milliseconds\n")
  for _, percent in ipairs({ 50, 95, 99 }) do
    io.write(string.format("  p%d  %.3f\n", percent, latency:percentile(percent) / 1000))
  end
  io.write("Answers\n")
  io.write(string.format("  good %d\n", summary.requests - failed))
  io.write(string.format("  bad  %d (status %d, connect %d, read %d, write %d, timeout %d)\n",
    failed + broken, failed, errors.connect, errors.read, errors.write, errors.timeout))
end
