-- park: a lane is paused: nothing of it is dispatched for so long.
--
-- KEYS  any key of ours
-- ARGV  role, lane, for_ms or "": until it is resumed
--
-- What waits there stays, and what is under way goes on.
--
-- Returns 1
local role, lane, for_ms = ARGV[1], ARGV[2], ARGV[3]
pause_lane(role, lane, for_ms == '' and '+inf' or now_ms() + tonumber(for_ms))
return 1
