-- What a worker has seen of upstreams goes in; what all of them know comes out.
--
-- KEYS 1 breakers, 2 flows, 3 gauges, 4 quotas; keys.py says what their fields hold
-- ARGV 1 now ms, 2 worker ('' for a job or an admin, who also gets the sums of the half minute),
--      3 its calls in flight as `channel count …`; then reports, each a word and its arguments:
--      ok target calls first_byte_ms(mean; -1 unknown) kind(call, or probe: closes though the rest is not over)
--      fail target failures_max error_percent open_ms what
--      refused target open_ms what(of a key)
--      quota place until_ms(-1: the upstream named no time)
--      free target lease_ms(of a trial that was not made)
-- Answers {target record …}, {channel ewma_ms calls errors …}, {channel in_flight …}, {place until_ms …}
local now, worker = tonumber(ARGV[1]), ARGV[2]
local SLOT, SLOTS, CALLS_LEAST = 3000, 10, 20
local REST_MAX = 600000
-- Failures count as in a row though minutes lie between them: a channel with few calls fails slowly.
local ROW_MAX, FLOW_KEPT, BREAKER_KEPT, GAUGE_KEPT = 600000, 3600000, 86400000, 5000
local PAUSE_FIRST, PAUSE_MAX, PAUSE_KEPT = 5000, 300000, 60000
local NEWEST = 0.2

local function breaker_of(target)
  local text = redis.call('HGET', KEYS[1], target)
  if not text then return nil end
  local till, trips, lease = string.match(text, '^(%d+) (%d+) (%d+) ')
  return {till = tonumber(till), trips = tonumber(trips), lease = tonumber(lease)}
end

local function rest(target, trips, open_ms, reason)
  -- Doubled up to ten minutes; a channel may be told to rest longer than that from the start.
  local wait = math.max(open_ms, math.min(open_ms * 2 ^ math.min(trips - 1, 20), REST_MAX))
  redis.call('HSET', KEYS[1], target, whole(now + wait) .. ' ' .. trips .. ' 0 ' .. reason)
end

