-- forget_claim: removes the idempotency key of a finished job, whose retention has passed.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, after_ms: since it became final, final = {state = true}}
--
-- Returns 1: done | 0: not yet | -1: there is no such job, or it goes on
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local since = finished.since(key, args.final)
if not since then return -1 end
if since + args.after_ms > call.now_ms() then return 0 end
local idempotency = record.get(key, 'idempotency')
if not idempotency then return 1 end
local claim = P .. 'tenant:' .. record.get(key, 'tenant') .. ':idempotency:' .. idempotency
if redis.call('HGET', claim, 'job') == args.name then redis.call('DEL', claim) end
record.unset(key, 'idempotency')
return 1
