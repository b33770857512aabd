-- Bring what the database knows of an organisation. Never lets an older fact overwrite a newer one.
--
-- KEYS 1 till
-- ARGV 1 funded nano (all that ever came in, less corrections), 2 used nano (all that was ever posted),
--      3 version of funded, 4 epoch, 5 now ms, 6 "warm" to bring news only to a till that stands, or "load"
-- Answers: LOADED, KEPT
local function text(field, absent) return redis.call('HGET', KEYS[1], field) or absent end
if greater(ARGV[4], text('epoch', '0')) then redis.call('HSET', KEYS[1], 'epoch', ARGV[4]) end
local cold = redis.call('HEXISTS', KEYS[1], 'posted') == 0
if cold and ARGV[6] == 'warm' then return 'KEPT' end
if cold then
  redis.call('HSET', KEYS[1], 'born', ARGV[5])
  redis.call('HSETNX', KEYS[1], 'pending', '0')
  if greater(ARGV[2], text('acked', '0')) then redis.call('HSET', KEYS[1], 'acked', ARGV[2]) end
elseif not greater(ARGV[3], text('version', '0')) then
  return 'KEPT'
end
-- posted = funded - acked, by the server's own 64-bit arithmetic. What was used but not yet acknowledged
-- still stands in pending, so the moment at which funds arrive does not matter.
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'funded', ARGV[1], 'posted', ARGV[1])
local acked = text('acked', '0')
if acked ~= '0' then redis.call('HINCRBY', KEYS[1], 'posted', '-' .. acked) end
return 'LOADED'
