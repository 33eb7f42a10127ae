-- delete_assets: records that the owner of a job deleted our copies of its result, and that no more are to be made.
--
-- KEYS  job: its record
-- ARGV  args, JSON: {name, assets = {{variant, state, key or "": as they were read, text: the asset as JSON, as it is
--       from now on}, ...}, job: true if the job is deleted, too, for APIs that can delete one}
--
-- Their bytes no longer count for the tenant. A worker that still copies one of them finds that its ticket is gone.
--
-- Returns 1 | 0: an asset has changed since it was read, and nothing was written
local key = KEYS[1]
local args = cjson.decode(ARGV[1])
local tenant = record.get(key, 'tenant')
if not tenant then return 0 end
for _, one in ipairs(args.assets) do
  local text = record.get(key, assets.field_of(one.variant))
  local before = text and cjson.decode(text) or {}
  if before.state ~= one.state or (before.key or '') ~= one.key then return 0 end
end
for _, one in ipairs(args.assets) do
  assets.write(key, args.name, one.variant, one.text, {}, call.now_ms())
  lanes.finish('mirror', tenant .. '|' .. args.name .. ':' .. one.variant)
end
if args.job then record.set(key, { deleted_at = call.now_ms() }) end
return 1
