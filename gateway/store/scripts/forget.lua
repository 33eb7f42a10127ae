-- forget: removes a job whose retention has passed, and everything that belongs to it.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, final = {state = true}, pending = state, retention_ms, again_ms, later,
--       events = {the id of each event that it may have, ...}, steps = {type of an event of a step, ...}}
--
-- Removes its record, payload and event stream, its events and deliveries, its idempotency key, and its entry in every
-- index, `retention_ms` after it became final. A job with a pending delivery or with money in suspense, or that is
-- watched for a late result, is checked again in `again_ms`; so is any job if `later` is true. Everything is read
-- before anything is removed, so that a record that cannot be read raises an error and stays complete. The files of
-- its copies are left to a sweep; its
-- object in the archive is noted, to be deleted.
--
-- Returns 1: forgotten | 0: not yet | -1: there is no such job
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local name, now = args.name, call.now_ms()
local final_jobs = P .. 'finished'

local function not_yet(since)
  redis.call('ZADD', final_jobs, 'XX', since or now - args.retention_ms + args.again_ms, name)
  return 0
end

local function leave_indexes()
  redis.call('ZREM', final_jobs, name)
  redis.call('ZREM', P .. 'deadlines', name)
  redis.call('ZREM', P .. 'unknowns', name)
  redis.call('ZREM', P .. 'suspense', name)
end

if args.later then return not_yet() end
if redis.call('EXISTS', key) == 0 then
  leave_indexes()
  return -1
end

local found = redis.call('HMGET', key, 'state', 'tenant', 'idempotency', 'task_id', 'earlier', 'bytes',
  'archived', 'archived_bytes')
local state, tenant, idempotency, newest_task = found[1], found[2], found[3], found[4]
local earlier, bytes, archived, archived_bytes = found[5], tonumber(found[6]), found[7], tonumber(found[8])
if not args.final[state] then return not_yet() end
local final_at = tonumber(redis.call('HGET', key, state .. '_at'))
if final_at + args.retention_ms > now then return not_yet(final_at) end
money.finish(key, now) -- a worker of a version without money may have ended it
if tasks.is_watched(key, now) or money.is_in_suspense(key) then return not_yet() end

local confirm = account_slots.confirm_ticket(name)
local deliveries, gone = finished.deliveries_of(key, args.pending), { key, key .. ':payload', key .. ':audit' }
if not deliveries then return not_yet() end
gone[#gone + 1] = key .. ':deliveries'
for _, delivery in ipairs(deliveries) do
  gone[#gone + 1] = P .. 'delivery:' .. delivery.id
  gone[#gone + 1] = P .. 'event:' .. delivery.event
end
-- events without deliveries are not found above
for _, event in ipairs(args.events) do gone[#gone + 1] = P .. 'event:' .. event end

local indexes = {}
if idempotency then
  local posted = P .. 'tenant:' .. tenant .. ':idempotency:' .. idempotency
  if redis.call('HGET', posted, 'job') == name then gone[#gone + 1] = posted end
end
for _, task in ipairs(cjson.decode(earlier or '[]')) do indexes[#indexes + 1] = P .. 'task:' .. task end
if newest_task then indexes[#indexes + 1] = P .. 'task:' .. newest_task end
for _, index in ipairs(indexes) do
  if redis.call('GET', index) == name then gone[#gone + 1] = index end
end

local published = {}
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 5) == 'told:' then published[#published + 1] = redis.call('HGET', key, field) end
end
local copies = assets.of(key)

for epoch = 1, tonumber(record.get(key, 'epoch') or '0') do
  tasks.note_answered(name, epoch)
end
uploads.unpin(key, now) -- those of a job that a version without uploads finished
redis.call('DEL', unpack(gone))
if #published > 0 then redis.call('XDEL', P .. 'tenant:' .. tenant .. ':events', unpack(published)) end
quotas.add_usage(tenant, 'bytes', -(bytes or 0))
quotas.add_usage(tenant, 'archived', -(archived_bytes or 0)) -- nil: an earlier version archived it
assets.forget(tenant, name, copies)
leave_indexes()
if archived then redis.call('ZADD', finished.GONE, now, name) end
redis.call('ZREM', P .. 'tenant:' .. tenant .. ':jobs:' .. state, name)
records.count_state('job', state, -1)
finished.leave_deliveries(tenant, deliveries)
for _, step in ipairs(args.steps) do lanes.finish('deliver', 'events-' .. tenant .. '|' .. name .. ':' .. step) end
lanes.finish('submit', tenant .. '|' .. name)
redis.call('HDEL', account_slots.REFUSED, tenant .. '|' .. name)
lanes.finish('confirm', confirm)
return 1
