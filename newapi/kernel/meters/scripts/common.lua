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
