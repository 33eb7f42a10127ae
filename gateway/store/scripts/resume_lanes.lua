-- resume_lanes: resumes lanes at once. A subscriber's circuit breaker is reset.
--
-- KEYS  any key of ours
-- ARGV  role; paused, JSON: a list of lanes; roles: {role = limits} of dispatching.lua, JSON; audit: as of
--       `log.write_audit`, JSON, if an operator resumes them, or ""
--
-- A lane that is neither paused nor failing does not count, and without any that counts there is no audit entry.
--
-- Returns how many lanes
local role, paused, roles, audit = ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), ARGV[4]
local now, resumed = call.now_ms(), 0
for _, lane in ipairs(paused) do
  local changed
  if role == 'deliver' then changed = circuit_breaker.reset(lane) else changed = lane_pauses.resume(role, lane) end
  if changed then resumed = resumed + 1 end
end
if audit ~= '' and resumed > 0 then log.write_audit(now, cjson.decode(audit), 'number', resumed) end
dispatching.dispatch(roles, now)
return resumed
