-- ring(KEYS = {any key of ours}, ARGV = {role, ticket, ring, lease_ms})
--
-- Rings for a ticket again: its slot is kept, a new dispatch replaces the one that was not heard of, and whoever
-- still holds the old one is stale from now on. The old arq job is withdrawn, so that bells do not pile up while
-- no worker runs.
--
-- Returns 1 | 0: the ticket was dispatched anew, or given back, in the meantime
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 0 end
local role, ticket, now = ARGV[1], ARGV[2], now_ms()
local old = P .. role .. ':' .. ticket .. ':' .. ARGV[3]
redis.call('ZREM', P .. role .. ':arq', old)
redis.call('DEL', 'arq:job:' .. old)
local ring = redis.call('INCR', P .. role .. ':rings')
redis.call('HSET', P .. role .. ':holders', ticket, ring)
extend(role, ticket, tonumber(ARGV[4]), now)
ring_bell(role, ticket, ring, now)
redis.call('HINCRBY', P .. 'tally', 'leases_expired|' .. role, 1)
return 1
