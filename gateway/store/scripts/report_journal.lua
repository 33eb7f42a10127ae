-- report_journal: a process says that it has replayed all callbacks of its journal.
--
-- KEYS  journals: as of primary.lua
-- ARGV  process; leaves: "1" if it stops, and keeps no journal any more; failovers: that it knew of before it looked at
--       its journal
--
-- A report that was made before a failover, and came after it, says nothing about the callbacks that came in between.
--
-- Returns how many failovers there were
local journals = KEYS[1]
local process, leaves, known = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local failovers = tonumber(redis.call('HGET', P .. 'primary', 'failovers') or '0')
if failovers ~= known then return failovers end
if leaves then
  redis.call('ZREM', journals, process)
  return failovers
end
local now = call.now_ms()
redis.call('ZADD', journals, now, process)
redis.call('ZREMRANGEBYSCORE', journals, '-inf', now - 86400000) -- processes that ended without a word
return failovers