local function sums(slots)
  local calls, errors, kept = 0, 0, {}
  local oldest = math.floor(now / SLOT) - SLOTS
  for slot, c, e in string.gmatch(slots, '(%d+):(%d+):(%d+)') do
    if tonumber(slot) > oldest then
      calls, errors = calls + tonumber(c), errors + tonumber(e)
      kept[#kept + 1] = {slot, tonumber(c), tonumber(e)}
    end
  end
  return calls, errors, kept
end

-- Add calls to the current slot; answers failures in a row, and calls and errors of the half minute.
local function count(channel, calls, errors, first_byte)
  local text = redis.call('HGET', KEYS[2], channel) or '0 -1 0 '
  local failures, ewma, seen, slots = string.match(text, '^(%d+) (%-?[%d.]+) (%d+) (.*)$')
  failures, ewma = tonumber(failures), tonumber(ewma)
  if now - tonumber(seen) > ROW_MAX then failures = 0 end
  failures = errors > 0 and failures + errors or 0
  if first_byte >= 0 then
    if ewma < 0 then ewma = first_byte else ewma = ewma + (1 - (1 - NEWEST) ^ calls) * (first_byte - ewma) end
  end
  local all, bad, kept = sums(slots)
  local slot = whole(math.floor(now / SLOT))
  if #kept > 0 and kept[#kept][1] == slot then
    kept[#kept][2], kept[#kept][3] = kept[#kept][2] + calls, kept[#kept][3] + errors
  else
    kept[#kept + 1] = {slot, calls, errors}
  end
  for i, k in ipairs(kept) do kept[i] = k[1] .. ':' .. whole(k[2]) .. ':' .. whole(k[3]) end
  redis.call('HSET', KEYS[2], channel,
    whole(failures) .. ' ' .. string.format('%.1f', ewma) .. ' ' .. whole(now) .. ' ' .. table.concat(kept, ' '))
  return failures, all + calls, bad + errors
end

-- What failed before a recovery says nothing about after it; how fast the channel answers does.
local function forget(channel)
  local text = redis.call('HGET', KEYS[2], channel)
  if text then
    redis.call('HSET', KEYS[2], channel, '0 ' .. string.match(text, '^%d+ (%-?[%d.]+ %d+ )'))
  end
end

local reports = {}

function reports.ok(i)
  local target, calls = ARGV[i], tonumber(ARGV[i + 1])
  local channel = string.match(target, '^c:(%d+)$')
  local breaker = breaker_of(target)
  -- A call that began before the trouble may still succeed during the rest; that ends nothing.
  local closes = breaker and (breaker.till <= now or ARGV[i + 3] == 'probe')
  if closes then redis.call('HDEL', KEYS[1], target) end
  if closes and channel then forget(channel) end
  if channel then count(channel, calls, 0, tonumber(ARGV[i + 2])) end
  return i + 4
end

function reports.fail(i)
  local target, what = ARGV[i], ARGV[i + 4]
  local most, percent, open_ms = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local failures, calls, errors = count(string.sub(target, 3), 1, 1, -1)
  local breaker = breaker_of(target)
  if breaker then
    if breaker.till <= now then
      -- Only a failed trial doubles the rest, not a call from before it that fails late.
      local trips = breaker.trips + (breaker.lease > 0 and 1 or 0)
      rest(target, trips, open_ms, 'A trial failed: ' .. what)
    end
  elseif failures >= most then
    local row = failures == 1 and 'A failure: ' or whole(failures) .. ' failures in a row, the last: '
    rest(target, 1, open_ms, row .. what)
  elseif calls >= CALLS_LEAST and errors * 100 >= percent * calls then
    rest(target, 1, open_ms, whole(errors) .. ' of ' .. whole(calls) .. ' calls failed, the last: ' .. what)
  end
  return i + 5
end

function reports.refused(i)
  local target, breaker = ARGV[i], breaker_of(ARGV[i])
  if not breaker then
    rest(target, 1, tonumber(ARGV[i + 1]), ARGV[i + 2])
  elseif breaker.till <= now then
    rest(target, breaker.trips + (breaker.lease > 0 and 1 or 0), tonumber(ARGV[i + 1]), ARGV[i + 2])
  end
  return i + 3
end

function reports.quota(i)
  local till, named = 0, tonumber(ARGV[i + 1])
  local times = 0
  local text = redis.call('HGET', KEYS[4], ARGV[i])
  if text then
    local a, b = string.match(text, '^(%d+) (%d+)$')
    till, times = tonumber(a), tonumber(b)
  end
  if named >= 0 then
    till = math.max(till, named)
  elseif till <= now then
    -- Again soon after the last pause: it goes on.
    if now - till > PAUSE_KEPT then times = 0 end
    till, times = now + math.min(PAUSE_FIRST * 2 ^ math.min(times, 20), PAUSE_MAX), times + 1
  end
  redis.call('HSET', KEYS[4], ARGV[i], whole(till) .. ' ' .. whole(times))
  return i + 2
end

function reports.free(i)
  local text = redis.call('HGET', KEYS[1], ARGV[i])
  if text then
    local till, trips, lease, reason = string.match(text, '^(%d+) (%d+) (%d+) (.*)$')
    if lease == ARGV[i + 1] then
      redis.call('HSET', KEYS[1], ARGV[i], till .. ' ' .. trips .. ' 0 ' .. reason)
    end
  end
  return i + 2
end

local i = 4
while ARGV[i] do i = reports[ARGV[i]](i + 1) end
if worker ~= '' then redis.call('HSET', KEYS[3], worker, whole(now) .. ' ' .. ARGV[3]) end

-- Everything that is known, without what has outlived its use.
local function each(key, kept, moment, take)
  local fields = redis.call('HGETALL', key)
  for n = 1, #fields, 2 do
    if now - tonumber(string.match(fields[n + 1], moment)) > kept then
      redis.call('HDEL', key, fields[n])
    else
      take(fields[n], fields[n + 1])
    end
  end
  -- Only to keep the memory clean when nobody asks any more.
  redis.call('PEXPIRE', key, BREAKER_KEPT)
end

local breakers, flows, gauges, quotas = {}, {}, {}, {}
each(KEYS[1], BREAKER_KEPT, '^%d+', function(target, text)
  breakers[#breakers + 1] = target
  breakers[#breakers + 1] = text
end)
each(KEYS[2], FLOW_KEPT, '^%d+ %-?[%d.]+ (%d+)', function(channel, text)
  local ewma, slots = string.match(text, '^%d+ (%-?[%d.]+) %d+ (.*)$')
  local calls, errors = 0, 0
  if worker == '' then calls, errors = sums(slots) end
  for _, value in ipairs({channel, ewma, whole(calls), whole(errors)}) do flows[#flows + 1] = value end
end)
local elsewhere = {}
each(KEYS[3], GAUGE_KEPT, '^%d+', function(name, text)
  if name == worker then return end
  for channel, n in string.gmatch(string.match(text, '^%d+ (.*)$'), '(%d+) (%d+)') do
    elsewhere[channel] = (elsewhere[channel] or 0) + tonumber(n)
  end
end)
for channel, n in pairs(elsewhere) do
  gauges[#gauges + 1] = channel
  gauges[#gauges + 1] = whole(n)
end
each(KEYS[4], PAUSE_KEPT, '^%d+', function(place, text)
  quotas[#quotas + 1] = place
  quotas[#quotas + 1] = string.match(text, '^%d+')
end)
return {breakers, flows, gauges, quotas}
