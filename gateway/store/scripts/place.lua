-- place(KEYS = {any key of ours}, ARGV = {ticket, kind of video, ...})
--
-- Where tickets of the submit role wait. Changes nothing.
--
-- Returns what `place_of` of waiting.lua does, for each
local found, now = {}, now_ms()
for i = 1, #ARGV, 2 do found[#found + 1] = place_of(ARGV[i], ARGV[i + 1], now) end
return found
