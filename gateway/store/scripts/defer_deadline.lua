-- defer_deadline: the deadlines of a job are checked again later, if it still has any.
--
-- KEYS  deadlines
-- ARGV  job, at_ms
--
-- Returns 1
local deadlines = KEYS[1]
local job, at_ms = ARGV[1], ARGV[2]
redis.call('ZADD', deadlines, 'XX', at_ms, job)
return 1
