-- create_event: creates the event of a job's step and its deliveries, once.
--
-- KEYS  event: its record
-- ARGV  args, JSON: {owed = as of `records.owe_event`, holder = {role, ticket, number}, dispatch = {role = limits}};
--       body: of the event
--
-- Finishes the ticket in the events lane. If the job is gone, no event is created.
--
-- Returns 1 | 0: it was created before, or the ticket is stale
local event = KEYS[1]
local args, event_body = cjson.decode(ARGV[1]), ARGV[2]
local now = call.now_ms()
local holder = args.holder
if not lanes.is_newest_dispatch(holder.role, holder.ticket, holder.number) then return 0 end
local made = 0
if args.owed and redis.call('EXISTS', event) == 0 then
  records.owe_event(args.owed, event_body)
  made = 1
end
lanes.finish(holder.role, holder.ticket)
dispatching.dispatch_changed(args.dispatch, now)
return made
