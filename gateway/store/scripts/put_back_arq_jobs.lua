-- put_back_arq_jobs(KEYS = {arq queue}, ARGV = {name of a job, its record, ...})
--
-- Puts claimed jobs back where they were in an arq queue, with a token on its wake list for each.
--
-- Returns how many jobs
for at = 1, #ARGV, 2 do
  local name = ARGV[at]
  redis.call('SET', 'arq:job:' .. name, ARGV[at + 1], 'PX', RUNNABLE_MS)
  redis.call('ZADD', KEYS[1], string.match(name, '%d+$'), name)
  redis.call('RPUSH', KEYS[1] .. ':wake', '1')
end
return #ARGV / 2
