-- Push the deadlines of holds that a living worker still serves, with the output tokens seen so far.
--
-- KEYS 1 holds, 2 due, 3 marks
-- ARGV 1 deadline ms; then pairs of request id and output tokens seen
-- Answers the number of holds that still stand.
local standing = 0
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
    standing = standing + 1
  end
end
return standing
