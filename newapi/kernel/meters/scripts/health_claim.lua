-- Let one caller among all workers try what has rested. The lease ends by itself, should that caller vanish.
--
-- KEYS 1 breakers
-- ARGV 1 target, 2 now ms, 3 lease ms (a moment)
-- Answers: CLOSED (nothing to claim), TAKEN, or NO until_ms lease_ms
local text = redis.call('HGET', KEYS[1], ARGV[1])
if not text then return {'CLOSED'} end
local till, trips, lease, reason = string.match(text, '^(%d+) (%d+) (%d+) (.*)$')
if tonumber(till) > tonumber(ARGV[2]) or tonumber(lease) > tonumber(ARGV[2]) then return {'NO', till, lease} end
redis.call('HSET', KEYS[1], ARGV[1], till .. ' ' .. trips .. ' ' .. ARGV[3] .. ' ' .. reason)
return {'TAKEN'}
