-- account: an operator pauses or resumes an account of the upstream.
--
-- KEYS  account: its record
-- ARGV  action: "park" | "resume"; by: the id of the operator's key; reason; request: the id of the request;
--       roles: {role = limits} of dispatching.lua, JSON; name: of the account
--
-- An account that an operator paused gets no probes and stays paused until an operator resumes it, also if the upstream
-- had refused it before. After a resume, waiting jobs are dispatched at once.
--
-- Returns 1 | 0: it was so before
local account = KEYS[1]
local action, by, reason, request, roles, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4], cjson.decode(ARGV[5]), ARGV[6]
local NEVER = 9e15
local now = call.now_ms()
local known = redis.call('HMGET', account, 'parked_at', 'parked_by', 'reason')
local parked_at, parked_by, known_reason = known[1], known[2], known[3]
if action == 'park' then
  if parked_by == by and known_reason == reason then return 0 end
  if parked_at then
    redis.call('HSET', account, 'reason', reason)
    log.ops_event(now, 'account_parked', 'account', name, 'code', 'operator', 'reason', reason, 'by', by)
  else
    account_health.pause(name, now, 0, 'operator', reason, by)
  end
  redis.call('HSET', account, 'parked_by', by, 'probe_at', NEVER)
  log.add_audit_entry('account_parked', by, request, 'account', name, 'reason', reason)
  return 1
end
if not parked_at then return 0 end
-- the account is expected to work again: refused jobs need not wait any longer
account_slots.end_longer_waits(name, now)
account_health.resume(name, now, by)
log.add_audit_entry('account_resumed', by, request, 'account', name)
redis.call('HDEL', account, 'parked_by')
dispatching.dispatch(roles, now)
return 1
