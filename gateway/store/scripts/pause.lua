-- pause: nothing is sent to the upstream any more, or everything goes on.
--
-- KEYS  paused
-- ARGV  reason, or "": go on; by: the id of the operator's key; request: the id of the request; roles: {role = limits}
--       of dispatching.lua, JSON
--
-- What is under way is not touched, nor are polls and deliveries. Asked again it changes nothing.
--
-- Returns 1 | 0: it was so before
local paused = KEYS[1]
local reason, by, request, roles = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
local now = now_ms()
if reason == '' then
  if redis.call('DEL', paused) == 0 then return 0 end
  ops_event(now, 'service_resumed', 'by', by)
  add_audit_entry('service_resumed', by, request)
  dispatch_all(roles, now)
  return 1
end
if redis.call('HSETNX', paused, 'at', now) == 0 then return 0 end
redis.call('HSET', paused, 'by', by, 'reason', reason)
break_pace()
ops_event(now, 'service_paused', 'by', by, 'reason', reason)
add_audit_entry('service_paused', by, request, 'reason', reason)
return 1
