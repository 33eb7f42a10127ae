-- record.lua: a shared part. Reads and writes the fields of a job's or delivery's record, each at most once per call.
--
-- Whoever reads or changes a record that others may have changed in the same call does it here: what was changed is
-- written at the end.
local record = {}

local OFTEN = { -- what most calls ask for, read together
  'state', 'tenant', 'epoch', 'run', 'account', 'created_at', 'released_at', 'submitting_at', 'called_back_at',
  'task_id', 'earlier', 'elsewhere', 'evidence', 'resubmits', 'bytes', 'event_bytes', 'media', 'start_by', 'lane',
  'job_id', 'claimed_at', 'next_attempt_at', 'uploads',
}

-- The fields of the record that are known, {field = text, or false: absent}.
local function known_of(key)
  local records = call.kept('records')
  local known = records[key]
  if not known then
    known = {}
    for i, value in ipairs(redis.call('HMGET', key, unpack(OFTEN))) do known[OFTEN[i]] = value end
    records[key] = known
  end
  return known
end

-- The text of the field, or nil.
function record.get(key, field)
  local known = known_of(key)
  if known[field] == nil then known[field] = redis.call('HGET', key, field) end
  return known[field] or nil
end

local ABSENT = { __index = function() return false end }

-- A record that does not exist yet.
function record.create(key, fields)
  call.kept('records')[key] = setmetatable({}, ABSENT)
  record.set(key, fields)
end

-- Sets {field = value, ...}. Written at the end of the call, all together.
function record.set(key, fields)
  local known, changed = known_of(key), call.kept('changed')
  changed[key] = changed[key] or {}
  for field, value in pairs(fields) do
    if type(value) == 'number' then value = string.format('%.17g', value) end
    known[field], changed[key][field] = value, value
  end
end

function record.add(key, field, by)
  record.set(key, { [field] = (record.get(key, field) or 0) + by })
end

-- Removes the fields.
function record.unset(key, ...)
  local known, changed = known_of(key), call.kept('changed')
  changed[key] = changed[key] or {}
  for _, field in ipairs({ ... }) do
    if known[field] ~= false or changed[key][field] then known[field], changed[key][field] = false, false end
  end
end

-- Writes what was changed: before anything else reads the records, and at the end of every call.
function record.write()
  for key, fields in pairs(call.kept('changed')) do
    local set, gone = {}, {}
    for field, value in pairs(fields) do
      if value then
        set[#set + 1] = field
        set[#set + 1] = value
      else
        gone[#gone + 1] = field
      end
    end
    if #set > 0 then redis.call('HSET', key, unpack(set)) end
    if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  end
  call.forget('changed')
end

-- Drops what is known of the record and what was to be written of it, such as after an error.
function record.drop(key)
  call.kept('records')[key], call.kept('changed')[key] = nil, nil
end

-- The whole record, as a flat list.
function record.all(key)
  record.write()
  return redis.call('HGETALL', key)
end

return record
