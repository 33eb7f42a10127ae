-- account(KEYS = {account}, ARGV = {"park" | "resume", by, reason, request, roles, name})
--
-- An operator parks an account of the upstream, or lets it go on. What an operator parked stays parked: no probe is
-- sent, until an operator resumes it, also when the upstream had refused it before. What waited meanwhile is
-- handed out at once.
--
-- Returns 1 | 0: it was so already
local NEVER = 9e15
local now, by, reason, request, name = now_ms(), ARGV[2], ARGV[3], ARGV[4], ARGV[6]
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
  audit('account_parked', by, request, 'account', name, 'reason', reason)
  return 1
end
if not found[1] then return 0 end
-- whoever resumes it has mended it: what was refused need not wait for its time
excuse(name, now)
unpark(name, now, by)
audit('account_resumed', by, request, 'account', name)
redis.call('HDEL', KEYS[1], 'parked_by')
dispatch_all(cjson.decode(ARGV[5]), now)
return 1
