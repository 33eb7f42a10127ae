-- expired(KEYS = {any key of ours}, ARGV = {role, limit})
--
-- The tickets of a role whose lease ran out: their worker died, or never came.
--
-- Returns {ticket, ring, ...}
local slots, found = P .. ARGV[1] .. ':slots', {}
for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', slots, '-inf', now_ms(), 'LIMIT', 0, ARGV[2])) do
  found[#found + 1] = ticket
  found[#found + 1] = redis.call('HGET', P .. ARGV[1] .. ':holders', ticket) or ''
end
return found
