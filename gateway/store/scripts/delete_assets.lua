-- delete_assets: records that the owner of a job deleted our copies of its result, and that no more are to be made.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, assets = {{variant, state, key or "": as they were read, stored = true: its bytes count,
--       text: the asset as JSON, as it is from now on}, ...}}
--
-- Their bytes no longer count for the tenant. A worker that still copies one of them finds that its ticket is gone.
--
-- Returns 1 | 0: an asset has changed since it was read, and nothing was written
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local tenant = record.get(key, 'tenant')
if not tenant then return 0 end
local before = {}
for i, one in ipairs(args.assets) do
  local text = record.get(key, 'asset:' .. one.variant)
  before[i] = text and cjson.decode(text) or {}
  if before[i].state ~= one.state or (before[i].key or '') ~= one.key then return 0 end
end
for i, one in ipairs(args.assets) do
  if one.stored then quotas.add_usage(tenant, 'results', -before[i].size) end
  record.set(key, { ['asset:' .. one.variant] = one.text })
  lanes.finish('mirror', tenant .. '|' .. args.name .. ':' .. one.variant)
end
return 1
