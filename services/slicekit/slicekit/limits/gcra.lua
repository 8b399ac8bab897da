-- Charges tenants by GCRA. KEYS: one string a tenant. ARGV: "interval depth owed want" for each of them.
-- Answers "granted remaining wait" for each, as one string. Few long words: each one costs the caller more than Redis.
--
-- The clock is Redis' own: one for all replicas, so that a replica whose clock is off gets no more than another.
-- A key holds the theoretical arrival time and expires at it, so that a tenant at rest costs nothing.
-- gcra.py does the same, operation for operation.

local EPOCH = 1767225600 -- 2026-01-01: microseconds since then leave a double 8 binary places after the point
local time = redis.call('TIME')
local now = (tonumber(time[1]) - EPOCH) * 1000000 + tonumber(time[2])
local answers = {}

for i, key in ipairs(KEYS) do
    local words = { string.match(ARGV[i], '^(%S+) (%S+) (%S+) (%S+)$') }
    local interval, depth = tonumber(words[1]), tonumber(words[2])
    local owed, want = tonumber(words[3]), tonumber(words[4])
    local stored = redis.call('GET', key)
    local start = math.max(stored and tonumber(stored) or now, now)
    start = math.min(math.max(start + owed * interval, now), now + depth)
    local available = math.max(0, math.floor((now + depth - start) / interval))
    local granted = math.min(want, available)
    local after = start + granted * interval
    local remaining = available - granted
    local wait = remaining > 0 and 0 or math.max(1, math.ceil(after + interval - depth - now))
    if after > now then
        redis.call('SET', key, string.format('%.17g', after), 'PX', math.ceil((after - now) / 1000))
    elseif stored then
        redis.call('DEL', key)
    end
    answers[i] = string.format('%.0f %.0f %.0f', granted, remaining, wait)
end

return table.concat(answers, ' ')
