-- resume: resumes lanes at once. A subscriber's circuit breaker is reset.
--
-- KEYS  any key of ours
-- ARGV  role; lanes, JSON: a list; roles: {role = limits} of dispatching.lua, JSON; audit: as of `write_audit`, JSON,
--       if an operator resumes them, or ""
--
-- A lane that is neither paused nor failing does not count, and without any that counts there is no audit entry.
--
-- Returns how many lanes
local role, lanes, roles, audit = ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), ARGV[4]
local now, resumed = now_ms(), 0
for _, lane in ipairs(lanes) do
  local changed
  if role == 'deliver' then changed = reset_health(lane) else changed = resume_lane(role, lane) end
  if changed then resumed = resumed + 1 end
end
if audit ~= '' and resumed > 0 then write_audit(now, cjson.decode(audit), 'number', resumed) end
dispatch_all(roles, now)
return resumed
