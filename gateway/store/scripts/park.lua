-- park: pauses a lane: nothing of it is dispatched for a time.
--
-- KEYS  any key of ours
-- ARGV  role, lane, for_ms or "": until it is resumed
--
-- Waiting work stays in it, and work in progress goes on.
--
-- Returns 1
local role, lane, for_ms = ARGV[1], ARGV[2], ARGV[3]
pause_lane(role, lane, for_ms == '' and '+inf' or now_ms() + tonumber(for_ms))
return 1
