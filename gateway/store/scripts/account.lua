-- account(KEYS = {account}, ARGV = {"park" | "resume", by, reason, roles, name})
--
-- An operator parks an account of the upstream, or lets it go on. What an operator parked stays parked: no probe is
-- sent, until an operator resumes it, also when the upstream had refused it before. What waited meanwhile is
-- handed out at once.
--
-- Returns 1 | 0: it was so already
local NEVER = 9e15
local now, by, reason, name = now_ms(), ARGV[2], ARGV[3], ARGV[5]
local found = redis.call('HMGET', KEYS[1], 'parked_at', 'parked_by', 'reason')
if ARGV[1] == 'park' then
  if found[2] == by and found[3] == reason then return 0 end
  if found[1] then
    redis.call('HSET', KEYS[1], 'reason', reason)
    ops_event(now, 'account_parked', 'account', name, 'code', 'operator', 'reason', reason, 'by', by)
  else
    park(name, now, 0, 'operator', reason, by)
  end
  redis.call('HSET', KEYS[1], 'parked_by', by, 'probe_at', NEVER)
  return 1
end
if not found[1] then return 0 end
unpark(name, now, by)
redis.call('HDEL', KEYS[1], 'parked_by')
dispatch_all(cjson.decode(ARGV[4]), now)
return 1
