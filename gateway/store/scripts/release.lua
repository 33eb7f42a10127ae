-- release: the gate of a paid request. Durable before it answers; only then is the last byte sent.
--
-- KEYS  job
-- ARGV  state: that of a submission; epoch; run: who claimed it
--
-- Fenced: the job must still be in that state, and the submission must be the newest, by epoch and by claim, because a
-- Redis that was rolled back may give an epoch twice. The start deadline must not have passed. Repeating a release
-- (its answer was lost) succeeds again.
--
-- {gw}:unanswered holds the submission until an answer names its task: see `trust_report`.
--
-- Returns 1: send the last byte | 0: never send it
local job = KEYS[1]
local state, epoch, run = ARGV[1], ARGV[2], ARGV[3]
local found = { record.get(job, 'state'), record.get(job, 'epoch'), nil, record.get(job, 'run') }
local released_at, start_by = record.get(job, 'released_at'), tonumber(record.get(job, 'start_by'))
if found[1] ~= state or found[2] ~= epoch or (found[4] or '') ~= run then return 0 end
if not released_at then
  local now = call.now_ms()
  if start_by and now >= start_by then return 0 end
  record.set(job, { released_at = now })
  redis.call('ZADD', P .. 'unanswered', now, string.match(job, '[^:]+$') .. '|' .. epoch)
  records.note_history(job, now, 'event', 'released', 'epoch', epoch)
end
return 1
