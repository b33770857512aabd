-- Whether what a worker knows is still true; for calls that cost nothing.
--
-- KEYS 1 till, 2 catalogue version
-- ARGV 1 epoch, 2 catalogue version
-- Answers: OK, COLD, STALE what
if redis.call('HEXISTS', KEYS[1], 'posted') == 0 then return {'COLD'} end
if greater(redis.call('HGET', KEYS[1], 'epoch') or '0', ARGV[1]) then return {'STALE', 'passport'} end
local catalogue = redis.call('GET', KEYS[2])
if not catalogue or greater(catalogue, ARGV[2]) then return {'STALE', 'catalogue'} end
return {'OK'}
