-- claim_arq_jobs: removes the first jobs from an arq queue, with their records, for a worker to run.
--
-- KEYS  queue: of arq; memory: of this worker's last claim; held: the names that its process holds (see `heartbeat`)
-- ARGV  claim: an id, how many jobs at most, how long the memory lasts (ms)
--
-- Repeating a claim, because its answer was lost, returns the same jobs as long as the memory lasts.
--
-- Returns {name of a job, its record, ...}
local queue, memory, held = KEYS[1], KEYS[2], KEYS[3]
local claim, most, lasts_ms = ARGV[1], ARGV[2], ARGV[3]
local last = redis.call('HMGET', memory, 'claim', 'found')
if last[1] == claim then return cjson.decode(last[2]) end

local found, names = {}, {}
for _, name in ipairs(redis.call('ZRANGE', queue, 0, most - 1)) do
  local record_key = 'arq:job:' .. name
  local record = redis.call('GET', record_key)
  redis.call('ZREM', queue, name)
  redis.call('DEL', record_key)
  if record then
    found[#found + 1] = name
    names[#names + 1] = name
    found[#found + 1] = record
  end
end
-- The queue is empty: the tokens on the wake list belong to claimed work.
if redis.call('EXISTS', queue) == 0 then redis.call('DEL', queue .. ':wake') end
if #found > 0 then
  redis.call('HSET', memory, 'claim', claim, 'found', cjson.encode(found))
  redis.call('PEXPIRE', memory, lasts_ms)
  redis.call('SADD', held, unpack(names))
end
return found
