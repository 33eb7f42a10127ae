-- redispatch: gives a ticket to arq again, because its worker was silent.
--
-- KEYS  any key of ours
-- ARGV  role, ticket, number: of the silent dispatch; lease_ms
--
-- The slot is kept and a new dispatch replaces the old one. A worker that holds the old dispatch is stale from now on.
-- The old arq job is removed, so that arq jobs do not pile up while no worker runs.
--
-- Returns 1 | 0: the ticket was dispatched again, or given back, in the meantime
local role, ticket, number, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not lanes.is_newest_dispatch(role, ticket, number) then return 0 end
local now = call.now_ms()
local old = P .. role .. ':' .. ticket .. ':' .. number
redis.call('ZREM', P .. role .. ':arq', old)
redis.call('DEL', 'arq:job:' .. old)
local newest = redis.call('INCR', P .. role .. ':rings')
redis.call('HSET', P .. role .. ':holders', ticket, newest)
lanes.extend_lease(role, ticket, lease_ms, now)
lanes.enqueue_at_arq(role, ticket, newest, now)
log.tally('leases_expired|' .. role)
return 1
