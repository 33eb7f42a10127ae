-- expired_leases: the tickets of a role whose lease ran out: their worker died, or never came.
--
-- KEYS  any key of ours
-- ARGV  role, limit: how many at most
--
-- Also replaces the token that a worker took which died before it took a job.
--
-- Returns {ticket, number of its dispatch, ...}
local role, limit = ARGV[1], ARGV[2]
local found = {}
wakes.replace_lost_token(role)
for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', P .. role .. ':slots', '-inf', call.now_ms(), 'LIMIT', 0, limit)) do
  found[#found + 1] = ticket
  found[#found + 1] = redis.call('HGET', P .. role .. ':holders', ticket) or ''
end
return found
