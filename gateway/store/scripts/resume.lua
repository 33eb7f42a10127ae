-- resume: resumes a lane at once. A subscriber's circuit breaker is reset.
--
-- KEYS  any key of ours
-- ARGV  role, lane, roles: {role = limits} of dispatching.lua, JSON
--
-- Returns 1
local role, lane, roles = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
if role == 'deliver' then reset_health(lane) else resume_lane(role, lane) end
dispatch_all(roles, now_ms())
return 1
