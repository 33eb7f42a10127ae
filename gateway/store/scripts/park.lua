-- park(KEYS = {any key of ours}, ARGV = {role, lane, ms or "": until it is resumed})
--
-- Nothing of the lane is handed out for so long. What waits there stays, and what is under way goes on.
--
-- Returns 1
park_lane(ARGV[1], ARGV[2], ARGV[3] == '' and '+inf' or now_ms() + tonumber(ARGV[3]))
return 1
