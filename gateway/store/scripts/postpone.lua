-- postpone: a worker puts its work down without an event, to be taken up again in a while, or never.
--
-- KEYS  record
-- ARGV  role, ticket, number: of the dispatch; in_ms: when to take it up again; done: "1" for never, if nobody asked
--       for it since it was taken up; roles: {role = limits} of dispatching.lua, JSON; then pairs of field, value
--
-- The fields are written in the same step, when the record exists and has not been finished meanwhile. A stale holder
-- changes nothing.
--
-- Returns 1 | 0: stale
local record = KEYS[1]
local role, ticket, number, in_ms, done = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local roles, fields = cjson.decode(ARGV[6]), { unpack(ARGV, 7) }
if not is_newest_dispatch(role, ticket, number) then return 0 end
local now = now_ms()
if #fields > 0 and redis.call('EXISTS', record) == 1 and redis.call('HEXISTS', record, 'finished_at') == 0 then
  redis.call('HSET', record, unpack(fields))
end
local due = redis.call('ZSCORE', P .. role .. ':due', ticket)
if done and not due and redis.call('SISMEMBER', P .. role .. ':again', ticket) == 0 then
  finish_ticket(role, ticket)
elseif done then -- somebody asked for it while the worker polled: what it saw may be old
  give_back(role, ticket, now)
else
  give_back(role, ticket, now, now + in_ms)
end
dispatch_all(roles, now)
return 1
