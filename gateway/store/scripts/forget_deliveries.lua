-- forget_deliveries: removes the deliveries and the events of a finished job, whose retention has passed.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, after_ms: since it became final, final = {state = true}, pending = state of a delivery,
--       variants = {of its result, ...}, steps = {type of an event of a step, ...},
--       events = {the id of each event that it may have, ...}}
--
-- Returns 1: done | 0: not yet: one is pending, or the job may cause more | -1: there is no such job, or it goes on
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local name, now = args.name, call.now_ms()
local since = finished.since(key, args.final)
if not since then return -1 end
if since + args.after_ms > now or finished.may_change(key, name, args.variants, args.steps, now) then return 0 end
local owed = finished.deliveries_of(key, args.pending)
if not owed then return 0 end

local gone, events, bytes = { key .. ':deliveries' }, {}, 0
for _, id in ipairs(args.events) do events[id] = true end
for _, delivery in ipairs(owed) do
  gone[#gone + 1] = P .. 'delivery:' .. delivery.id
  bytes = bytes + delivery.bytes
  events[delivery.event] = true
end
for id in pairs(events) do
  gone[#gone + 1] = P .. 'event:' .. id
  bytes = bytes + finished.event_bytes(id)
end
finished.leave_deliveries(record.get(key, 'tenant'), owed)
finished.free_bytes(key, bytes)
redis.call('DEL', unpack(gone))
return 1
