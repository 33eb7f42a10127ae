-- put_back_arq_jobs: puts claimed jobs back where they were in an arq queue, with a token on its wake list for each.
--
-- KEYS  queue: of arq; held: the names that the process holds
-- ARGV  name of a job, its record, ...
--
-- Returns how many jobs
local queue, held = KEYS[1], KEYS[2]
local names_and_records = ARGV
for at = 1, #names_and_records, 2 do
  local name, record = names_and_records[at], names_and_records[at + 1]
  redis.call('SET', 'arq:job:' .. name, record, 'PX', RUNNABLE_MS)
  redis.call('ZADD', queue, string.match(name, '%d+$'), name)
  redis.call('RPUSH', queue .. ':wake', '1')
  redis.call('SREM', held, name)
end
return #names_and_records / 2
