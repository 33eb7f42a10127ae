-- records.lua: a part, put before every script when it is loaded, after lanes.lua. Records and their states.
-- No state is known here by name: gateway/lifecycle.py sends the rows of the event along.

local QUARANTINED = 1000
local CLAIMS = 8 -- tasks that callbacks may name for one job
local NOBODY = '-' -- in place of a job's name: two jobs' callbacks named the task
local NONCE_MS = 900000 -- a signed date may be 300 s off, either way
local NOTED = 500 -- entries of what happened to one job
local TOLD = 10000 -- of a tenant's events, the newest, for those who ask what they missed

-- Counts by state and, for jobs, the index by tenant and state move with the record.
local function count(kind, state, by)
  redis.call('HINCRBY', P .. 'counts', kind .. ':' .. state, by)
end

local function index(kind, name, tenant, state, from)
  if kind ~= 'job' then return end
  local jobs = P .. 'tenant:' .. tenant .. ':jobs:'
  if from then redis.call('ZREM', jobs .. from, name) end
  redis.call('ZADD', jobs .. state, 0, name) -- equal scores: ordered by id, which is ordered by time
end

-- Deliveries by state, of a tenant and of a lane, in the order in which they were made; and those that were given up,
-- of all tenants, in {gw}:dead by when (`move`).
local function index_delivery(id, tenant, lane, state, from, created)
  if from then redis.call('ZREM', P .. 'dead', id) end
  for _, stem in ipairs({ P .. 'tenant:' .. tenant .. ':deliveries:', P .. 'lane:' .. lane .. ':deliveries:' }) do
    if from then redis.call('ZREM', stem .. from, id) end
    if state then redis.call('ZADD', stem .. state, created, id) end
  end
end

-- What happened to a record, oldest first, but for its acceptance, which the record itself tells: a job that waits has
-- no list. A stream would take 4 KB for its first entry.
local function note(key, now, ...)
  local entry, fields = { at = now }, { ... }
  for i = 1, #fields, 2 do
    if fields[i + 1] ~= '' then entry[fields[i]] = fields[i + 1] end
  end
  if redis.call('RPUSH', key .. ':audit', cjson.encode(entry)) > NOTED then
    -- neither how it began nor how it stands is dropped
    redis.call('LSET', key .. ':audit', NOTED / 2, '')
    redis.call('LREM', key .. ':audit', 1, '')
  end
end

-- What a tenant's clients hear, once: kept in the tenant's stream, noted with the job, and said on the channel that
-- every gateway listens to, as "<tenant> <job> <type> <id in the stream>". Returns true when it is new.
local function tell_tenant(tenant, job, type)
  local key, field = P .. 'job:' .. job, 'told:' .. type
  if redis.call('HEXISTS', key, field) == 1 then return end
  local stream = P .. 'tenant:' .. tenant .. ':events'
  local id = redis.call('XADD', stream, 'MAXLEN', '~', TOLD, '*', 'type', type, 'job', job)
  redis.call('HSET', key, field, id)
  redis.call('PUBLISH', P .. 'changes', tenant .. ' ' .. job .. ' ' .. type .. ' ' .. id)
  return true
end

-- The indexes by time that a job's new state puts it into or takes it out of.
local function follow(key, order, target, now)
  if target == order.unknown then
    redis.call('ZADD', P .. 'unknowns', now, order.name)
  else
    redis.call('ZREM', P .. 'unknowns', order.name)
  end
  if order.final[target] then
    redis.call('ZADD', P .. 'finished', now, order.name)
    local times = redis.call('HMGET', key, 'created_at', 'called_back_at')
    observe('job', now - tonumber(times[1] or now))
    if times[2] then observe('confirm', now - tonumber(times[2])) end
    redis.call('ZREM', P .. 'deadlines', order.name)
  end
end

local function write(key, fields)
  local flat = {}
  for field, value in pairs(fields or {}) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then redis.call('HSET', key, unpack(flat)) end
end

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
local function bind(job, task, claimed, now)
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
local function watched(key, now)
  return tonumber(redis.call('HGET', key, 'watch_until') or '0') > now
end

-- Callbacks named the task for two jobs, and one of them must be wrong: it is nobody's until an answer to a
-- submission names it. `final`: states in which the owner has a result that stays.
local function contest(task, owner, final, keep_ms, now)
  local key = P .. 'job:' .. owner
  local state = redis.call('HGET', key, 'state')
  if not state or is_answer(key, task) or (final[state] and not watched(key, now)) then return end
  lose_task(key, task, now)
  redis.call('SET', P .. 'task:' .. task, NOBODY, 'PX', keep_ms)
  ops_event(now, 'task_contested', 'task', task, 'owner', owner)
