-- records.lua: a shared part. Records, their indexes, and events for clients and subscribers. This
-- part does not know the names of states.
local records = {}

local QUARANTINE_KEPT = 1000
records.NONCE_MS = 900000 -- a signed date may be off by 300 s in either direction
local PATH_MS = 1000 -- how exactly the last callback's time is known
local HISTORY_KEPT = 500 -- entries of one job's history
local HISTORY_USUAL = 12 -- entries that a new job's bytes include
local EVENTS_KEPT = 10000 -- the newest events of a tenant, for clients that missed some

-- Updates the counts by state and, for jobs, the index by tenant and state.
function records.count_state(kind, state, by)
  counters.add(P .. 'counts', kind .. ':' .. state, by)
end

function records.index_job(name, tenant, state, from)
  local jobs = P .. 'tenant:' .. tenant .. ':jobs:'
  if from then redis.call('ZREM', jobs .. from, name) end
  redis.call('ZADD', jobs .. state, 0, name) -- equal scores: ordered by id, so by time
end

-- Updates the indexes of deliveries by state, for the tenant and the lane, in the order of creation. Dead letters of
-- all tenants are in {gw}:dead, by time (`transitions.change_state`).
function records.index_delivery(id, tenant, lane, state, from, created)
  for _, stem in ipairs({ P .. 'tenant:' .. tenant .. ':deliveries:', P .. 'lane:' .. lane .. ':deliveries:' }) do
    if from then redis.call('ZREM', stem .. from, id) end
    if state then redis.call('ZADD', stem .. state, created, id) end
  end
end

-- The job history: what happened to a job, oldest first. The acceptance is not stored, because the record shows it, so
-- a waiting job has no list. A stream would take 4 KB for its first entry. Written at the end of the call.
function records.note_history(key, now, ...)
  local entry, fields = { at = now }, { ... }
  for i = 1, #fields, 2 do
    if fields[i + 1] ~= '' then entry[fields[i]] = fields[i + 1] end
  end
  local histories = call.kept('histories')
  histories[key] = histories[key] or {}
  table.insert(histories[key], cjson.encode(entry))
end

-- Drops an entry from the middle: the first and the newest are kept. Returns its length.
local function drop_entry(list)
  local dropped = redis.call('LINDEX', list, HISTORY_KEPT / 2)
  redis.call('LSET', list, HISTORY_KEPT / 2, '')
  redis.call('LREM', list, 1, '')
  return #dropped
end

call.written_by(function()
  for key, texts in pairs(call.kept('histories')) do
    local number, grown = redis.call('RPUSH', key .. ':audit', unpack(texts)), 0
    for i, text in ipairs(texts) do
      if number - #texts + i > HISTORY_USUAL then grown = grown + #text end
    end
    for _ = HISTORY_KEPT + 1, number do grown = grown - drop_entry(key .. ':audit') end
    quotas.count_bytes(key, grown)
  end
  call.forget('histories')
end)

-- Publishes an event to a tenant's clients, once: appends it to the tenant's stream, stores its id with the job, and
-- publishes "<tenant> <job> <type> <id in the stream>" on the gateways' channel. Returns true if it is new.
function records.publish_event(tenant, job, type)
  local key, field = P .. 'job:' .. job, 'told:' .. type
  if record.get(key, field) then return end
  local stream = P .. 'tenant:' .. tenant .. ':events'
  local id = redis.call('XADD', stream, 'MAXLEN', '~', EVENTS_KEPT, '*', 'type', type, 'job', job)
  record.set(key, { [field] = id })
  redis.call('PUBLISH', P .. 'changes', tenant .. ' ' .. job .. ' ' .. type .. ' ' .. id)
  return true
end

-- Quarantines a genuine callback that could not be understood, with its raw body. Keeps the newest.
function records.quarantine(now, why, callback, raw)
  redis.call('XADD', P .. 'quarantine', 'MAXLEN', '~', QUARANTINE_KEPT, '*', 'at', now, 'why', why,
    'job', callback.name, 'tenant', callback.tenant, 'epoch', callback.epoch, 'task', callback.task or '', 'raw', raw)
  log.tally('quarantined|' .. why)
end

-- Records that callbacks can reach us now. After a gap of more than `gap` ms, `since` starts again.
function records.note_callback_path(now, gap)
  local last = redis.call('HGET', P .. 'callbacks:path', 'last')
  if not last or now - last > gap then redis.call('HSET', P .. 'callbacks:path', 'since', now) end
  if not last or now - last >= PATH_MS then redis.call('HSET', P .. 'callbacks:path', 'last', now) end
end

-- LearnDuration: {kind: of video, ms}. Learns how long the upstream takes for that kind, as TCP does for round trips: a
-- mean and a mean deviation.
function records.learn_duration(effect)
  local key, kind, ms = P .. 'durations', effect.kind, effect.ms
  local found = redis.call('HMGET', key, kind .. ':mean', kind .. ':deviation')
  local mean, deviation = tonumber(found[1]), ms / 2
  if mean then
    deviation = tonumber(found[2])
    deviation = deviation + (math.abs(ms - mean) - deviation) / 4
    ms = mean + (ms - mean) / 8
  end
  redis.call('HSET', key, kind .. ':mean', math.floor(ms), kind .. ':deviation', math.floor(deviation))
