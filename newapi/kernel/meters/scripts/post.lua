-- After the database has committed a batch: take its entries out of the stream and out of pending.
--
-- KEYS 1 till, 2 usage stream
-- ARGV 1 used nano in the database after the commit, without what purses paid; 2 number of purses; then per purse
--      its id and its used nano; then per entry its id, its nano and its purse
-- An entry counts once however often this runs, because it can be deleted once.
-- Answers the number of entries taken out.
local purses = tonumber(ARGV[2])
local taken, nano, of_purse = 0, 0, {}
for i = 3 + 2 * purses, #ARGV, 3 do
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
    taken = taken + 1
    local purse = ARGV[i + 2]
    if purse == '' then
      nano = nano + tonumber(ARGV[i + 1])
    else
      of_purse[purse] = (of_purse[purse] or 0) + tonumber(ARGV[i + 1])
    end
  end
end
if nano ~= 0 then redis.call('HINCRBY', KEYS[1], 'pending', whole(-nano)) end
for i = 3, 2 + 2 * purses, 2 do
  shift(KEYS[1], ARGV[i], -(of_purse[ARGV[i]] or 0), nil, tonumber(ARGV[i + 1]))
  of_purse[ARGV[i]] = nil
end
for purse, done in pairs(of_purse) do shift(KEYS[1], purse, -done) end
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
