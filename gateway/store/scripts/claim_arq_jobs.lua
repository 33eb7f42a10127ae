-- claim_arq_jobs(KEYS = {arq queue, last claim of this worker}, ARGV = {id of the claim, how many at most, memory in ms})
--
-- Takes the first jobs off an arq queue, with their records, for a worker to run. The same claim made again, because
-- its answer was lost, gets the same answer, as long as the memory of it lasts.
--
-- Returns {name of a job, its record, ...}
local last = redis.call('HMGET', KEYS[2], 'claim', 'found')
if last[1] == ARGV[1] then return cjson.decode(last[2]) end

local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  local record_key = 'arq:job:' .. name
  local record = redis.call('GET', record_key)
  redis.call('ZREM', KEYS[1], name)
  redis.call('DEL', record_key)
  if record then
    found[#found + 1] = name
    found[#found + 1] = record
  end
end
-- Nothing waits any more: the tokens on the wake list are for work that is taken.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[1] .. ':wake') end
if #found > 0 then
  redis.call('HSET', KEYS[2], 'claim', ARGV[1], 'found', cjson.encode(found))
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return found