end

-- Time until the first poll, in ms: `deviations` above the mean, or `otherwise` if nothing was learned yet.
function records.typical_duration(kind, deviations, otherwise)
  local found = redis.call('HMGET', P .. 'durations', kind .. ':mean', kind .. ':deviation')
  local mean, deviation = found[1], found[2]
  return mean and mean + deviations * deviation or otherwise
end

-- Whether the job's own callback URL hears this event of a step: its field is a JSON list of types, or absent.
local function callback_hears(name, type)
  local heard = record.get(P .. 'job:' .. name, 'callback_events')
  return heard and string.find(heard, '"' .. type .. '"', 1, true)
end

-- Queues a ticket so that a worker creates the event of a job's step, if an endpoint or the job's own callback URL
-- wants it. Returns true if it did.
function records.queue_step_event(name, tenant, type, now)
  local wanted = P .. 'tenant:' .. tenant .. ':wanted'
  local found = redis.call('SMISMEMBER', wanted, type, '*')
  if found[1] + found[2] > 0 or callback_hears(name, type) then
    lanes.enter('deliver', 'events-' .. tenant .. '|' .. name .. ':' .. type, now)
    return true
  end
end

-- OweEvent. Creates an event, a delivery for each endpoint that wants it, and one for the job's own callback URL.
-- owed = {id, type, job_id, tenant, at, trace = traceparent or "", pending, held, callback_url,
-- callback_lane, callback_event = id and callback_body of what the callback URL gets, or nil: the event itself,
-- publish = true if the step itself did not publish it to clients}; `body`: of the event, JSON or packed by
-- gateway/store/event_bodies.py.
function records.owe_event(owed, body)
  local stem, bytes = string.sub(owed.id, 5), 0
  local function store(id, content)
    bytes = bytes + quotas.EVENT_BYTES + #content
    local form = string.sub(content, 1, 1) == '{' and 'body' or 'packed'
    redis.call('HSET', P .. 'event:' .. id, form, content, unpack(owed.trace ~= '' and { 'trace', owed.trace } or {}))
  end
  store(owed.id, body)
  if owed.publish then records.publish_event(owed.tenant, owed.job_id, owed.type) end
  local function add(name, lane, state, field, target, event)
    local id = 'dlv_' .. stem .. '_' .. name
    bytes = bytes + quotas.DELIVERY_BYTES + #target
    redis.call('HSET', P .. 'delivery:' .. id, 'state', state, 'event_id', event or owed.id, 'event_type', owed.type,
      'tenant', owed.tenant, 'job_id', owed.job_id, 'lane', lane, 'created_at', owed.at, field, target)
    -- without its prefix: Redis packs a set whose members have at most 64 bytes
    redis.call('SADD', P .. 'job:' .. owed.job_id .. ':deliveries', string.sub(id, 5))
    records.count_state('delivery', state, 1)
    records.index_delivery(id, owed.tenant, lane, state, nil, owed.at)
    if state == owed.pending then lanes.enter_soon('deliver', lane .. '|' .. id, owed.at) end
  end
  local endpoints = redis.call('HGETALL', P .. 'tenant:' .. owed.tenant .. ':endpoints')
  for i = 1, #endpoints, 2 do
    local wish = cjson.decode(endpoints[i + 1])
    local wanted = false
    for _, kind in ipairs(wish.events) do wanted = wanted or kind == owed.type or kind == '*' end
    if wanted then
      local state = wish.disabled and owed.held or owed.pending
      add(string.sub(endpoints[i], 4), endpoints[i], state, 'endpoint_id', endpoints[i])
    end
  end
  if owed.callback_url then
    if owed.callback_event then store(owed.callback_event, owed.callback_body) end
    add('callback', owed.callback_lane, owed.pending, 'url', owed.callback_url, owed.callback_event)
  end
  quotas.count_bytes(P .. 'job:' .. owed.job_id, bytes)
end

-- Stores what a tenant's endpoints want, including disabled ones, which may want it later: the types of events in
-- `set`, and what one job causes. `steps`: types of events that are not final.
function records.note_wishes(tenant, index, set, steps)
  local wishes = {}
  redis.call('DEL', set)
  for _, text in ipairs(redis.call('HVALS', index)) do
    local wish = cjson.decode(text)
    wishes[#wishes + 1] = wish
    if #wish.events > 0 then redis.call('SADD', set, unpack(wish.events)) end
  end
  quotas.note_caused(tenant, quotas.caused_by(wishes, steps))
end

-- A worker starts dispatched work, and its lease starts now. `related` = {field, prefix, ...}: also reads the record
-- {gw}:<prefix><value of that field>. Returns {} when the ticket is stale, else {record, related, ...} as flat lists.
function records.begin(key, role, ticket, number, lease_ms, related, now)
  if not lanes.is_newest_dispatch(role, ticket, number) then return {} end
  lanes.extend_lease(role, ticket, lease_ms, now)
  local found = { record.all(key) }
  for i = 1, #related, 2 do
    local name = record.get(key, related[i])
    found[#found + 1] = name and redis.call('HGETALL', P .. related[i + 1] .. name) or {}
  end
  return found
end

return records
