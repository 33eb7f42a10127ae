-- archive: drops what the archived object has of a finished job, if the job is still as it was read.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, digest: of the object, bytes: of it and of that of the payload, seen: SHA-1 of what is
--       dropped, fields = {name of a field, ...}, deliveries = {id, ...}, events = {id, ...}, after_ms: since it became
--       final, final = {state = true}, pending = state of a delivery, variants = {of its result, ...}, steps = {type of
--       an event of a step, ...}}
--
-- The object is in the media store already. Dropped are these fields of the record, its payload and history, the logs
-- of its deliveries, and its events. What stays is what lists of deliveries, idempotency keys, and callbacks that come
-- late need. `seen`: of the text of each, in this order, after its length.
--
-- Returns "archived" | "later": it may still change, or is not due | "changed": it is no longer as it was read |
-- "gone": there is no such job, it is not finished, or it was archived before
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local name, now = args.name, call.now_ms()
local since = finished.since(key, args.final)
if not since or record.get(key, 'archived') then return 'gone' end
if since + args.after_ms > now or finished.may_change(key, name, args.variants, args.steps, now) then return 'later' end
local owed = finished.deliveries_of(key, args.pending)
if not owed then return 'later' end
if redis.call('SCARD', key .. ':deliveries') ~= #args.deliveries then return 'changed' end

local parts = {}
local function see(text)
  text = text or ''
  parts[#parts + 1] = #text .. ':' .. text
end
for _, field in ipairs(args.fields) do see(record.get(key, field)) end
see(redis.call('GET', key .. ':payload'))
for _, entry in ipairs(redis.call('LRANGE', key .. ':audit', 0, -1)) do see(entry) end
for _, id in ipairs(args.deliveries) do see(record.get(P .. 'delivery:' .. id, 'log')) end
for _, id in ipairs(args.events) do
  for _, content in ipairs(redis.call('HMGET', P .. 'event:' .. id, 'packed', 'body', 'trace')) do see(content) end
end
if redis.sha1hex(table.concat(parts)) ~= args.seen then return 'changed' end

local staying = finished.ARCHIVED_BYTES
for _, delivery in ipairs(owed) do
  staying = staying + delivery.bytes - delivery.log_bytes
  record.unset(P .. 'delivery:' .. delivery.id, 'log')
end
finished.free_bytes(key, math.max(0, tonumber(record.get(key, 'bytes') or '0') - staying))
local gone = { key .. ':payload', key .. ':audit' }
for _, id in ipairs(args.events) do gone[#gone + 1] = P .. 'event:' .. id end
redis.call('DEL', unpack(gone))
record.unset(key, unpack(args.fields))
record.set(key, { archived = args.digest, archived_bytes = args.bytes })
quotas.add_usage(record.get(key, 'tenant'), 'archived', args.bytes)
return 'archived'
