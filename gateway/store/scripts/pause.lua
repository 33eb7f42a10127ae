-- pause: pauses or resumes the service: while paused, nothing is sent to the upstream.
--
-- KEYS  paused
-- ARGV  reason, or "": resume; by: the id of the operator's key; request: the id of the request; roles: {role = limits}
--       of dispatching.lua, JSON
--
-- Work in progress, polls and deliveries go on. A repeat changes nothing.
--
-- Returns 1 | 0: it was so before
local paused = KEYS[1]
local reason, by, request, roles = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
local now = call.now_ms()
if reason == '' then
  if redis.call('DEL', paused) == 0 then return 0 end
  log.ops_event(now, 'service_resumed', 'by', by)
  log.add_audit_entry('service_resumed', by, request)
  dispatching.dispatch(roles, now)
  return 1
end
if redis.call('HSETNX', paused, 'at', now) == 0 then return 0 end
redis.call('HSET', paused, 'by', by, 'reason', reason)
queue_position.break_pace()
log.ops_event(now, 'service_paused', 'by', by, 'reason', reason)
log.add_audit_entry('service_paused', by, request, 'reason', reason)
return 1