end

-- What was genuine but could not be made sense of, kept for people: the newest few, raw as it came.
local function quarantine(now, why, order, raw)
  redis.call('XADD', P .. 'quarantine', 'MAXLEN', '~', QUARANTINED, '*', 'at', now, 'why', why,
    'job', order.name, 'tenant', order.tenant, 'epoch', order.epoch, 'task', order.task or '', 'raw', raw)
  redis.call('HINCRBY', P .. 'tally', 'quarantined|' .. why, 1)
end

-- The way by which callbacks come was open just now; a gap of more than `gap` ms begins a new stretch.
local function heard(now, gap)
  local last = redis.call('HGET', P .. 'callbacks:path', 'last')
  if not last or now - last > gap then redis.call('HSET', P .. 'callbacks:path', 'since', now) end
  redis.call('HSET', P .. 'callbacks:path', 'last', now)
end

-- How long the upstream takes for one kind of video, as TCP learns a round trip: a mean and a mean deviation.
local function learn(kind, ms)
  local key = P .. 'durations'
  local mean = tonumber(redis.call('HGET', key, kind .. ':mean'))
  local deviation = ms / 2
  if mean then
    deviation = tonumber(redis.call('HGET', key, kind .. ':deviation'))
    deviation = deviation + (math.abs(ms - mean) - deviation) / 4
    ms = mean + (ms - mean) / 8
  end
  redis.call('HSET', key, kind .. ':mean', math.floor(ms), kind .. ':deviation', math.floor(deviation))
end

-- When to look first, in ms: `deviations` above the mean, or `otherwise` when nothing was learned yet.
local function typical(kind, deviations, otherwise)
  local found = redis.call('HMGET', P .. 'durations', kind .. ':mean', kind .. ':deviation')
  return found[1] and found[1] + deviations * found[2] or otherwise
end

