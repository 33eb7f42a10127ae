-- tasks.lua: a shared part. Which upstream task belongs to which job.
local tasks = {}

local MOST_REPORTED = 8 -- tasks that callbacks may name for one job
tasks.NOBODY = '-' -- instead of a job's id: callbacks of two jobs named the task

-- Updates the job's other tasks, in `earlier`: removes `gone`, adds `added`. Returns whether `added` is new.
local function note_earlier(key, gone, added)
  local kept, new = {}, added ~= nil
  for _, task in ipairs(cjson.decode(record.get(key, 'earlier') or '[]')) do
    if task ~= gone then kept[#kept + 1] = task end
    if task == added then new = false end
  end
  if new then kept[#kept + 1] = added end
  if #kept == 0 then
    record.unset(key, 'earlier')
  else
    record.set(key, { earlier = cjson.encode(kept) })
  end
  return new
end

-- {gw}:unanswered has an entry for each submission whose task no answer named, and one with this mark for a submission
-- that Redis lost: it counts against reports for other jobs, but a report for its own job cannot rely on it.
local LOST = '|lost'

function tasks.note_lost_submission(name, epoch, now)
  redis.call('ZADD', P .. 'unanswered', 'NX', now, name .. '|' .. epoch .. LOST)
end

function tasks.note_answered(name, epoch)
  local entry = name .. '|' .. epoch
  redis.call('ZREM', P .. 'unanswered', entry, entry .. LOST)
end

-- Whether an answer to one of the job's submissions named the task, which is better proof than a callback.
local function is_answer(key, task)
  for epoch = 1, tonumber(record.get(key, 'epoch') or '0') do
    if record.get(key, 'answered:' .. epoch) == task then return true end
  end
  return false
end

-- A callback named the task, which is no longer known to be this job's. It still proves that the job has a task.
local function lose_task(key, task, now)
  if record.get(key, 'task_id') == task then record.unset(key, 'task_id') end
  note_earlier(key, task, nil)
  quotas.count_bytes(key, quotas.growth_of(key, {}, { 'claimed' }))
  record.unset(key, 'claimed')
  record.set(key, { evidence = 'callback', task_lost_at = now })
end

-- The job to which the task belongs, or false.
function tasks.owner_of(task)
  local owners = call.kept('owners')
  if owners[task] == nil then owners[task] = redis.call('GET', P .. 'task:' .. task) end
  return owners[task]
end

local function set_owner(task, owner, keep_ms)
  redis.call('SET', P .. 'task:' .. task, owner, unpack(keep_ms and { 'PX', keep_ms } or {}))
  call.kept('owners')[task] = owner
end

-- The task belongs to the job if it belonged to none. Returns its previous owner, or false.
local function own(task, job)
  local owners = call.kept('owners')
  local owner = owners[task]
  if owner then return owner end
  owner = redis.call('SET', P .. 'task:' .. task, job, 'NX', 'GET')
  owners[task] = owner or job
  return owner
end

-- A task belongs to one job, named by {gw}:task:<id>. `reported`: only a callback says so, not the answer to a request
-- of ours; an answer overrides it. Returns whether the task is the job's, then its previous owner.
function tasks.assign(job, task, reported, now)
  local owner = own(task, job)
  if owner and owner ~= job then
    local other = P .. 'job:' .. owner
    if reported or is_answer(other, task) then
      log.ops_event(now, 'task_claimed_twice', 'task', task, 'job', job, 'owner', owner)
      return false, owner
    end
    if owner ~= tasks.NOBODY then lose_task(other, task, now) end
    log.ops_event(now, 'task_taken_back', 'task', task, 'job', job, 'owner', owner)
  end
  if owner and owner ~= job then set_owner(task, job) end
  return true, owner
end

-- Whether we gave the job up and still watch for a late result.
function tasks.is_watched(key, now)
  return tonumber(record.get(key, 'watch_until') or '0') > now
end

-- Callbacks of two jobs named the task, and one of them must be wrong. It belongs to no job until the answer to a
-- submission names it. `final`: states in which the owner keeps its result.
function tasks.contest(task, owner, final, keep_ms, now)
  local key = P .. 'job:' .. owner
  local state = record.get(key, 'state')
  if not state or is_answer(key, task) or (final[state] and not tasks.is_watched(key, now)) then return end
  lose_task(key, task, now)
  set_owner(task, tasks.NOBODY, keep_ms)
  log.ops_event(now, 'task_contested', 'task', task, 'owner', owner)
end

-- BindTask. Stores the task with the job; a second one beside the first. named = {task, reported: as of `tasks.assign`,
-- epoch: of its submission, account: that owns the task, by: the operator who names it, or nil}. `claimed_at` and
-- `claimed_epoch` are set while only a callback named the newest task. Returns whether the task is new to the job, or
-- nil if it belongs to another job.
function tasks.bind(key, name, named, now)
  local task, reported, epoch = named.task, named.reported, named.epoch
  local known, earlier = record.get(key, 'task_id'), record.get(key, 'earlier')
  -- otherwise the holder of a token could name any number of tasks
  if reported and earlier and #cjson.decode(earlier) >= MOST_REPORTED then return nil end
  if not tasks.assign(name, task, reported, now) then return nil end
  if not reported and record.get(key, 'answered:' .. epoch) ~= task then
    records.note_history(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', named.by or 'answer')
  end
  if not reported then
    if named.account then account_slots.note_task(key, task, named.account) end
    record.set(key, { ['answered:' .. epoch] = task })
    record.unset(key, 'claimed_at')
    record.unset(key, 'claimed_epoch')
    tasks.note_answered(name, epoch)
  end
  if known == task then return false end
  if known and reported and not note_earlier(key, nil, task) then return false end
  if reported then
    if named.account then account_slots.note_task(key, task, named.account) end
    record.set(key, { claimed_at = now, claimed_epoch = epoch })
    records.note_history(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', 'callback')
    if known then return true end
  end
  record.set(key, { task_id = task })
  note_earlier(key, task, known)
  return true
end

-- ChooseTask: {task}. Makes the task whose result the job has the first of its tasks.
function tasks.choose(key, effect)
  local known = record.get(key, 'task_id')
  if known == effect.task then return end
  record.set(key, { task_id = effect.task })
  note_earlier(key, effect.task, known)
end

return tasks
