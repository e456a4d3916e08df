-- wrk: posts one prompt again and again, and tells what it measured in a last line of JSON.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = os.getenv("LOAD_PROMPT")

-- Each of wrk's threads has its own globals; done() runs in another.
local threads = {}
refused = 0

function setup(thread)
   table.insert(threads, thread)
end

function response(status)
   if status == 503 then
      refused = refused + 1
   end
end

function done(summary, latency)
   local errors, refusals = summary.errors, 0
   for _, thread in ipairs(threads) do
      refusals = refusals + thread:get("refused")
   end
   io.write(string.format(
      '\n{"seconds": %f, "answers": %d, "not_2xx": %d, "refused": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f}\n',
      summary.duration / 1e6, summary.requests, errors.status, refusals,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
