-- note_callback_path: records that a probe arrived by the callback route, so that callbacks can reach us.
--
-- KEYS  any key of ours
-- ARGV  gap_ms: without a probe for this long, callbacks count as unable to reach us
--
-- Returns 1
local gap_ms = tonumber(ARGV[1])
records.note_callback_path(call.now_ms(), gap_ms)
return 1
