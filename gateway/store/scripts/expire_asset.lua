-- expire_asset: records that the copy of an asset was deleted because its time has passed.
--
-- KEYS  job: its record
-- ARGV  name: of the job; variant; asset, JSON: as it is from now on, or "" if the job is gone
--
-- Its bytes no longer count for its tenant. A copy that is not stored, or not due yet, stays as it is.
--
-- Returns 1 | 0: nothing changed
local key = KEYS[1]
local name, variant, text = ARGV[1], ARGV[2], ARGV[3]
local now = call.now_ms()
local due = assets.is_stored(name, variant)
if not due or tonumber(due) > now then return 0 end
if text == '' or not record.get(key, assets.field_of(variant)) then
  redis.call('ZREM', assets.STORED, name .. ':' .. variant)
  return 0
end
assets.write(key, name, variant, text, {}, now)
return 1
