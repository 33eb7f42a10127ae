-- put_back_arq_jobs: puts claimed jobs back where they were in an arq queue, with a token on its wake list for each.
--
-- KEYS  queue: of arq
-- ARGV  name of a job, its record, ...
--
-- Returns how many jobs
local queue = KEYS[1]
for at = 1, #ARGV, 2 do
  local name, record = ARGV[at], ARGV[at + 1]
  redis.call('SET', 'arq:job:' .. name, record, 'PX', RUNNABLE_MS)
  redis.call('ZADD', queue, string.match(name, '%d+$'), name)
  redis.call('RPUSH', queue .. ':wake', '1')
end
return #ARGV / 2
