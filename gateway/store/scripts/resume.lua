-- resume: a lane goes on at once, as if it had never been paused and, if it is a subscriber's, never failed.
--
-- KEYS  any key of ours
-- ARGV  role, lane, roles: {role = limits} of dispatching.lua, JSON
--
-- Returns 1
local role, lane, roles = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
if role == 'deliver' then reset_health(lane) else resume_lane(role, lane) end
dispatch_all(roles, now_ms())
return 1
