-- note_sweep: records that a sweep has ended.
--
-- KEYS  swept: when the last sweep ended
-- ARGV  unanswered_ms: how long a task whose submission was never answered may still call back; failover, JSON: as of
--       primary.lua
--
-- A script for the same reason as `acquire_leadership`. Also forgets, once a minute, which callback URLs failed long
-- ago, and submissions that were never answered. Also notices a failover when nothing is claimed.
--
-- Returns how often another server became the primary
local swept, unanswered_ms, failover = KEYS[1], ARGV[1], cjson.decode(ARGV[2])
local now = call.now_ms()
local last = tonumber(redis.call('GET', swept) or '0')
redis.call('SET', swept, now)
if math.floor(last / 60000) ~= math.floor(now / 60000) then
  circuit_breaker.forget_failing_urls(now)
  redis.call('ZREMRANGEBYSCORE', P .. 'unanswered', '-inf', now - unanswered_ms)
end
return primary.failovers(failover, now)
