-- create_event: creates the event of a job's step and its deliveries, once.
--
-- KEYS  event: its record
-- ARGV  order, JSON: {owed = as of `owe_event`, holder = {role, ticket, number}, dispatch = {role = limits}}; body: of
--       the event
--
-- Finishes the ticket in the events lane. If the job is gone, no event is created.
--
-- Returns 1 | 0: it was created before, or the ticket is stale
local event = KEYS[1]
local order, event_body = cjson.decode(ARGV[1]), ARGV[2]
local now = now_ms()
local holder = order.holder
if not is_newest_dispatch(holder.role, holder.ticket, holder.number) then return 0 end
local made = 0
if order.owed and redis.call('EXISTS', event) == 0 then
  owe_event(order.owed, event_body)
  write_counted_bytes()
  made = 1
end
finish_ticket(holder.role, holder.ticket)
dispatch_all(order.dispatch, now)
return made
