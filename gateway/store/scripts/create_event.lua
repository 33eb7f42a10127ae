-- make(KEYS = {event}, ARGV = {order, body})
-- order: {owed = what `make_deliveries` takes, holder = {role, ticket, ring}, dispatch = {role = limits}}
--
-- Makes the event of a step on a job's way, and what is owed of it, once; its ticket in the lane of events is done
-- with. A job that is gone by now is owed nothing.
--
-- Returns 1 | 0: it was made before, or the ticket is stale
local order, now = cjson.decode(ARGV[1]), now_ms()
local holder = order.holder
if not holds(holder[1], holder[2], holder[3]) then return 0 end
local made = 0
if order.owed and redis.call('EXISTS', KEYS[1]) == 0 then
  make_deliveries(order.owed, ARGV[2])
  made = 1
end
leave(holder[1], holder[2])
dispatch_all(order.dispatch, now)
return made
