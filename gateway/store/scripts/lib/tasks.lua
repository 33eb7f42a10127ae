-- tasks.lua: a shared part, after records.lua. Which of the upstream's tasks is whose job's.
local CLAIMS = 8 -- tasks that callbacks may name for one job
local NOBODY = '-' -- in place of a job's name: two jobs' callbacks named the task

-- The job's other tasks, in `earlier`: without `gone`, with `added` if it is not there. Returns whether it is new.
local function note_earlier(key, gone, added)
  local kept, new = {}, added ~= nil
  for _, task in ipairs(cjson.decode(redis.call('HGET', key, 'earlier') or '[]')) do
    if task ~= gone then kept[#kept + 1] = task end
    if task == added then new = false end
  end
  if new then kept[#kept + 1] = added end
  if #kept == 0 then
    redis.call('HDEL', key, 'earlier')
  else
    redis.call('HSET', key, 'earlier', cjson.encode(kept))
  end
  return new
end

-- Whether an answer to one of the job's submissions named the task: more than a callback's word.
local function is_answer(key, task)
  for epoch = 1, tonumber(redis.call('HGET', key, 'epoch') or '0') do
    if redis.call('HGET', key, 'answered:' .. epoch) == task then return true end
  end
  return false
end

-- A callback named the task, which is known to be this job's no more. That the job has one is still proven.
local function lose_task(key, task, now)
  if redis.call('HGET', key, 'task_id') == task then redis.call('HDEL', key, 'task_id') end
  note_earlier(key, task, nil)
  redis.call('HDEL', key, 'claimed')
  redis.call('HSET', key, 'evidence', 'callback', 'task_lost_at', now)
end

-- A task belongs to one job: {gw}:task:<id> names it. `claimed`: a callback says so, no answer to a request of
-- ours; such a claim gives way to an answer. Returns whether the task is the job's, then whose it was.
local function assign_task(job, task, claimed, now)
  local key = P .. 'task:' .. task
  local owner = redis.call('GET', key)
  if owner and owner ~= job then
    local record = P .. 'job:' .. owner
    if claimed or is_answer(record, task) then
      ops_event(now, 'task_claimed_twice', 'task', task, 'job', job, 'owner', owner)
      return false, owner
    end
    if owner ~= NOBODY then lose_task(record, task, now) end
    ops_event(now, 'task_taken_back', 'task', task, 'job', job, 'owner', owner)
  end
  redis.call('SET', key, job)
  return true, owner
end

-- A final job that we gave up ourselves is watched a while longer for what the upstream makes of it.
local function is_watched(key, now)
  return tonumber(redis.call('HGET', key, 'watch_until') or '0') > now
end

-- Callbacks named the task for two jobs, and one of them must be wrong: it is nobody's until an answer to a
-- submission names it. `final`: states in which the owner has a result that stays.
local function contest_task(task, owner, final, keep_ms, now)
  local key = P .. 'job:' .. owner
  local state = redis.call('HGET', key, 'state')
  if not state or is_answer(key, task) or (final[state] and not is_watched(key, now)) then return end
  lose_task(key, task, now)
  redis.call('SET', P .. 'task:' .. task, NOBODY, 'PX', keep_ms)
  ops_event(now, 'task_contested', 'task', task, 'owner', owner)
end

-- BindTask. Notes the task with the job, a second one beside the first. named = {task, claimed: as of `assign_task`,
-- epoch: of the submission that it belongs to, account: the one whose the task is, by: the operator who names it, if
-- one does}. `claimed_at` stands while the newest word of a task is only a callback's. Returns whether it is new to
-- the job, and nil when it is another job's.
local function bind_task(key, name, named, now)
  local task, claimed, epoch = named.task, named.claimed, named.epoch
  local found = redis.call('HMGET', key, 'task_id', 'earlier')
  local known, earlier = found[1], found[2]
  -- whoever holds a token could name tasks without end
  if claimed and earlier and #cjson.decode(earlier) >= CLAIMS then return nil end
  if not assign_task(name, task, claimed, now) then return nil end
  if not claimed and redis.call('HGET', key, 'answered:' .. epoch) ~= task then
    note_history(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', named.by or 'answer')
  end
  if not claimed then
    if named.account then note_account(key, task, named.account) end
    redis.call('HSET', key, 'answered:' .. epoch, task)
    redis.call('HDEL', key, 'claimed_at')
  end
  if known == task then return false end
  if known and claimed and not note_earlier(key, nil, task) then return false end
  if claimed then
    if named.account then note_account(key, task, named.account) end
    redis.call('HSET', key, 'claimed_at', now)
    note_history(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', 'callback')
    if known then return true end
  end
  redis.call('HSET', key, 'task_id', task)
  note_earlier(key, task, known or nil)
  return true
end

-- ChooseTask: {task}. The task whose result the job has comes first among its tasks.
local function choose_task(key, effect)
  local known = redis.call('HGET', key, 'task_id')
  if known == effect.task then return end
  redis.call('HSET', key, 'task_id', effect.task)
  note_earlier(key, effect.task, known or nil)
end
