-- record_copy: records an attempt to copy one file of a job's result.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, variant, holder = {role, ticket, number}, asset = JSON text, place = as of `assets.write`,
--       in_ms: until the next attempt, or nil for none, most: bytes of copies that the tenant may have,
--       enters = {ticket, ...}: what can be copied now, gives_up = {{variant, asset}, ...}: what never can,
--       video = its variant, variants = {all of them}, mirrored = type of the event, tally = {name, ...},
--       dispatch = {role = limits}}
--
-- When nothing of the job is left to be copied, and its video is stored, the job is mirrored: clients get the event,
-- and a worker creates it for subscribers.
--
-- Returns "recorded" | "full": the tenant has no room for the copy, and nothing was written | "stale": another worker
-- has the ticket | "missing": the job is gone, and its ticket with it
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local name, holder, now = args.name, args.holder, call.now_ms()
if not lanes.is_newest_dispatch(holder.role, holder.ticket, holder.number) then return 'stale' end
local tenant = record.get(key, 'tenant')
if not tenant then
  lanes.finish(holder.role, holder.ticket)
  return 'missing'
end
if args.place.stored then
  local used = counters.get(quotas.usage_key(tenant), 'results')
  if used + args.place.stored.size > args.most then return 'full' end
end

assets.write(key, name, args.variant, args.asset, args.place, now)
if args.in_ms then
  lanes.give_back(holder.role, holder.ticket, now, now + args.in_ms)
else
  lanes.finish(holder.role, holder.ticket)
end
for _, ticket in ipairs(args.enters) do lanes.enter(holder.role, ticket, now) end
for _, one in ipairs(args.gives_up) do assets.write(key, name, one.variant, one.asset, {}, now) end
for _, counted in ipairs(args.tally) do log.tally(counted) end

local whole = assets.are_settled(name, args.variants) and assets.is_stored(name, args.video)
if whole and records.publish_event(tenant, name, args.mirrored) then
  record.set(key, { mirrored_at = now })
  records.queue_step_event(name, tenant, args.mirrored, now)
end
dispatching.dispatch(args.dispatch, now)
return 'recorded'
