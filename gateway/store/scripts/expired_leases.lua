-- expired_leases: the tickets of a role whose lease ran out: their worker died, or never came.
--
-- KEYS  any key of ours
-- ARGV  role, limit: how many at most
--
-- Returns {ticket, number of its dispatch, ...}
local role, limit = ARGV[1], ARGV[2]
local found = {}
for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', P .. role .. ':slots', '-inf', call.now_ms(), 'LIMIT', 0, limit)) do
  found[#found + 1] = ticket
  found[#found + 1] = redis.call('HGET', P .. role .. ':holders', ticket) or ''
end
return found
