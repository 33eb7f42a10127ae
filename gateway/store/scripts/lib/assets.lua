-- assets.lua: a shared part. The files of a job's result, and our copies of them.
--
-- A field asset:<variant> of a job's record is an asset as JSON (gateway/assets.py). This part does not know the names
-- of its states: the indexes say what counts. Their members are "<job>:<variant>":
--   {gw}:assets           zset  copies that are stored, by when they are deleted
--   {gw}:assets:pending   zset  what is still to be copied, by since when
--   {gw}:assets:dying     zset  those of them that have an address, by when that is taken to be dead; without those
--                               whose last attempt failed for a reason of their tenant or of the upstream
-- {gw}:counts has asset:<state>, and asset_bytes: of the stored copies. The usage of the tenant has them as `results`.
local assets = {}

local STORED, PENDING, DYING = P .. 'assets', P .. 'assets:pending', P .. 'assets:dying'
assets.STORED = STORED

local function member_of(name, variant)
  return name .. ':' .. variant
end

function assets.field_of(variant)
  return 'asset:' .. variant
end

function assets.is_stored(name, variant)
  return redis.call('ZSCORE', STORED, member_of(name, variant))
end

local function count_bytes_of_copies(tenant, by)
  counters.add(P .. 'counts', 'asset_bytes', by)
  quotas.add_usage(tenant, 'results', by)
end

-- Removes the asset from its indexes and counts; a stored copy no longer counts for its tenant. `before`: the asset.
local function leave(tenant, name, variant, before)
  local member = member_of(name, variant)
  if redis.call('ZREM', STORED, member) == 1 then count_bytes_of_copies(tenant, -before.size) end
  redis.call('ZREM', PENDING, member)
  redis.call('ZREM', DYING, member)
  records.count_state('asset', before.state, -1)
end

-- Writes the asset `text`, JSON, of the job `key`. `place`: where it belongs, {stored = {size, expires_at}} or
-- {pending = {dies_at, or nil: it does not count as dying}}; neither: it was given up or has expired.
function assets.write(key, name, variant, text, place, now)
  local tenant, field, member = record.get(key, 'tenant'), assets.field_of(variant), member_of(name, variant)
  local before = record.get(key, field)
  local since = redis.call('ZSCORE', PENDING, member) or now
  if before then leave(tenant, name, variant, cjson.decode(before)) end
  if place.stored then
    redis.call('ZADD', STORED, place.stored.expires_at, member)
    count_bytes_of_copies(tenant, place.stored.size)
  elseif place.pending then
    redis.call('ZADD', PENDING, since, member)
    if place.pending.dies_at then redis.call('ZADD', DYING, place.pending.dies_at, member) end
  end
  records.count_state('asset', cjson.decode(text).state, 1)
  quotas.count_bytes(key, #text - #(before or ''))
  record.set(key, { [field] = text })
end

-- Whether nothing of these variants is still to be copied.
function assets.are_settled(name, variants)
  for _, variant in ipairs(variants) do
    if redis.call('ZSCORE', PENDING, member_of(name, variant)) then return false end
  end
  return true
end

-- CopyAssets: {{variant, asset: JSON, dies_at, or nil, ticket, or nil: it is entered when another is copied}, ...}
function assets.copy(key, name, effect, now)
  for _, one in ipairs(effect) do
    assets.write(key, name, one.variant, one.asset, { pending = { dies_at = one.dies_at } }, now)
    if one.ticket then lanes.enter_soon('mirror', one.ticket, now) end
  end
end

-- {variant = asset} of a record, for `assets.forget`. Raises an error if one cannot be read.
function assets.of(key)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 6) == 'asset:' then
      found[string.sub(field, 7)] = cjson.decode(redis.call('HGET', key, field))
    end
  end
  return found
end

-- The job is removed, and its assets with it. Their files are left to the sweep of the workers.
function assets.forget(tenant, name, found)
  for variant, before in pairs(found) do
    leave(tenant, name, variant, before)
    lanes.finish('mirror', tenant .. '|' .. member_of(name, variant))
  end
end

return assets
