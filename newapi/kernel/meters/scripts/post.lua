-- After the database has committed a batch: take its entries out of the stream and out of pending.
--
-- KEYS 1 till, 2 usage stream
-- ARGV 1 used nano in the database after the commit; then pairs of entry id and its nano
-- An entry counts once however often this runs, because it can be deleted once.
-- Answers the number of entries taken out.
local taken, nano = 0, 0
for i = 2, #ARGV, 2 do
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
    taken = taken + 1
    nano = nano + tonumber(ARGV[i + 1])
  end
end
if nano ~= 0 then redis.call('HINCRBY', KEYS[1], 'pending', whole(-nano)) end
local acked = redis.call('HGET', KEYS[1], 'acked') or '0'
if greater(ARGV[1], acked) then
  redis.call('HSET', KEYS[1], 'acked', ARGV[1])
  -- A cold till may know its funds from news; only a load opens it, because only that says when it was born.
  if redis.call('HEXISTS', KEYS[1], 'posted') == 1 then
    redis.call('HSET', KEYS[1], 'posted', redis.call('HGET', KEYS[1], 'funded') or '0')
    redis.call('HINCRBY', KEYS[1], 'posted', '-' .. ARGV[1])
  end
end
return taken
