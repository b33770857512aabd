-- Bring what the database knows of an organisation. Never lets an older fact overwrite a newer one.
--
-- KEYS 1 till
-- ARGV 1 funded nano (all that ever came in, less corrections), 2 used nano (all that was ever posted), both
--      without what is in purses, 3 version of funded, 4 epoch, 5 now ms, 6 "news" after a change, or "load" to open
--      a cold till, 7 when some of it expires (ms; 0: never); then per purse its id, funded nano and used nano
-- Answers: LOADED, KEPT
local function text(field) return redis.call('HGET', KEYS[1], field) or '0' end
if greater(ARGV[4], text('epoch')) then redis.call('HSET', KEYS[1], 'epoch', ARGV[4]) end
-- News is kept by a cold till as well: whoever opens it may have read the database before the change.
local is_newer = greater(ARGV[3], text('version'))
if is_newer then redis.call('HSET', KEYS[1], 'version', ARGV[3], 'funded', ARGV[1], 'dry', ARGV[7]) end
local is_cold = redis.call('HEXISTS', KEYS[1], 'posted') == 0
for i = 8, #ARGV, 3 do
  local used = nil
  if is_cold and ARGV[6] == 'load' then used = tonumber(ARGV[i + 2]) end
  if is_newer then shift(KEYS[1], ARGV[i], 0, tonumber(ARGV[i + 1]), used)
  elseif used then shift(KEYS[1], ARGV[i], 0, nil, used) end
end
if is_cold then
  if ARGV[6] == 'news' then return 'KEPT' end
  redis.call('HSET', KEYS[1], 'born', ARGV[5])
  redis.call('HSETNX', KEYS[1], 'pending', '0')
  if greater(ARGV[2], text('acked')) then redis.call('HSET', KEYS[1], 'acked', ARGV[2]) end
elseif not is_newer then
  return 'KEPT'
end
-- posted = funded - acked, by the server's own 64-bit arithmetic. What was used but not yet acknowledged
-- still stands in pending, so the moment at which funds arrive does not matter.
redis.call('HSET', KEYS[1], 'posted', text('funded'))
local acked = text('acked')
if acked ~= '0' then redis.call('HINCRBY', KEYS[1], 'posted', '-' .. acked) end
return 'LOADED'
