-- For wrk: each request is of the next of TENANTS tenants; sums up by what was answered.
local tenants = tonumber(os.getenv("TENANTS")) or 1
local path, at = wrk.path, 0

function setup(thread)
  threads = threads or {}
  table.insert(threads, thread)
end

function init(_)
  ok, limited, failed = 0, 0, 0
end

function request()
  at = at % tenants + 1
  return wrk.format("GET", path, { ["X-Tenant"] = "tenant-" .. at })
end

function response(status)
  if status == 200 then ok = ok + 1
  elseif status == 429 then limited = limited + 1
  else failed = failed + 1
  end
end

function done(summary, latency)
  local sums = { ok = 0, limited = 0, failed = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
  end
  local errors = summary.errors
  sums.failed = sums.failed + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("requests=%d micros=%d ok=%d limited=%d failed=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, sums.ok, sums.limited, sums.failed,
    latency:percentile(50), latency:percentile(99)))
end
