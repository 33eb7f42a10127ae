-- report_journal: a process says that it has replayed all callbacks of its journal.
--
-- KEYS  journals: as of primary.lua
-- ARGV  process; leaves: "1" if it stops, and keeps no journal any more
--
-- Returns 1
local journals = KEYS[1]
local process, leaves = ARGV[1], ARGV[2] == '1'
if leaves then
  redis.call('ZREM', journals, process)
  return 1
end
local now = call.now_ms()
redis.call('ZADD', journals, now, process)
redis.call('ZREMRANGEBYSCORE', journals, '-inf', now - 86400000) -- processes that ended without a word
return 1
