-- postpone: a worker stops its work without an event; the ticket is due again later, or never.
--
-- KEYS  record
-- ARGV  role, ticket, number: of the dispatch; in_ms: until it is due again; done: "1" for never, unless it became
--       due again in the meantime; roles: {role = limits} of dispatching.lua, JSON; then pairs of field, value
--
-- The fields are written in the same step, if the record exists and is not finished. A stale holder changes nothing.
--
-- Returns 1 | 0: stale
local record = KEYS[1]
local role, ticket, number, in_ms, done = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local roles, fields = cjson.decode(ARGV[6]), { unpack(ARGV, 7) }
if not lanes.is_newest_dispatch(role, ticket, number) then return 0 end
local now = call.now_ms()
if #fields > 0 and redis.call('EXISTS', record) == 1 and redis.call('HEXISTS', record, 'finished_at') == 0 then
  redis.call('HSET', record, unpack(fields))
end
local due = redis.call('ZSCORE', P .. role .. ':due', ticket)
if done and not due and redis.call('SISMEMBER', P .. role .. ':again', ticket) == 0 then
  lanes.finish(role, ticket)
elseif done then -- it became due while the worker polled: what the worker saw may be old
  lanes.give_back(role, ticket, now)
else
  lanes.give_back(role, ticket, now, now + in_ms)
end
dispatching.dispatch_changed(roles, now)
return 1
