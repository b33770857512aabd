-- Turn a hold into its actual cost and append the usage event.
--
-- KEYS 1 till, 2 holds, 3 due, 4 marks, 5 usage stream, 6.. the meters that were charged
-- ARGV 1 request id, 2 actual nano, 3 actual tokens, 4 event (JSON), 5 mode: settle, again (a repeat after a
--      lost answer), sweep, or void (the call was refused because nobody heard of its admission: it is undone
--      without an event), 6 now ms, 7 born of the till at admission, 8 organisation id,
--      9 the purse of its admission, or empty
-- Answers: OK, LATE (no hold stood, the event was appended), GONE (nothing was left to do), RENEWED (sweep only)
local rid, actual = ARGV[1], tonumber(ARGV[2])
local record = redis.call('HGET', KEYS[2], rid)
if not record then
  -- Swept, settled before, or the till was wiped since. In doubt the event is appended: rows are unique by
  -- request id, and the poster takes out of pending exactly what each stream entry put in.
  if ARGV[5] == 'void' then return 'GONE' end
  local wiped = redis.call('HGET', KEYS[1], 'born') ~= ARGV[7]
  if ARGV[5] == 'sweep' or (ARGV[5] == 'again' and not wiped) then return 'GONE' end
  pend(KEYS[1], ARGV[9], actual)
  redis.call('XADD', KEYS[5], '*', 'o', ARGV[8], 'c', whole(actual), 'p', ARGV[9], 'e', ARGV[4])
  return 'LATE'
end
if ARGV[5] == 'sweep' then
  local due = redis.call('ZSCORE', KEYS[3], rid)
  if due and tonumber(due) > tonumber(ARGV[6]) then return 'RENEWED' end
end

local nano, _, charges = string.match(record, '^(%d+)|(%-?%d+)|([^|]*)|')
local charged = {}
for key, kind, cost, reset in string.gmatch(charges, '(%S+) (%a) (%d+) (%d+),?') do
  charged[key] = {kind, tonumber(cost), reset}
end
for i = 6, #KEYS do
  local c = charged[KEYS[i]]
  if c then
    if c[1] == 'f' then
      if tonumber(redis.call('HGET', KEYS[i], 'u') or '0') > 0 then redis.call('HINCRBY', KEYS[i], 'u', -1) end
    elseif ARGV[5] == 'void' then
      if redis.call('HGET', KEYS[i], 'r') == c[3] then redis.call('HINCRBY', KEYS[i], 'u', whole(-c[2])) end
    elseif c[1] ~= 'c' then
      local spent = actual
      if c[1] == 't' then spent = tonumber(ARGV[3]) end
      -- A charge belongs to the window of its admission; a window that has passed is left alone.
      if spent ~= c[2] and redis.call('HGET', KEYS[i], 'r') == c[3] then
        redis.call('HINCRBY', KEYS[i], 'u', whole(spent - c[2]))
      end
    end
  end
end
redis.call('HDEL', KEYS[2], rid)
redis.call('ZREM', KEYS[3], rid)
redis.call('HDEL', KEYS[4], rid)
pend(KEYS[1], ARGV[9], actual - tonumber(nano))
if ARGV[5] == 'void' then return 'OK' end
redis.call('XADD', KEYS[5], '*', 'o', ARGV[8], 'c', whole(actual), 'p', ARGV[9], 'e', ARGV[4])
return 'OK'
