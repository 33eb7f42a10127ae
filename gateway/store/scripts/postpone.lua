-- postpone(KEYS = {record}, ARGV = {role, ticket, ring, in_ms, leave, roles, field, value, ...})
--
-- A worker puts its work down without an event: to be taken up again in `in_ms`, or never when `leave` is "1".
-- The fields are written to the record, when it exists, in the same step. A stale holder changes nothing.
--
-- Returns 1 | 0: stale
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return 0 end
local now = now_ms()
if #ARGV > 6 and redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], unpack(ARGV, 7)) end
if ARGV[5] == '1' then
  leave(ARGV[1], ARGV[2])
else
  give_back(ARGV[1], ARGV[2], now, now + tonumber(ARGV[4]))
end
dispatch_all(cjson.decode(ARGV[6]), now)
return 1
