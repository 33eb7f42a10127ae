-- counters.lua: a shared part. Whole numbers in hashes that many steps add to: what one call adds is written at its
-- end, all of a hash together.
--
-- In a call, the fields of these hashes are read and changed here only.
local counters = {}

-- {known = {field = number in Redis}, stored = {field = whether it is there}, now = {field = what it shall be},
-- added = {field = by how much, if it is not known}, gone_at_0 = {field = true: it is absent when it would be 0}}
local function counts_of(key)
  local counts = call.kept('counters')
  counts[key] = counts[key] or { known = {}, stored = {}, now = {}, added = {}, gone_at_0 = {} }
  return counts[key]
end

-- `value`: in Redis, or false; `added`: to it by this call.
local function learn(counts, field, value, added)
  local number = tonumber(value or '0')
  counts.known[field], counts.stored[field], counts.now[field] = number, value ~= false, number + added
  counts.added[field] = nil
end

-- Reads those of the fields that are not known yet.
function counters.read(key, ...)
  local counts, unknown = counts_of(key), {}
  for _, field in ipairs({ ... }) do
    if not counts.known[field] then unknown[#unknown + 1] = field end
  end
  if #unknown == 0 then return end
  for i, value in ipairs(redis.call('HMGET', key, unpack(unknown))) do
    learn(counts, unknown[i], value, counts.added[unknown[i]] or 0)
  end
end

-- The number in the field, with what this call added; 0 if it is absent.
function counters.get(key, field)
  local counts = counts_of(key)
  if not counts.known[field] then counters.read(key, field) end
  return counts.now[field]
end

-- `gone_at_0`: the field is removed when it becomes 0.
function counters.add(key, field, by, gone_at_0)
  local counts = counts_of(key)
  counts.gone_at_0[field] = gone_at_0
  if counts.known[field] then
    counts.now[field] = counts.now[field] + by
  else
    counts.added[field] = (counts.added[field] or 0) + by
  end
end

-- The same for how many of something are held: never below 0, and absent at 0. Returns how many.
function counters.hold(key, field, by)
  local counts = counts_of(key)
  counts.gone_at_0[field] = true
  if counts.known[field] then
    counts.now[field] = math.max(0, counts.now[field] + by)
  else
    learn(counts, field, redis.call('HINCRBY', key, field, by), 0)
    counts.now[field] = math.max(0, counts.now[field])
  end
  return counts.now[field]
end

-- One field that is not known costs one command, several cost two.
local function write_one(key, counts)
  local unknown, set, gone = {}, {}, {}
  for field, by in pairs(counts.added) do
    if by ~= 0 then unknown[#unknown + 1] = field end
  end
  if #unknown == 1 then
    local field = unknown[1]
    learn(counts, field, redis.call('HINCRBY', key, field, counts.added[field]), 0)
  else
    counters.read(key, unpack(unknown))
  end
  for field, number in pairs(counts.now) do
    if number == 0 and counts.gone_at_0[field] then
      if counts.stored[field] then gone[#gone + 1] = field end
    elseif number ~= counts.known[field] then
      set[#set + 1] = field
      set[#set + 1] = string.format('%.0f', number)
    end
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end

call.written_by(function()
  for key, counts in pairs(call.kept('counters')) do write_one(key, counts) end
  call.forget('counters')
end)

return counters
