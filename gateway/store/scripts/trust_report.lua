-- trust_report: ends the wait of a job whose task only a callback named, because the task can be no other job's.
--
-- KEYS  job: its record; unanswered: submissions whose task no answer named
-- ARGV  task; marked: "1" if a poll of the task shows the job's mark, which is proof
--
-- Without a mark, the callback may have been crossed with that of a submission that was released before it came. The
-- tasks of all others are known, so the report is right if the job's own is the only one without an answer. It is not
-- trusted if Redis does not know that submission: it may have lost others too.
--
-- Returns 1: the task is the job's | 0: wait
local job, unanswered = KEYS[1], KEYS[2]
local task, marked = ARGV[1], ARGV[2] == '1'
local known, earlier = record.get(job, 'task_id'), record.get(job, 'earlier')
local claimed_at, epoch = record.get(job, 'claimed_at'), record.get(job, 'claimed_epoch')
if known ~= task or earlier then return 0 end
if not claimed_at then return 1 end
local name = string.match(job, '[^:]+$')
local own = name .. '|' .. (epoch or '')
if not marked then
  if not redis.call('ZSCORE', unanswered, own) then return 0 end
  local most = 1 + record.get(job, 'epoch') -- so that the job's own cannot hide another's
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', unanswered, '-inf', claimed_at, 'LIMIT', 0, most)) do
    if string.sub(one, 1, #name + 1) ~= name .. '|' then return 0 end
  end
end
record.unset(job, 'claimed_at', 'claimed_epoch')
tasks.note_answered(name, epoch)
local why = marked and 'mark' or 'alone'
records.note_history(job, call.now_ms(), 'event', 'task_trusted', 'task', task, 'epoch', epoch, 'why', why)
return 1
