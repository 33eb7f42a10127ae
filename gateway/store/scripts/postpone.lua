-- postpone(KEYS = {record}, ARGV = {role, ticket, ring, in_ms, leave, roles, field, value, ...})
--
-- A worker puts its work down without an event: to be taken up again in `in_ms`, or never when `leave` is "1" and
-- nobody asked for it since it was taken up. The fields are written in the same step, when the record exists and
-- has not been finished meanwhile. A stale holder changes nothing.
--
-- Returns 1 | 0: stale
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 0 end
local now = now_ms()
if #ARGV > 6 and redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HEXISTS', KEYS[1], 'finished_at') == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 7))
end
local due = redis.call('ZSCORE', P .. ARGV[1] .. ':due', ARGV[2])
if ARGV[5] == '1' and not due and redis.call('SISMEMBER', P .. ARGV[1] .. ':again', ARGV[2]) == 0 then
  leave(ARGV[1], ARGV[2])
elseif ARGV[5] == '1' then -- somebody asked for it while the worker looked: what it saw may be old
  give_back(ARGV[1], ARGV[2], now)
else
  give_back(ARGV[1], ARGV[2], now, now + tonumber(ARGV[4]))
end
dispatch_all(cjson.decode(ARGV[6]), now)
return 1
