-- records.lua: a shared part, after circuit_breaker.lua. Records, their indexes, and what clients and subscribers hear.
-- No state is known here by name.

local QUARANTINE_KEPT = 1000
local NONCE_MS = 900000 -- a signed date may be 300 s off, either way
local HISTORY_KEPT = 500 -- entries of what happened to one job
local EVENTS_KEPT = 10000 -- of a tenant's events, the newest, for those who ask what they missed

-- Counts by state and, for jobs, the index by tenant and state move with the record.
local function count_state(kind, state, by)
  redis.call('HINCRBY', P .. 'counts', kind .. ':' .. state, by)
end

local function index_job(name, tenant, state, from)
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

-- The job history: what happened to a job, oldest first, but for its acceptance, which the record itself tells: a job
-- that waits has no list. A stream would take 4 KB for its first entry.
local function note_history(key, now, ...)
  local entry, fields = { at = now }, { ... }
  for i = 1, #fields, 2 do
    if fields[i + 1] ~= '' then entry[fields[i]] = fields[i + 1] end
  end
  if redis.call('RPUSH', key .. ':audit', cjson.encode(entry)) > HISTORY_KEPT then
    -- neither how it began nor how it stands is dropped
    redis.call('LSET', key .. ':audit', HISTORY_KEPT / 2, '')
    redis.call('LREM', key .. ':audit', 1, '')
  end
end

-- Publishes an event to a tenant's clients, once: kept in the tenant's stream, noted with the job, and said on the
-- channel that every gateway listens to, as "<tenant> <job> <type> <id in the stream>". Returns true when it is new.
local function publish_event(tenant, job, type)
  local key, field = P .. 'job:' .. job, 'told:' .. type
  if redis.call('HEXISTS', key, field) == 1 then return end
  local stream = P .. 'tenant:' .. tenant .. ':events'
  local id = redis.call('XADD', stream, 'MAXLEN', '~', EVENTS_KEPT, '*', 'type', type, 'job', job)
  redis.call('HSET', key, field, id)
  redis.call('PUBLISH', P .. 'changes', tenant .. ' ' .. job .. ' ' .. type .. ' ' .. id)
  return true
end

local function set_fields(key, fields)
  local flat = {}
  for field, value in pairs(fields or {}) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then redis.call('HSET', key, unpack(flat)) end
end

-- What was genuine but could not be made sense of, kept for operators: the newest, raw as it came.
local function quarantine(now, why, order, raw)
  redis.call('XADD', P .. 'quarantine', 'MAXLEN', '~', QUARANTINE_KEPT, '*', 'at', now, 'why', why,
    'job', order.name, 'tenant', order.tenant, 'epoch', order.epoch, 'task', order.task or '', 'raw', raw)
  redis.call('HINCRBY', P .. 'tally', 'quarantined|' .. why, 1)
end

-- The way by which callbacks come was open just now; a gap of more than `gap` ms begins a new stretch.
local function note_callback_path(now, gap)
  local last = redis.call('HGET', P .. 'callbacks:path', 'last')
  if not last or now - last > gap then redis.call('HSET', P .. 'callbacks:path', 'since', now) end
  redis.call('HSET', P .. 'callbacks:path', 'last', now)
end

-- LearnDuration: {kind: of video, ms}. How long the upstream takes for that kind, as TCP learns a round trip: a mean
-- and a mean deviation.
local function learn_duration(effect)
  local key, kind, ms = P .. 'durations', effect.kind, effect.ms
  local mean = tonumber(redis.call('HGET', key, kind .. ':mean'))
  local deviation = ms / 2
  if mean then
    deviation = tonumber(redis.call('HGET', key, kind .. ':deviation'))
    deviation = deviation + (math.abs(ms - mean) - deviation) / 4
    ms = mean + (ms - mean) / 8
  end
  redis.call('HSET', key, kind .. ':mean', math.floor(ms), kind .. ':deviation', math.floor(deviation))
end

-- When to poll first, in ms: `deviations` above the mean, or `otherwise` when nothing was learned yet.
local function typical_duration(kind, deviations, otherwise)
  local found = redis.call('HMGET', P .. 'durations', kind .. ':mean', kind .. ':deviation')
  local mean, deviation = found[1], found[2]
  return mean and mean + deviations * deviation or otherwise
end

-- A step on a job's way that an endpoint wants to hear of, and that nobody has made the event of: a worker will.
-- Returns true when there is one.
local function queue_step_event(name, tenant, type, now)
  local wanted = P .. 'tenant:' .. tenant .. ':wanted'
  if redis.call('SISMEMBER', wanted, type) == 1 or redis.call('SISMEMBER', wanted, '*') == 1 then
    enter_lane('deliver', 'events-' .. tenant .. '|' .. name .. ':' .. type, now)
    return true
  end
end

-- OweEvent. Makes an event and one delivery for each endpoint that wants it, and one for the job's own callback URL.
-- owed = {id, type, job_id, tenant, at, trace = traceparent or "", pending, held, ending = whether it tells how a job
-- ends, callback_url, callback_lane, publish = true when the step itself did not tell clients of it}; `body`: of the
-- event.
local function owe_event(owed, body)
  local stem = string.sub(owed.id, 5)
  redis.call('HSET', P .. 'event:' .. owed.id, 'type', owed.type, 'job_id', owed.job_id, 'tenant', owed.tenant,
    'created_at', owed.at, 'body', body)
  if owed.trace ~= '' then redis.call('HSET', P .. 'event:' .. owed.id, 'trace', owed.trace) end
  if owed.publish then publish_event(owed.tenant, owed.job_id, owed.type) end
  local function add(name, lane, state, ...)
    local id = 'dlv_' .. stem .. '_' .. name
    redis.call('HSET', P .. 'delivery:' .. id, 'state', state, 'event_id', owed.id, 'event_type', owed.type,
      'tenant', owed.tenant, 'job_id', owed.job_id, 'lane', lane, 'created_at', owed.at, ...)
    redis.call('SADD', P .. 'job:' .. owed.job_id .. ':deliveries', id)
    count_state('delivery', state, 1)
    index_delivery(id, owed.tenant, lane, state, nil, owed.at)
    if state == owed.pending then enter_lane('deliver', lane .. '|' .. id, owed.at) end
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
local function note_wanted_types(index, set)
  redis.call('DEL', set)
  for _, text in ipairs(redis.call('HVALS', index)) do
    local wish = cjson.decode(text)
    if #wish.events > 0 then redis.call('SADD', set, unpack(wish.events)) end
  end
end
