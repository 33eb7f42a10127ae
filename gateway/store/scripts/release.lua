-- release(KEYS = {job}, ARGV = {state, epoch})
--
-- The gate of a paid request: durable before it answers, and only then does the last byte go out. Fenced: the job
-- must still be in the state of a submission, and the submission must be the newest. Asked again for the same
-- epoch (an answer was lost) it says yes again.
--
-- Returns 1: let the last byte go | 0: never let it go
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'released_at')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return 0 end
if not found[3] then
  local now = now_ms()
  redis.call('HSET', KEYS[1], 'released_at', now)
  note(KEYS[1], now, 'event', 'released', 'epoch', ARGV[2])
end
return 1
