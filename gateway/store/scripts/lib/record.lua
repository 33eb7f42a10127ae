-- record.lua: a shared part. Reads and writes the records of jobs and deliveries, each at most once per call.
--
-- Whoever reads or changes a record that others may have changed in the same call does it here: what was changed is
-- written at the end.
local record = {}

local ABSENT = { __index = function() return false end }

-- The fields of the record, {field = text, or false: absent}.
local function known_of(key)
  local records = call.kept('records')
  local known = records[key]
  if not known then
    known = setmetatable({}, ABSENT)
    local flat = redis.call('HGETALL', key)
    for i = 1, #flat, 2 do known[flat[i]] = flat[i + 1] end
    records[key] = known
  end
  return known
end

-- The text of the field, or nil.
function record.get(key, field)
  return known_of(key)[field] or nil
end

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
    if known[field] then known[field], changed[key][field] = false, false end
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

call.written_by(record.write)

-- Drops what is known of the record and what was to be written of it, such as after an error.
function record.drop(key)
  call.kept('records')[key], call.kept('changed')[key] = nil, nil
end

-- The whole record, as a flat list.
function record.all(key)
  local flat = {}
  for field, value in pairs(known_of(key)) do
    if value then
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
  end
  return flat
end

return record
