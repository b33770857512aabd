-- Count one batch and take it out of the stream: all or nothing, and once, however often it is tried.
-- KEYS: stream, mark of the batch, set of touched subjects, then every key that is counted in.
-- ARGV: entry id, life of the mark in s, work as JSON. In it `at` is a place in KEYS.
-- Answers 1 when it was counted now, 0 when it had been.
local NETWORKS_MAX, FIELDS_MAX, SHAPES_MAX, IDS_MAX = 64, 2000, 32, 5

if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if not redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[2]) then return 0 end
local work = cjson.decode(ARGV[3])

-- Fields begin with the number of their slice. Those older than `oldest` go whenever a new field has come.
local function forget(key, oldest)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local slice = tonumber(string.match(field, '^%d+'))
    if slice and slice < oldest then redis.call('HDEL', key, field) end
  end
end

for _, add in ipairs(work.add) do
  local key, is_new = KEYS[add.at], false
  for i = 1, #add.counts, 2 do
    local field, n = add.counts[i], add.counts[i + 1]
    if redis.call('HLEN', key) < FIELDS_MAX or redis.call('HEXISTS', key, field) == 1 then
      is_new = redis.call('HINCRBY', key, field, n) == n or is_new
    end
  end
  if is_new then
    forget(key, add.oldest)
    redis.call('EXPIRE', key, add.ttl)
  end
end

for _, net in ipairs(work.networks) do
  local key = KEYS[net.at]
  for _, name in ipairs(net.names) do
    if redis.call('HLEN', key) >= NETWORKS_MAX and redis.call('HEXISTS', key, name) == 0 then
      local all = redis.call('HGETALL', key)
      for i = 1, #all, 2 do
        if tonumber(all[i + 1]) < net.oldest then redis.call('HDEL', key, all[i]) end
      end
    end
    if redis.call('HLEN', key) < NETWORKS_MAX or redis.call('HEXISTS', key, name) == 1 then
      redis.call('HSET', key, name, net.hour)
    end
  end
  redis.call('EXPIRE', key, net.ttl)
end

local function keep_largest(key, ttl)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - SHAPES_MAX)
  redis.call('EXPIRE', key, ttl)
end

-- A prompt that this hour has seen before adds nothing to its shape: same text again is no sweep.
for _, seen in ipairs(work.prompts) do
  local prompts, shapes = KEYS[seen.at], KEYS[seen.shapes]
  for i = 1, #seen.pairs, 2 do
    if redis.call('PFADD', prompts, seen.pairs[i]) == 1 then redis.call('ZINCRBY', shapes, 1, seen.pairs[i + 1]) end
  end
  redis.call('EXPIRE', prompts, seen.ttl)
  keep_largest(shapes, seen.ttl)
  redis.call('HSET', KEYS[seen.hours], seen.field, redis.call('PFCOUNT', prompts))
end

for _, refused in ipairs(work.refused) do
  for i = 1, #refused.counts, 2 do
    redis.call('ZINCRBY', KEYS[refused.at], refused.counts[i + 1], refused.counts[i])
  end
  keep_largest(KEYS[refused.at], refused.ttl)
end

for _, list in ipairs(work.ids) do
  for _, id in ipairs(list.ids) do redis.call('LPUSH', KEYS[list.at], id) end
  redis.call('LTRIM', KEYS[list.at], 0, IDS_MAX - 1)
  redis.call('EXPIRE', KEYS[list.at], list.ttl)
end

for _, subject in ipairs(work.touched) do redis.call('SADD', KEYS[3], subject) end
return 1
