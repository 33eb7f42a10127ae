-- note_walk: records how far a walk over the finished jobs has come.
--
-- KEYS  walk: string, the time until which it has come; later: zset, jobs that are looked at again -> when
-- ARGV  until: that time, in ms, or ""; again_ms; done = {job, ...}, JSON; again = {job, ...}, JSON
--
-- `until` never goes back. `done` leave the list of those that are looked at again, `again` are in it for `again_ms`.
--
-- Returns 1
local walk, later = KEYS[1], KEYS[2]
local till, again_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local done, again = cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local now = call.now_ms()
for _, name in ipairs(again) do redis.call('ZADD', later, now + again_ms, name) end
for _, name in ipairs(done) do redis.call('ZREM', later, name) end
if till and till > tonumber(redis.call('GET', walk) or '-1') then
  redis.call('SET', walk, string.format('%.17g', till))
end
return 1