-- Notes the task with the job, a second one beside the first. `claimed`: as of `bind`; `epoch`: of the submission
-- that it belongs to. `claimed_at` stands while the newest word of a task is only a callback's.
-- `by`: the operator who names it, if one does; `account`: the one whose the task is.
-- Returns whether it is new to the job, and nil when it is another job's.
local function take_task(key, name, task, claimed, epoch, now, by, account)
  local known = redis.call('HMGET', key, 'task_id', 'earlier')
  -- whoever holds a token could name tasks without end
  if claimed and known[2] and #cjson.decode(known[2]) >= CLAIMS then return nil end
  if not bind(name, task, claimed, now) then return nil end
  known = known[1]
  if not claimed and redis.call('HGET', key, 'answered:' .. epoch) ~= task then
    note(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', by or 'answer')
  end
  if not claimed then
    if account then note_account(key, task, account) end
    redis.call('HSET', key, 'answered:' .. epoch, task)
    redis.call('HDEL', key, 'claimed_at')
  end
  if known == task then return false end
  if known and claimed and not note_earlier(key, nil, task) then return false end
  if claimed then
    if account then note_account(key, task, account) end
    redis.call('HSET', key, 'claimed_at', now)
    note(key, now, 'event', 'task_named', 'task', task, 'epoch', epoch, 'by', 'callback')
    if known then return true end
  end
  redis.call('HSET', key, 'task_id', task)
  note_earlier(key, task, known or nil)
  return true
end

-- The task whose result the job has comes first among its tasks.
local function crown(key, task)
  local known = redis.call('HGET', key, 'task_id')
  if known == task then return end
  redis.call('HSET', key, 'task_id', task)
  note_earlier(key, task, known or nil)
end

-- A step on a job's way that an endpoint wants to hear of, and that nobody has made the event of: a worker will.
-- Returns true when there is one.
local function step_taken(name, tenant, type, now)
  local wanted = P .. 'tenant:' .. tenant .. ':wanted'
  if redis.call('SISMEMBER', wanted, type) == 1 or redis.call('SISMEMBER', wanted, '*') == 1 then
    enter('deliver', 'events-' .. tenant .. '|' .. name .. ':' .. type, now)
    return true
  end
end

-- order: {kind, name, event, moves = {from = to}, final = {state = true}, unknown = state, dead = state, by,
--         expect = {field = value or ""},
--         set = {}, add = {field = by}, unset = {field, ...}, at, steps = {state = type of its event},
--         tells = {state = type of the event that clients hear}}
-- Returns "moved" | "repeated" | "absorbed" (final already: nothing is written) | "fenced" | "refused" | "missing",
-- then the state before and after.
local function move(key, order, now)
  local found = redis.call('HMGET', key, 'state', 'tenant')
  local state, tenant = found[1], found[2]
  if not state then return { 'missing', '', '' } end
  for field, value in pairs(order.expect or {}) do
    if (redis.call('HGET', key, field) or '') ~= value then return { 'fenced', state, state } end
  end
  local target = order.moves[state]
  if not target then return { 'refused', state, state } end
  if target == state and order.final[state] then return { 'absorbed', state, state } end
  write(key, order.set)
  for field, by in pairs(order.add or {}) do redis.call('HINCRBY', key, field, by) end
  for _, field in ipairs(order.unset or {}) do redis.call('HDEL', key, field) end
  if target ~= state then
    redis.call('HSET', key, 'state', target, target .. '_at', order.at or now)
    count(order.kind, state, -1)
    count(order.kind, target, 1)
    index(order.kind, order.name, tenant, target, state)
    if order.kind == 'job' then
      follow(key, order, target, now)
      local told = order.tells and order.tells[target]
      if told and tell_tenant(tenant, order.name, told) and order.steps[target] then
        step_taken(order.name, tenant, told, now)
      end
    else
      local made = redis.call('HMGET', key, 'lane', 'created_at')
      index_delivery(order.name, tenant, made[1], target, state, made[2])
      if target == order.dead then redis.call('ZADD', P .. 'dead', now, order.name) end
    end
  end
  if order.kind == 'job' then
    local epoch = redis.call('HGET', key, 'epoch') or 0
    local account = order.run and redis.call('HGET', key, 'account') or ''
    note(key, now, 'event', order.event, 'from', state, 'to', target, 'epoch', epoch, 'by', order.by or '',
      'why', order.why or '', 'account', account)
  end
  return { target == state and 'repeated' or 'moved', state, target }
end

-- owed: {id, type, job_id, tenant, at, trace = traceparent or "", callback_url, callback_lane, pending, held, tells = true when the step itself
-- did not tell clients of it}. Makes the event and one
-- delivery for each endpoint that wants it, and one for the job's own callback URL.
local function make_deliveries(owed, body)
  local stem = string.sub(owed.id, 5)
  redis.call('HSET', P .. 'event:' .. owed.id, 'type', owed.type, 'job_id', owed.job_id, 'tenant', owed.tenant,
    'created_at', owed.at, 'body', body)
  if owed.trace ~= '' then redis.call('HSET', P .. 'event:' .. owed.id, 'trace', owed.trace) end
  if owed.tells then tell_tenant(owed.tenant, owed.job_id, owed.type) end
  local function add(name, lane, state, ...)
    local id = 'dlv_' .. stem .. '_' .. name
    redis.call('HSET', P .. 'delivery:' .. id, 'state', state, 'event_id', owed.id, 'event_type', owed.type,
      'tenant', owed.tenant, 'job_id', owed.job_id, 'lane', lane, 'created_at', owed.at, ...)
    redis.call('SADD', P .. 'job:' .. owed.job_id .. ':deliveries', id)
    count('delivery', state, 1)
    index_delivery(id, owed.tenant, lane, state, nil, owed.at)
    if state == owed.pending then enter('deliver', lane .. '|' .. id, owed.at) end
  end
  local endpoints = redis.call('HGETALL', P .. 'tenant:' .. owed.tenant .. ':endpoints')
  for i = 1, #endpoints, 2 do
    local wish = cjson.decode(endpoints[i + 1])
    local wanted = #wish.events == 0 and owed.ending -- written before filters were spelled out
    for _, kind in ipairs(wish.events) do wanted = wanted or kind == owed.type or kind == '*' end
    if wanted then
      local state = wish.disabled and owed.held or owed.pending
      add(string.sub(endpoints[i], 4), endpoints[i], state, 'endpoint_id', endpoints[i])
    end
  end
  if owed.callback_url then add('callback', owed.callback_lane, owed.pending, 'url', owed.callback_url) end
end

-- Which types of events any of a tenant's endpoints wants; one that is disabled may want them later.
local function note_wanted(index, set)
  redis.call('DEL', set)
  for _, text in ipairs(redis.call('HVALS', index)) do
    local wish = cjson.decode(text)
    if #wish.events > 0 then redis.call('SADD', set, unpack(wish.events)) end
  end
end
