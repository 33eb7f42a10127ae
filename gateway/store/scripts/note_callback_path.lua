-- note_callback_path: a probe came in by the way that callbacks take, so that it is open.
--
-- KEYS  any key of ours
-- ARGV  gap_ms: after which the way counts as shut
--
-- Returns 1
local gap_ms = tonumber(ARGV[1])
note_callback_path(now_ms(), gap_ms)
return 1
