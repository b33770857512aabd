-- Give a spend meter the amount that the database knows, unless it already counts.
--
-- KEYS 1 meter
-- ARGV 1 used nano, 2 end of the window ms (0 = never), 3 now ms
local meter = redis.call('HMGET', KEYS[1], 'u', 'r')
if meter[1] and (tonumber(meter[2]) == 0 or tonumber(meter[2]) > tonumber(ARGV[3])) then return 'KEPT' end
redis.call('HSET', KEYS[1], 'u', ARGV[1], 'r', ARGV[2])
return 'LOADED'
