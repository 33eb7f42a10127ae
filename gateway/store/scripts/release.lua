-- release(KEYS = {job}, ARGV = {state, epoch, run})
--
-- The gate of a paid request: durable before it answers, and only then does the last byte go out. Fenced: the job
-- must still be in the state of a submission, and the submission must be the newest, by its epoch and by who claimed
-- it: a Redis that was rolled back may hand out an epoch twice. And the job must still have time to be started. Asked
-- again (an answer was lost) it says yes again.
--
-- Returns 1: let the last byte go | 0: never let it go
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'released_at', 'run', 'start_by')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or (found[4] or '') ~= ARGV[3] then return 0 end
if not found[3] then
  local now = now_ms()
  if found[5] and now >= tonumber(found[5]) then return 0 end
  redis.call('HSET', KEYS[1], 'released_at', now)
  note(KEYS[1], now, 'event', 'released', 'epoch', ARGV[2])
end
return 1
