-- finished.lua: a shared part. What a finished job leaves behind, and when parts of it may go.
--
-- {gw}:archive:gone  zset  forgotten jobs whose object in the media store is still to be deleted -> since when
local finished = {}

finished.GONE = P .. 'archive:gone'
finished.ARCHIVED_BYTES = 1024 -- what stays of an archived job, besides its deliveries

-- When the job became final, in ms; nil if it is not final. `final` = {state = true}.
function finished.since(key, final)
  local state = record.get(key, 'state')
  return final[state] and tonumber(record.get(key, state .. '_at'))
end

-- The job's deliveries: {{id, state, lane, event, bytes: that count for it, log_bytes: those for its log}, ...}; nil if
-- one is `pending`.
function finished.deliveries_of(key, pending)
  local found = {}
  for _, member in ipairs(redis.call('SMEMBERS', key .. ':deliveries')) do
    local id = string.sub(member, 1, 4) == 'dlv_' and member or 'dlv_' .. member
    local owed = P .. 'delivery:' .. id
    local state, log = record.get(owed, 'state'), record.get(owed, 'log') or ''
    if state == pending then return nil end
    if state then
      local target = record.get(owed, 'endpoint_id') or record.get(owed, 'url') or ''
      local log_bytes = quotas.counted_of('log', #log)
      found[#found + 1] = {
        id = id,
        state = state,
        lane = record.get(owed, 'lane'),
        event = record.get(owed, 'event_id'),
        bytes = quotas.DELIVERY_BYTES + #target + log_bytes,
        log_bytes = log_bytes,
      }
    end
  end
  return found
end

-- Bytes that count for an event; 0 if it is not stored.
function finished.event_bytes(id)
  local found = redis.call('HMGET', P .. 'event:' .. id, 'packed', 'body')
  local body = found[1] or found[2]
  return body and quotas.EVENT_BYTES + #body or 0
end

-- Removes deliveries from counts, indexes and lanes. Their records are removed by the caller.
function finished.leave_deliveries(tenant, deliveries)
  for _, delivery in ipairs(deliveries) do
    records.count_state('delivery', delivery.state, -1)
    redis.call('ZREM', P .. 'dead', delivery.id)
    records.index_delivery(delivery.id, tenant, delivery.lane, nil, delivery.state)
    lanes.finish('deliver', delivery.lane .. '|' .. delivery.id)
  end
end

local function is_waiting(role, ticket)
  for _, set in ipairs({ ':slots', ':waiting', ':due' }) do
    if redis.call('ZSCORE', P .. role .. set, ticket) then return true end
  end
  return false
end

-- Whether the job may still change, or cause an event: it is watched for a late result, a slot is held for it, a poll
-- is due, a file of its result is still to be copied, or the event of a step to be created.
function finished.may_change(key, name, variants, steps, now)
  local tenant = record.get(key, 'tenant')
  if money.is_in_suspense(key) then return true end -- evidence, or an operator, may still decide
  if tasks.is_watched(key, now) or not assets.are_settled(name, variants) then return true end
  if is_waiting('submit', tenant .. '|' .. name) then return true end
  if is_waiting('confirm', account_slots.confirm_ticket(name)) then return true end
  for _, step in ipairs(steps) do
    if is_waiting('deliver', 'events-' .. tenant .. '|' .. name .. ':' .. step) then return true end
  end
  return false
end

-- The job counts `bytes` less for its tenant, but never less than nothing.
function finished.free_bytes(key, bytes)
  quotas.count_bytes(key, -math.min(bytes, tonumber(record.get(key, 'bytes') or '0')))
end

return finished
