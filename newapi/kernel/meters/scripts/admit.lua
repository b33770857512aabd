-- Charge every meter and place the hold, or do nothing at all.
--
-- KEYS 1 till, 2 holds, 3 due, 4 catalogue version, 5 usage stream, 6.. meters
-- ARGV 1 epoch, 2 catalogue version, 3 request id, 4 now ms, 5 hold deadline ms,
--      6 input tokens (upper bound), 7 output tokens wanted, 8 fewest output tokens if money is short,
--      9 fewest output tokens if a token meter is short, 10 nano for input and per call,
--      11 nano per output token, 12 record of the hold (JSON), 13 most unposted events,
--      14 to 16 end of the current day, week and month (ms), 17 purse whose money the call may spend, or empty;
--      then per meter: kind, limit, window
-- kinds: c calls, t tokens, f in flight, n nano; windows: minute, day, week, month, total, now
-- Answers: OK granted_tokens hold_nano born {remaining reset}…, COLD, STALE what, FUNDS available needed,
--          LIMIT index used reset, METER_COLD index, FULL
local till = redis.call('HMGET', KEYS[1], 'posted', 'pending', 'epoch', 'born', 'dry')
if not till[1] then return {'COLD'} end
-- A caller that knows a newer epoch read it from the database: its news just has not arrived here yet.
local epoch = till[3] or '0'
if greater(epoch, ARGV[1]) then return {'STALE', 'passport'} end
if greater(ARGV[1], epoch) then redis.call('HSET', KEYS[1], 'epoch', ARGV[1]) end
-- Without a version the server was wiped, and what the caller knows may be older than what was lost.
local catalogue = redis.call('GET', KEYS[4])
if not catalogue or greater(catalogue, ARGV[2]) then return {'STALE', 'catalogue'} end
if greater(ARGV[2], catalogue) then redis.call('SET', KEYS[4], ARGV[2]) end

-- From this moment on, some of the money has expired: it is taken out before anybody spends it.
if till[5] and till[5] ~= '0' and not greater(till[5], ARGV[4]) then return {'STALE', 'funds'} end

-- The same request asked twice (a connection lost after the first answer) is admitted once.
local standing = redis.call('HGET', KEYS[2], ARGV[3])
if standing then
  local nano, granted = string.match(standing, '^(%d+)|(%d+)|')
  return {'OK', tonumber(granted), nano, till[4]}
end
if redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[13]) then return {'FULL'} end

local now = tonumber(ARGV[4])
local input, wanted = tonumber(ARGV[6]), tonumber(ARGV[7])
local least_money, least_tokens = tonumber(ARGV[8]), tonumber(ARGV[9])
local input_nano, token_nano = tonumber(ARGV[10]), tonumber(ARGV[11])
local granted = wanted

local available = room(till[1], till[2] or '0')
local purse = ARGV[17]
if purse ~= '' then
  local own = redis.call('HMGET', KEYS[1], 'p:' .. purse, 'f:' .. purse, 'u:' .. purse)
  local free = tonumber(own[2] or '0') - tonumber(own[3] or '0') - tonumber(own[1] or '0')
  if free > 0 then available = math.max(available, 0) + free end
end
if available < input_nano + granted * token_nano then
  if token_nano > 0 then granted = math.floor((available - input_nano) / token_nano) else granted = -1 end
  if granted < least_money or available < input_nano then
    return {'FUNDS', whole(available), whole(input_nano + wanted * token_nano)}
  end
end

local ends = {
  minute = now + 60000, day = tonumber(ARGV[14]), week = tonumber(ARGV[15]), month = tonumber(ARGV[16]), total = 0, now = 0
}
local count = #KEYS - 5
local used, reset = {}, {}
for i = 1, count do
  local kind, limit = ARGV[15 + 3 * i], tonumber(ARGV[16 + 3 * i])
  local meter = redis.call('HMGET', KEYS[5 + i], 'u', 'r')
  if not meter[1] and kind == 'n' then return {'METER_COLD', i} end
  local window_end = ends[ARGV[17 + 3 * i]]
  local u, r = tonumber(meter[1] or '0'), tonumber(meter[2] or window_end)
  if r > 0 and r <= now then u, r = 0, window_end end
  used[i], reset[i] = u, r
  local free = limit - u
  if kind == 'c' or kind == 'f' then
    if free < 1 then return {'LIMIT', i, whole(u), whole(r)} end
  elseif kind == 't' then
    if free - input < granted then
      granted = free - input
      if granted < least_tokens then return {'LIMIT', i, whole(u), whole(r)} end
    end
  elseif free < input_nano + granted * token_nano then
    if token_nano > 0 then granted = math.floor((free - input_nano) / token_nano) else granted = -1 end
    if granted < least_money then return {'LIMIT', i, whole(u), whole(r)} end
  end
end

local hold = input_nano + granted * token_nano
local answer = {'OK', granted, whole(hold), till[4]}
local charges = {}
for i = 1, count do
  local kind = ARGV[15 + 3 * i]
  local cost = 1
  if kind == 't' then cost = input + granted elseif kind == 'n' then cost = hold end
  local u = used[i] + cost
  redis.call('HSET', KEYS[5 + i], 'u', whole(u), 'r', whole(reset[i]))
  -- Only to keep the memory clean, and generous: what decides is r, judged by the caller's clock.
  if reset[i] > 0 then redis.call('PEXPIRE', KEYS[5 + i], whole(math.max(reset[i] - now, 0) + 3600000)) end
  answer[2 * i + 3] = whole(tonumber(ARGV[16 + 3 * i]) - u)
  answer[2 * i + 4] = whole(reset[i])
  charges[i] = KEYS[5 + i] .. ' ' .. kind .. ' ' .. whole(cost) .. ' ' .. whole(reset[i])
end
pend(KEYS[1], purse, hold)
-- The record carries what a sweeper needs to undo or settle it without its worker.
redis.call('HSET', KEYS[2], ARGV[3],
  whole(hold) .. '|' .. granted .. '|' .. table.concat(charges, ',') .. '|' .. purse .. '|' .. ARGV[12])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[3])
return answer
