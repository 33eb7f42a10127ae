-- pause(KEYS = {paused}, ARGV = {reason or "": go on, by, request, roles})
--
-- Nothing is sent to the upstream any more, or everything goes on. What is under way is not touched, nor are looks at
-- tasks and deliveries. Asked again it changes nothing.
--
-- Returns 1 | 0: it was so before
local reason, by, request, now = ARGV[1], ARGV[2], ARGV[3], now_ms()
if reason == '' then
  if redis.call('DEL', KEYS[1]) == 0 then return 0 end
  ops_event(now, 'service_resumed', 'by', by)
  audit('service_resumed', by, request)
  dispatch_all(cjson.decode(ARGV[4]), now)
  return 1
end
if redis.call('HSETNX', KEYS[1], 'at', now) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'by', by, 'reason', reason)
break_pace()
ops_event(now, 'service_paused', 'by', by, 'reason', reason)
audit('service_paused', by, request, 'reason', reason)
return 1
