-- Put in front of every script. Counts beyond 2^53 do not fit a double, so balances are compared in halves.

-- posted - pending, exact; saturated at +-9e15, which is more than any one hold.
local function room(posted, pending)
  if #posted < 16 and #pending < 16 then return tonumber(posted) - tonumber(pending) end
  local function halves(text)
    local sign = 1
    if string.sub(text, 1, 1) == '-' then sign = -1; text = string.sub(text, 2) end
    if #text <= 9 then return 0, sign * tonumber(text) end
    return sign * tonumber(string.sub(text, 1, -10)), sign * tonumber(string.sub(text, -9))
  end
  local high_a, low_a = halves(posted)
  local high_b, low_b = halves(pending)
  local high = high_a - high_b
  if high >= 8999999 then return 9e15 end
  if high <= -8999999 then return -9e15 end
  return high * 1e9 + (low_a - low_b)
end

-- a > b for texts of non-negative integers of any length.
local function greater(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

local function whole(number) return string.format('%.0f', number) end

-- Change what a purse holds or what is pending on it, and move into the till's pending what goes beyond its money:
-- that much the general funds must bear. Absent values stay. A purse holds less than 2^53, so doubles count it.
local function shift(till, purse, more_pending, funded, used)
  local names = {'p:' .. purse, 'f:' .. purse, 'u:' .. purse}
  local seen = redis.call('HMGET', till, unpack(names))
  local before = {tonumber(seen[1] or '0'), tonumber(seen[2] or '0'), tonumber(seen[3] or '0')}
  local after = {before[1] + more_pending, funded or before[2], math.max(used or 0, before[3])}
  local function beyond(now) return math.max(0, now[1] - math.max(0, now[2] - now[3])) end
  redis.call('HSET', till, names[1], whole(after[1]), names[2], whole(after[2]), names[3], whole(after[3]))
  local moved = beyond(after) - beyond(before)
  if moved ~= 0 then redis.call('HINCRBY', till, 'pending', whole(moved)) end
end

-- Add to what is pending, on a purse or, without one, on the general funds.
local function pend(till, purse, nano)
  if purse and purse ~= '' then shift(till, purse, nano) else redis.call('HINCRBY', till, 'pending', whole(nano)) end
end
