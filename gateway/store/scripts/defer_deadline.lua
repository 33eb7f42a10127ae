-- put_off(KEYS = {deadlines}, ARGV = {job, at})
--
-- The job's deadlines are looked at again then, if it has any left.
--
-- Returns 1
redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])
return 1
