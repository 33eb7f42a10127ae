-- place(KEYS = {any key of ours}, ARGV = {accounts, ticket, kind of video, ...})
-- accounts: as of upstream.lua
--
-- Where tickets of the submit role wait. Changes nothing.
--
-- Returns what `place_of` of waiting.lua does, for each
local found, accounts, now = {}, cjson.decode(ARGV[1]), now_ms()
for i = 2, #ARGV, 2 do found[#found + 1] = place_of(ARGV[i], ARGV[i + 1], accounts, now) end
return found
