-- Tell a shard the newest catalogue version.
--
-- KEYS 1 catalogue version
-- ARGV 1 version
if greater(ARGV[1], redis.call('GET', KEYS[1]) or '0') then redis.call('SET', KEYS[1], ARGV[1]) end
return 'OK'
